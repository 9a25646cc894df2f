//! The texts of the suite: two halves to measure importance on, and chunks that no importance sees.

use std::collections::BTreeMap;

use super::importance::DomainImportance;
use crate::Result;
use crate::eval::text::{EvalText, chunks};
use crate::learn::data::{HaystackPart, HaystackPiece};
use crate::learn::sensitivity::SensitivitySettings;
use crate::mask::{Importance, Window};
use crate::model::Model;

/// One half of the part of a text that importance is measured on.
#[derive(Debug, Clone)]
pub struct Half {
    /// Its text; sensitivity reads windows that are spread over it.
    pub piece: HaystackPiece,
    /// Its first chunks; the other rules read these.
    pub chunks: Vec<Vec<u32>>,
}

/// One kind of text.
#[derive(Debug, Clone)]
pub struct StabilityDomain {
    /// Its name in tables.
    pub name: String,
    /// What importance is measured on, in two halves: how well they agree says how far two
    /// measurements on the same kind of text differ.
    pub halves: [Half; 2],
    /// Chunks of the held-out end of the text, which losses are measured on.
    pub chunks: Vec<Vec<u32>>,
}

impl StabilityDomain {
    /// Divides a text; `most` is the number of chunks of `ctx` tokens of each part.
    ///
    /// # Errors
    /// When a part is too short for one chunk.
    pub fn new(model: &Model, text: &EvalText, ctx: usize, most: usize) -> Result<Self> {
        let part = |name: &str, own: &str| EvalText {
            name: format!("{}, {name}", text.name),
            domain: text.domain.clone(),
            text: own.to_owned(),
        };
        let whole = HaystackPiece::new(text.name.clone(), text.text.clone());
        let training = whole.part(HaystackPart::Training);
        let middle = training.floor_char_boundary(training.len() / 2);
        let half = |name: &str, own: &str| -> Result<Half> {
            let piece = HaystackPiece::new(format!("{}, {name}", text.name), own.to_owned());
            let read = part(name, piece.part(HaystackPart::Training));
            Ok(Half { chunks: chunks(model, &read, ctx, most)?, piece })
        };
        let held_out = part("its held-out end", whole.part(HaystackPart::HeldOut));
        Ok(Self {
            name: text.name.clone(),
            halves: [
                half("its first half", &training[..middle])?,
                half("its second half", &training[middle..])?,
            ],
            chunks: chunks(model, &held_out, ctx, most)?,
        })
    }
}

/// What the suite measures.
#[derive(Debug, Clone)]
pub struct StabilityPlan {
    /// The texts.
    pub domains: Vec<StabilityDomain>,
    /// Tokens of a chunk.
    pub ctx: usize,
    /// How sensitivity is measured on each half.
    pub settings: SensitivitySettings,
    /// Importance by text and half, as far as it is known.
    known: BTreeMap<(usize, usize), DomainImportance>,
}

impl StabilityPlan {
    /// The settings of sensitivity on each half of a text: text alone, in windows of `ctx` tokens.
    ///
    /// # Errors
    /// When such a window is too short for the cache's window.
    pub fn settings(
        model: &Model,
        (ctx, chunks): (usize, usize),
        window: Window,
        seed: u64,
    ) -> Result<SensitivitySettings> {
        let usual = SensitivitySettings::new(model.config());
        let settings = SensitivitySettings {
            window,
            windows: chunks,
            window_tokens: ctx,
            rows: usual.rows.min(ctx / 4).max(1),
            recall_samples: 0,
            recall_weight: 0.0,
            seed,
            ..usual
        };
        settings.check(model.config())?;
        Ok(settings)
    }

    /// A plan before anything is measured.
    pub fn new(domains: Vec<StabilityDomain>, ctx: usize, settings: SensitivitySettings) -> Self {
        Self { domains, ctx, settings, known: BTreeMap::new() }
    }

    /// The names of the texts.
    pub fn names(&self) -> Vec<String> {
        self.domains.iter().map(|domain| domain.name.clone()).collect()
    }

    /// Takes over what an interrupted run measured.
    pub fn know(&mut self, domain: usize, half: usize, importance: DomainImportance) {
        self.known.insert((domain, half), importance);
    }

    /// Importance on one half of a text, measured where it is not known. A part of a run that needs
    /// what another part measures does so too.
    pub fn importance(
        &mut self,
        model: &Model,
        domain: usize,
        half: usize,
    ) -> Result<&DomainImportance> {
        if !self.known.contains_key(&(domain, half)) {
            let measured = self.measure(model, &self.domains[domain].halves[half])?;
            self.known.insert((domain, half), measured);
        }
        Ok(&self.known[&(domain, half)])
    }

    /// Importance of every text by a rule: the mean of its halves.
    pub fn whole(&mut self, model: &Model, rule: &str) -> Result<Vec<Importance>> {
        (0..self.domains.len())
            .map(|domain| {
                let first = self.importance(model, domain, 0)?.clone();
                first.mean(self.importance(model, domain, 1)?, rule)
            })
            .collect()
    }
}

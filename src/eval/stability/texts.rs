//! From texts to the plan of the suite.

use super::domain::{StabilityDomain, StabilityPlan};
use crate::eval::run::{EvalPlan, Mask, SourceHeader, sha256};
use crate::eval::text::EvalText;
use crate::numbers::count;
use crate::{Error, Result};

/// What the suite can be run on.
#[derive(Debug, Default)]
pub struct FoundTexts {
    /// The plan; none where there are not enough texts.
    pub plan: Option<StabilityPlan>,
    /// The texts that it reads.
    pub sources: Vec<SourceHeader>,
    /// What cannot be measured, and why.
    pub left_out: Vec<String>,
}

impl FoundTexts {
    /// Leaves something out, or refuses it where the suite was asked for by name.
    fn leave(&mut self, why: String, asked: bool) -> Result<()> {
        if asked {
            return Err(Error::input(why));
        }
        self.left_out.push(why);
        Ok(())
    }
}

impl StabilityPlan {
    /// Divides texts into what importance and what losses are measured on, `chunks` of `ctx` tokens
    /// of each part, for the masks of a run.
    ///
    /// # Errors
    /// Where the suite was `asked` for by name, what would otherwise be left out: texts that are too
    /// short, texts of one name, fewer than two texts. Caches that do not fit the memory.
    pub fn of_texts(
        run: &EvalPlan,
        texts: Vec<EvalText>,
        (ctx, chunks): (usize, usize),
        asked: bool,
    ) -> Result<FoundTexts> {
        let mut found = FoundTexts::default();
        let model = &run.model;
        let settings = match Self::settings(model, (ctx, chunks), run.dense.window(), run.seed) {
            Ok(settings) => settings,
            Err(error) => {
                found.leave(format!("stability: {error}"), asked)?;
                return Ok(found);
            }
        };
        let mut domains: Vec<StabilityDomain> = Vec::new();
        for text in texts {
            if domains.iter().any(|domain| domain.name == text.name) {
                found.leave(format!("stability: two texts are called {}", text.name), asked)?;
                continue;
            }
            match StabilityDomain::new(model, &text, ctx, chunks) {
                Ok(domain) => domains.push(domain),
                Err(error) => {
                    found.leave(format!("stability: {error}"), asked)?;
                    continue;
                }
            }
            let sha256 = sha256(&text.text);
            found.sources.push(SourceHeader { name: text.name, domain: text.domain, sha256 });
        }
        if domains.len() < 2 {
            let why = format!(
                "stability compares texts and needs two or more, found {}: several files, or a folder of them, are given as its texts (--text)",
                domains.len()
            );
            found.leave(why, asked)?;
            found.sources.clear();
            return Ok(found);
        }
        let caches = |mask: &Mask| {
            let dealt = if Self::chooses(&mask.spec) { domains.len() } else { 0 };
            (1 + dealt) * mask.spec.bytes_at(ctx).total()
        };
        let what = format!("caches of {} masks by {} texts", run.masks.len(), count(domains.len()));
        model.check_cache_memory(&what, run.masks.iter().map(caches).sum())?;
        found.plan = Some(Self::new(domains, ctx, settings));
        Ok(found)
    }
}

//! The channels that each text chooses for a mask, and how this mask's own compare with them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::domain::StabilityPlan;
use crate::Result;
use crate::cache::CacheSpec;
use crate::learn::sensitivity::SENSITIVITY;
use crate::mask::{CachePlan, Importance, Width};
use crate::model::Model;

/// What every text would choose for one mask by one rule, at this mask's widths in every head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleChoice {
    /// The rule.
    pub rule: String,
    /// Importance of the channels that this mask stores, over that of all, on each text.
    pub kept: Vec<f32>,
    /// The same of the channels that the text itself would choose.
    pub own_kept: Vec<f32>,
    /// Overlap of this mask with the choice of each text (Jaccard).
    pub overlap_with_mask: Vec<f32>,
    /// Overlap of the choices of every two texts.
    pub overlap: Vec<Vec<f32>>,
}

/// What every text would choose for one mask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskChoice {
    /// The mask.
    pub mask: String,
    /// The texts, in the order of all lists.
    pub domains: Vec<String>,
    /// By rule, sensitivity first.
    pub rules: Vec<RuleChoice>,
}

/// The name of a mask's widths on the channels that a text chooses.
pub fn dealt_name(mask: &str, domain: &str) -> String {
    format!("{mask} @ {domain}")
}

/// Whether channels of a head differ in their width, so that there is something to choose.
pub(super) fn has_choice(plan: &CachePlan) -> bool {
    plan.shape().each_head().any(|(layer, head)| {
        let widths = plan.k(layer, head);
        widths.iter().any(|width| *width != widths[0])
    })
}

/// Importance of the stored channels over that of all; 1 where nothing is important.
fn kept_share(plan: &CachePlan, importance: &Importance) -> f32 {
    let (mut kept, mut all) = (0.0, 0.0);
    for (width, score) in plan.k_widths().iter().zip(importance.scores()) {
        all += f64::from(*score);
        if *width != Width::Zero {
            kept += f64::from(*score);
        }
    }
    if all > 0.0 { (kept / all) as f32 } else { 1.0 }
}

impl StabilityPlan {
    /// The widths of a mask on the channels that each text chooses by sensitivity, with names; none
    /// for a plan with one width per head.
    pub fn dealt(
        &mut self,
        model: &Model,
        (name, spec): (&str, &CacheSpec),
    ) -> Result<Vec<(String, Arc<CacheSpec>)>> {
        if !has_choice(spec.plan()) {
            return Ok(Vec::new());
        }
        let names = self.names();
        let wholes = self.whole(model, SENSITIVITY)?;
        let dealt = wholes.iter().zip(names).map(|(importance, domain)| {
            let plan = spec.plan().dealt(importance)?;
            let sight = Arc::clone(spec.sight());
            let spec = CacheSpec::planned(spec.window(), spec.dtype(), plan)?.with_sight(sight);
            Ok((dealt_name(name, &domain), Arc::new(spec)))
        });
        dealt.collect()
    }

    /// The choices of all texts for a mask by every rule.
    pub fn choice(
        &mut self,
        model: &Model,
        (name, spec): (&str, &CacheSpec),
    ) -> Result<MaskChoice> {
        let first = self.importance(model, 0, 0)?;
        let rules: Vec<String> = first.rules.iter().map(|one| one.rule.clone()).collect();
        let plan = spec.plan();
        let mut found = Vec::new();
        for rule in rules {
            let wholes = self.whole(model, &rule)?;
            let choices: Vec<CachePlan> =
                wholes.iter().map(|importance| plan.dealt(importance)).collect::<Result<_>>()?;
            let both = || choices.iter().zip(&wholes);
            found.push(RuleChoice {
                kept: wholes.iter().map(|importance| kept_share(plan, importance)).collect(),
                own_kept: both().map(|(own, importance)| kept_share(own, importance)).collect(),
                overlap_with_mask: choices.iter().map(|own| plan.k_overlap(own) as f32).collect(),
                overlap: choices
                    .iter()
                    .map(|a| choices.iter().map(|b| a.k_overlap(b) as f32).collect())
                    .collect(),
                rule,
            });
        }
        Ok(MaskChoice { mask: name.to_owned(), domains: self.names(), rules: found })
    }

    /// Whether the texts have something to choose for a mask.
    pub fn chooses(spec: &CacheSpec) -> bool {
        has_choice(spec.plan())
    }
}

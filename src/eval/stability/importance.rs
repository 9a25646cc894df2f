//! Importance of every channel on one text, by each rule that looks at a running model.

use serde::{Deserialize, Serialize};

use super::domain::{Half, StabilityPlan};
use crate::learn::data::Haystack;
use crate::learn::score;
use crate::learn::sensitivity::{SENSITIVITY, measure};
use crate::mask::{Importance, Shape};
use crate::model::Model;
use crate::{Error, Result};

/// One rule's scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleScores {
    /// `sensitivity` (the damage of leaving a channel out), or a rule's name.
    pub rule: String,
    /// `[layers, kv_heads, head_dim]`.
    pub scores: Vec<f32>,
}

/// Importance on one half of a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainImportance {
    /// The axes of scores.
    pub shape: Shape,
    /// By rule, sensitivity first.
    pub rules: Vec<RuleScores>,
}

impl DomainImportance {
    /// The importance by a rule.
    ///
    /// # Errors
    /// When the rule is missing or its scores do not fit the shape, in a file that was changed.
    pub fn of(&self, rule: &str) -> Result<Importance> {
        let found = self.rules.iter().find(|one| one.rule == rule);
        let found = found.ok_or_else(|| {
            Error::input(format!(
                "results of the stability suite: expected scores by {rule}, found none"
            ))
        })?;
        Importance::new(self.shape, found.scores.clone())
    }

    /// The mean of two halves.
    pub fn mean(&self, other: &Self, rule: &str) -> Result<Importance> {
        let (a, b) = (self.of(rule)?, other.of(rule)?);
        if a.shape() != b.shape() {
            return Err(Error::input(format!(
                "results of the stability suite: expected scores of shape {}, found {}",
                a.shape(),
                b.shape()
            )));
        }
        let mean = a.scores().iter().zip(b.scores()).map(|(a, b)| (a + b) / 2.0);
        Importance::new(a.shape(), mean.collect())
    }
}

impl StabilityPlan {
    /// Measures importance on one half of a text.
    pub(super) fn measure(&self, model: &Model, half: &Half) -> Result<DomainImportance> {
        let haystack = Haystack { pieces: vec![half.piece.clone()] };
        let sensitivity = measure(model, &haystack, &self.settings, &mut |_| Ok(()))?.sensitivity;
        let moments = score::gather(&model.decoder, &half.chunks, self.ctx, &mut |_| Ok(()))?;
        let mut rules = vec![RuleScores {
            rule: SENSITIVITY.to_owned(),
            scores: sensitivity.pruning()?.scores().to_vec(),
        }];
        rules.extend(moments.importances()?.into_iter().map(|(rule, importance)| RuleScores {
            rule: rule.name.to_owned(),
            scores: importance.scores().to_vec(),
        }));
        Ok(DomainImportance { shape: model.config().mask_shape(), rules })
    }
}

//! What a model computes beyond the parts that Llama has: factors, caps and layers that differ from
//! one another.

use serde::{Deserialize, Serialize};

use crate::cache::Sight;
use crate::model::mixture::Mixture;
use crate::model::rope_scaling;
use crate::numbers::count;
use crate::{Error, Result};

/// What a model has besides Llama's parts; nothing by default.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Additions {
    /// Factor of embedded tokens.
    pub embedding_factor: f32,
    /// Factor of what attention and the MLP add to the residual stream.
    pub residual_factor: f32,
    /// Factor of attention scores; `1 / sqrt(head_dim)` where there is none.
    pub score_factor: Option<f64>,
    /// What the logits are divided by.
    pub logit_divisor: f32,
    /// Soft cap of the logits: `cap tanh(logit / cap)`.
    pub logit_cap: Option<f32>,
    /// Soft cap of attention scores.
    pub score_cap: Option<f32>,
    /// Channels of each head that rotate, where not all of them do; they are the first and those
    /// from `head_dim / 2` on, in the order of the loaded weights.
    pub rotated: Option<usize>,
    /// Base of the rotary frequencies of layers that rotate by their own; they are not scaled.
    pub local_theta: Option<f64>,
    /// What each layer is; empty where all are as usual.
    pub kinds: Vec<LayerKind>,
    /// Experts in place of MLPs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experts: Option<Mixture>,
}

impl Default for Additions {
    fn default() -> Self {
        Self {
            embedding_factor: 1.0,
            residual_factor: 1.0,
            score_factor: None,
            logit_divisor: 1.0,
            logit_cap: None,
            score_cap: None,
            rotated: None,
            local_theta: None,
            kinds: Vec::new(),
            experts: None,
        }
    }
}

impl Additions {
    /// Whether there is nothing; serde hands over a reference.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses numbers that no decoder can have, naming the first.
    pub(super) fn check(&self, head_dim: usize) -> Result<()> {
        let factors = [
            ("factor of embedded tokens", Some(f64::from(self.embedding_factor))),
            ("factor of the residual stream's branches", Some(f64::from(self.residual_factor))),
            ("factor of attention scores", self.score_factor),
            ("divisor of the logits", Some(f64::from(self.logit_divisor))),
            ("soft cap of the logits", self.logit_cap.map(f64::from)),
            ("soft cap of attention scores", self.score_cap.map(f64::from)),
            ("rope theta of layers with a window", self.local_theta),
        ];
        for (what, factor) in factors {
            if let Some(factor) = factor {
                rope_scaling::positive(what, factor)?;
            }
        }
        if let Some(layer) = self.kinds.iter().position(|kind| kind.window == Some(0)) {
            return Err(Error::input(format!("layer {layer} has a window of 0 tokens")));
        }
        match self.rotated {
            Some(rotated) if rotated < 2 || rotated > head_dim || !rotated.is_multiple_of(2) => {
                Err(Error::input(format!(
                    "{rotated} channels of heads of {head_dim} would rotate, expected an even number of 2 or more of them"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Makes layers with a window rotate by their own frequencies, where the model has such.
    pub(super) fn turn_locally(&mut self) {
        if self.local_theta.is_some() {
            let local = self.kinds.iter_mut().filter(|kind| kind.window.is_some());
            local.for_each(|kind| kind.rotation = Rotation::Local);
        }
    }

    /// How far the layers look back.
    pub fn sight(&self) -> Sight {
        let windows: Vec<Option<usize>> = self.kinds.iter().map(|kind| kind.window).collect();
        let has_window = windows.iter().any(Option::is_some);
        Sight { windows: if has_window { windows } else { Vec::new() }, score_cap: self.score_cap }
    }

    /// What a layer is.
    pub fn kind(&self, layer: usize) -> LayerKind {
        self.kinds.get(layer).copied().unwrap_or_default()
    }
}

/// What sets a layer apart from others of its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LayerKind {
    /// Tokens that it looks back at, the current one included, where it does not see all of them.
    pub window: Option<usize>,
    /// How its queries and keys turn with their position.
    pub rotation: Rotation,
}

/// How the queries and keys of a layer turn with their position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rotation {
    /// As the model's frequencies and their scaling say.
    #[default]
    Usual,
    /// By frequencies of another base, [`Additions::local_theta`].
    Local,
    /// Not at all.
    None,
}

impl LayerKind {
    /// What sets it apart, in words: "sees the last 512 tokens, does not rotate"; empty for a usual
    /// layer.
    pub fn words(self) -> String {
        let window = self.window.map(|window| format!("sees the last {} tokens", count(window)));
        let turn = match self.rotation {
            Rotation::Usual => None,
            Rotation::Local => Some("rotates by a base of its own".to_owned()),
            Rotation::None => Some("does not rotate".to_owned()),
        };
        window.into_iter().chain(turn).collect::<Vec<_>>().join(", ")
    }

    /// The same for a place with little room: "last 512, no rotation".
    pub fn short_words(self) -> String {
        let window = self.window.map(|window| format!("last {}", count(window)));
        let turn = match self.rotation {
            Rotation::Usual => None,
            Rotation::Local => Some("own base".to_owned()),
            Rotation::None => Some("no rotation".to_owned()),
        };
        window.into_iter().chain(turn).collect::<Vec<_>>().join(", ")
    }
}

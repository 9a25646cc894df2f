//! Where one query head looked, step by step: its attention weights with all channels and under the
//! mask, for a picture of tokens against tokens.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::decode::comparison::Comparison;
use crate::decode::lost::{Asked, repeated};

/// Most steps of a picture: each is repeated, and takes the time of a step.
pub const MOST_STEPS: usize = 48;
/// Most columns of a picture; a column holds the same number of positions in every row.
pub const MOST_COLUMNS: usize = 256;

/// Decode steps and a query head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedRange {
    /// Layer.
    pub layer: usize,
    /// Query head.
    pub head: usize,
    /// The generated tokens that the first and the last step gave, counted from 1.
    pub steps: (usize, usize),
}

/// The attention weights of one step in one query head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attended {
    /// Which step and head.
    pub asked: Asked,
    /// Positions that each number sums up.
    pub each: usize,
    /// Tokens that the query sees.
    pub tokens: usize,
    /// First position of the middle, and the one behind it.
    pub middle: (usize, usize),
    /// Weight of every `each` positions with all channels; all together 1.
    pub exact: Vec<f32>,
    /// The same under the mask.
    pub pruned: Vec<f32>,
}

/// Positions in a column, so that a row of `tokens` fits the columns.
pub fn positions_a_column(tokens: usize) -> usize {
    tokens.div_ceil(MOST_COLUMNS).max(1)
}

/// Repeats the step that gave token `asked.n`, as [`lost`](crate::decode::lost::lost) does, and sums
/// its weights by `each` positions.
///
/// # Errors
/// For steps that cannot be repeated.
pub fn attended(comparison: &Comparison, asked: Asked, each: usize) -> Result<Attended> {
    let step = repeated(comparison, asked)?;
    let exact = step.explanation.exact.as_ref().expect("a dense cache was given");
    let sums = |weights: &[f64]| -> Vec<f32> {
        weights.chunks(each.max(1)).map(|part| part.iter().sum::<f64>() as f32).collect()
    };
    Ok(Attended {
        asked,
        each: each.max(1),
        tokens: step.tokens.len(),
        middle: (step.middle.start, step.middle.end),
        exact: sums(&exact.weights),
        pruned: sums(&step.explanation.pruned.weights),
    })
}

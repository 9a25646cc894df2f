//! How much each channel matters: one number per layer, KV head and channel.

use sha2::{Digest, Sha256};

use super::Shape;
use crate::{Error, Result};

/// Importance of every channel: f32, row-major `[layers, kv_heads, head_dim]`, always finite. A
/// score of 0 or below is never worth keeping by itself; alignment may still add such a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    shape: Shape,
    scores: Vec<f32>,
}

impl Importance {
    /// Importance from its scores in row-major order; refuses a length that does not fit the shape,
    /// NaN and infinity.
    pub fn new(shape: Shape, scores: Vec<f32>) -> Result<Self> {
        if scores.len() != shape.entries() {
            return Err(Error::input(format!(
                "importance of shape {shape} has {} entries, not {}",
                shape.entries(),
                scores.len()
            )));
        }
        if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
            let (head, channel) = (index / shape.head_dim, index % shape.head_dim);
            return Err(Error::input(format!(
                "importance of layer {}, KV head {}, channel {channel}: expected a finite number, found {}",
                head / shape.kv_heads,
                head % shape.kv_heads,
                scores[index]
            )));
        }
        Ok(Self { shape, scores })
    }

    /// The axes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Channels with a score above 0: as many as a selection by the global quantile ever keeps,
    /// apart from what alignment adds.
    pub fn reach(&self) -> usize {
        self.scores.iter().filter(|&&score| score > 0.0).count()
    }

    /// All scores, row-major.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// Sha256 of the scores as little-endian f32, in hexadecimal: identifies importance
    /// independently of the file that it came from.
    pub fn sha256(&self) -> String {
        let bytes: Vec<u8> = self.scores.iter().flat_map(|score| score.to_le_bytes()).collect();
        crate::numbers::hex(&Sha256::digest(bytes))
    }

    /// The scores of one head, `head_dim` of them.
    pub fn head(&self, layer: usize, kv_head: usize) -> &[f32] {
        let start = (layer * self.shape.kv_heads + kv_head) * self.shape.head_dim;
        &self.scores[start..start + self.shape.head_dim]
    }
}

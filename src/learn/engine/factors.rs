//! Factors on the channels of middle keys.

use crate::mask::{ChannelMask, Shape};
use crate::{Error, Result};

/// One factor per layer, KV head and channel, and which heads do not see their middle at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    shape: Shape,
    values: Vec<f32>,
    dropped: Vec<bool>,
    whole: bool,
}

impl Factors {
    /// Exact attention: every key with every channel.
    pub fn whole(shape: Shape) -> Self {
        Self {
            shape,
            values: vec![1.0; shape.entries()],
            dropped: vec![false; shape.heads()],
            whole: true,
        }
    }

    /// Real numbers, `[layers, kv_heads, head_dim]` (stage 1): every head sees its middle.
    pub fn soft(shape: Shape, values: Vec<f32>) -> Result<Self> {
        if values.len() != shape.entries() {
            return Err(Error::input(format!(
                "factors of shape {shape} have {} entries, not {}",
                shape.entries(),
                values.len()
            )));
        }
        Ok(Self { shape, values, dropped: vec![false; shape.heads()], whole: false })
    }

    /// A mask as deployed (stage 2): factors of 1 or 0, and a head that keeps no channel does not
    /// see its middle.
    pub fn masked(mask: &ChannelMask) -> Self {
        Self {
            shape: mask.shape(),
            values: mask.bits().iter().map(|&kept| f32::from(u8::from(kept))).collect(),
            dropped: mask.kept_counts().iter().map(|&count| count == 0).collect(),
            whole: false,
        }
    }

    /// The axes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Whether attention is exact, so that no key counts as middle.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Factors of one head and whether it is dropped.
    pub(super) fn head(&self, layer: usize, kv_head: usize) -> (&[f32], bool) {
        let head = layer * self.shape.kv_heads + kv_head;
        (&self.values[head * self.shape.head_dim..][..self.shape.head_dim], self.dropped[head])
    }
}

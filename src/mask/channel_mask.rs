//! The channel mask itself: one bit per layer, KV head and channel.

use sha2::{Digest, Sha256};

use crate::numbers::count;
use crate::{Error, Result};

/// The axes of a mask or an importance table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    /// Decoder layers.
    pub layers: usize,
    /// KV heads per layer.
    pub kv_heads: usize,
    /// Channels per head.
    pub head_dim: usize,
}

impl Shape {
    /// Channels over all layers and heads.
    pub fn entries(&self) -> usize {
        self.layers * self.kv_heads * self.head_dim
    }

    /// Heads over all layers.
    pub fn heads(&self) -> usize {
        self.layers * self.kv_heads
    }

    /// Every head as `(layer, kv_head)`, in row-major order.
    pub fn each_head(self) -> impl Iterator<Item = (usize, usize)> + Clone {
        (0..self.layers).flat_map(move |layer| (0..self.kv_heads).map(move |head| (layer, head)))
    }

    /// Most layers, KV heads and channels of a head: 64 times as many as models have.
    const LONGEST: usize = 1 << 16;

    /// Most channels over all layers and heads: 96 layers of 96 KV heads with 128 channels, the most
    /// of a published model, are a third of it.
    const MOST_ENTRIES: usize = 1 << 22;

    /// Checks a shape that came from a file or a user: every axis is at least 1, and none is beyond
    /// all models.
    pub fn checked(layers: usize, kv_heads: usize, head_dim: usize) -> Result<Self> {
        let shape = Self { layers, kv_heads, head_dim };
        let entries = layers.checked_mul(kv_heads).and_then(|heads| heads.checked_mul(head_dim));
        let longest = layers.max(kv_heads).max(head_dim);
        match entries {
            Some(0) => Err(Error::input(format!(
                "shape {shape}: expected at least one layer, KV head and channel"
            ))),
            Some(1..=Self::MOST_ENTRIES) if longest <= Self::LONGEST => Ok(shape),
            _ => Err(Error::input(format!(
                "shape {shape}: expected at most {} layers, KV heads and channels each, and {} channels in all",
                count(Self::LONGEST),
                count(Self::MOST_ENTRIES)
            ))),
        }
    }

    /// Rotation frequencies per head: channels `i` and `i + pairs()` rotate together (rotate-half
    /// order).
    pub fn pairs(&self) -> usize {
        self.head_dim / 2
    }

    /// The channel that shares `channel`'s rotation; none for the last channel of an odd head.
    pub fn partner(&self, channel: usize) -> Option<usize> {
        let pairs = self.pairs();
        match channel {
            c if c < pairs => Some(c + pairs),
            c if c < 2 * pairs => Some(c - pairs),
            _ => None,
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "[{} layers, {} KV heads, {} channels]",
            self.layers, self.kv_heads, self.head_dim
        )
    }
}

/// Which channels of the cached keys are kept: `true` = kept, row-major `[layers, kv_heads,
/// head_dim]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChannelMask {
    shape: Shape,
    kept: Vec<bool>,
}

impl ChannelMask {
    /// A mask from its bits in row-major order; refuses a length that does not fit the shape.
    pub fn new(shape: Shape, kept: Vec<bool>) -> Result<Self> {
        if kept.len() != shape.entries() {
            return Err(Error::input(format!(
                "a mask of shape {shape} has {} entries, not {}",
                shape.entries(),
                kept.len()
            )));
        }
        Ok(Self { shape, kept })
    }

    /// The mask that keeps everything: dense decode.
    pub fn full(shape: Shape) -> Self {
        Self { shape, kept: vec![true; shape.entries()] }
    }

    /// A mask whose bit is `keep(layer, kv_head, channel)`.
    pub fn from_fn(shape: Shape, mut keep: impl FnMut(usize, usize, usize) -> bool) -> Self {
        let mut kept = Vec::with_capacity(shape.entries());
        for layer in 0..shape.layers {
            for head in 0..shape.kv_heads {
                kept.extend((0..shape.head_dim).map(|channel| keep(layer, head, channel)));
            }
        }
        Self { shape, kept }
    }

    /// The axes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// All bits, row-major.
    pub fn bits(&self) -> &[bool] {
        &self.kept
    }

    /// The bits of one head, `head_dim` of them.
    pub fn head(&self, layer: usize, kv_head: usize) -> &[bool] {
        let start = (layer * self.shape.kv_heads + kv_head) * self.shape.head_dim;
        &self.kept[start..start + self.shape.head_dim]
    }

    /// The kept channels of one head in ascending order.
    pub fn kept_channels(&self, layer: usize, kv_head: usize) -> Vec<usize> {
        self.head(layer, kv_head)
            .iter()
            .enumerate()
            .filter_map(|(channel, &kept)| kept.then_some(channel))
            .collect()
    }

    /// How many channels one head keeps; 0 makes it a dropped head.
    pub fn kept_count(&self, layer: usize, kv_head: usize) -> usize {
        self.head(layer, kv_head).iter().filter(|&&kept| kept).count()
    }

    /// Kept channels of every head, row-major `[layers, kv_heads]`.
    pub fn kept_counts(&self) -> Vec<usize> {
        self.kept
            .chunks(self.shape.head_dim)
            .map(|head| head.iter().filter(|&&kept| kept).count())
            .collect()
    }

    /// Kept channels over all layers and heads.
    pub fn total_kept(&self) -> usize {
        self.kept.iter().filter(|&&kept| kept).count()
    }

    /// Kept channels over all channels, 0..=1.
    pub fn kept_ratio(&self) -> f64 {
        self.total_kept() as f64 / self.shape.entries() as f64
    }

    /// One byte (0 or 1) per channel in row-major order: the tensor of a mask file.
    pub fn bytes(&self) -> Vec<u8> {
        self.kept.iter().map(|&kept| u8::from(kept)).collect()
    }

    /// Sha256 of [`bytes`](Self::bytes), in hexadecimal: identifies a mask independently of the
    /// file that it came from.
    pub fn sha256(&self) -> String {
        crate::numbers::hex(&Sha256::digest(self.bytes()))
    }

    /// Whether every channel is kept.
    pub fn is_full(&self) -> bool {
        self.kept.iter().all(|&kept| kept)
    }
}

//! What one sequence's cache stores, layer by layer: dense, under a mask or a cache plan, or plainly
//! with fewer bits.

use std::sync::Arc;

use crate::Result;
use crate::cache::{BLOCK, CacheSpec};
use crate::element::Dtype;
use crate::mask::{CachePlan, ChannelMask, Shape, Window};
use crate::model::served::{KvLayer, ServedModel};

/// A plain cache of few bits, as engines have it: every token in blocks of 32 numbers, no window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainBits {
    /// What it is called.
    pub name: &'static str,
    /// Bytes of a block of 32 numbers, scale included.
    pub block_bytes: usize,
}

/// The plain caches that stand beside every plan.
pub const PLAIN: [PlainBits; 2] = [
    PlainBits { name: "8-bit (q8_0)", block_bytes: 34 },
    PlainBits { name: "4-bit (q4_0)", block_bytes: 18 },
];

/// Layers of one kind.
#[derive(Debug, Clone)]
enum Part {
    /// As kscope's own cache stores it.
    Cached { spec: Arc<CacheSpec>, layer: usize },
    /// So many bytes a token, of the last tokens alone where there is a window.
    Tokens { bytes: usize, window: Option<usize> },
}

/// What the cache of one sequence stores, and what it takes in memory.
#[derive(Debug, Clone)]
pub struct KvStore {
    /// Parts, and how many layers are like each.
    parts: Vec<(Part, usize)>,
}

impl KvStore {
    /// Every token at the element type; layers with a window keep its tokens.
    pub fn dense(model: &ServedModel, dtype: Dtype) -> Result<Self> {
        Self::each(model, dtype, |shape| {
            CacheSpec::dense(shape, Window::default(), dtype).map(Arc::new)
        })
    }

    /// Under a mask or a cache plan of the model's own shape. Layers with a window keep their
    /// tokens whole.
    pub fn planned(
        model: &ServedModel,
        dtype: Dtype,
        window: Window,
        plan: CachePlan,
    ) -> Result<Self> {
        model.mask_shape()?;
        let spec = Arc::new(CacheSpec::planned(window, dtype, plan)?);
        let part = |(layer, kv): (usize, &KvLayer)| match kv {
            KvLayer::Heads { window: None, .. } => {
                (Part::Cached { spec: Arc::clone(&spec), layer }, 1)
            }
            other => (tokens(other, |numbers| numbers * dtype.bytes()), 1),
        };
        Ok(Self { parts: model.layers.iter().enumerate().map(part).collect() })
    }

    /// Under a cache plan that is known by its name, whatever heads each layer has.
    pub fn named(model: &ServedModel, dtype: Dtype, window: Window, name: &str) -> Result<Self> {
        Self::without_latents(model)?;
        Self::each(model, dtype, |shape| {
            CacheSpec::planned(window, dtype, CachePlan::named(name, shape)?).map(Arc::new)
        })
    }

    /// As if a mask dropped this share of the K channels at equal counts in every head.
    pub fn sparse(
        model: &ServedModel,
        dtype: Dtype,
        window: Window,
        sparsity: f64,
    ) -> Result<Self> {
        Self::without_latents(model)?;
        Self::each(model, dtype, |shape| {
            let kept = ((1.0 - sparsity) * shape.head_dim as f64).round() as usize;
            let mask = ChannelMask::from_fn(shape, |_, _, channel| channel < kept);
            CacheSpec::new(shape, window, dtype, mask).map(Arc::new)
        })
    }

    /// Every token in blocks of few bits.
    pub fn plain(model: &ServedModel, plain: PlainBits) -> Self {
        let bytes = |numbers: usize| numbers.div_ceil(32) * plain.block_bytes;
        Self { parts: grouped(model.layers.iter().map(|layer| tokens(layer, bytes))) }
    }

    fn without_latents(model: &ServedModel) -> Result<()> {
        let has_latents = model.layers.iter().any(|layer| matches!(layer, KvLayer::Latent { .. }));
        if has_latents { model.mask_shape().map(|_| ()) } else { Ok(()) }
    }

    /// One specification for each kind of layer that looks back at everything.
    fn each(
        model: &ServedModel,
        dtype: Dtype,
        mut spec: impl FnMut(Shape) -> Result<Arc<CacheSpec>>,
    ) -> Result<Self> {
        let mut parts: Vec<(KvLayer, Part, usize)> = Vec::new();
        for &layer in &model.layers {
            if let Some((.., count)) = parts.iter_mut().find(|(kind, ..)| *kind == layer) {
                *count += 1;
                continue;
            }
            let part = match layer {
                KvLayer::Heads { kv_heads, head_dim, window: None } => {
                    let spec = spec(Shape { layers: 1, kv_heads, head_dim })?;
                    Part::Cached { spec, layer: 0 }
                }
                other => tokens(&other, |numbers| numbers * dtype.bytes()),
            };
            parts.push((layer, part, 1));
        }
        Ok(Self { parts: parts.into_iter().map(|(_, part, count)| (part, count)).collect() })
    }

    fn sum(&self, of: impl Fn(&Part) -> usize) -> u64 {
        self.parts.iter().map(|(part, count)| (of(part) * count) as u64).sum()
    }

    /// Bytes of the elements of a sequence of `len` tokens, scales included.
    pub fn bytes(&self, len: usize) -> u64 {
        self.sum(|part| match part {
            Part::Cached { spec, layer } => spec.layer_bytes_at(*layer, len).total(),
            Part::Tokens { bytes, window } => bytes * window.map_or(len, |window| window.min(len)),
        })
    }

    /// Bytes that an allocator holds for it, in blocks of 64 tokens.
    pub fn allocated(&self, len: usize) -> u64 {
        self.sum(|part| match part {
            Part::Cached { spec, layer } => spec.layer_allocated_at(*layer, len),
            Part::Tokens { bytes, window } => in_blocks(*bytes, *window, len),
        })
    }

    /// Bytes to set aside for a sequence that grows to `len` tokens; never less for more tokens.
    pub fn reserved(&self, len: usize) -> u64 {
        self.sum(|part| match part {
            Part::Cached { spec, layer } => spec.layer_reserved_at(*layer, len),
            Part::Tokens { bytes, window } => in_blocks(*bytes, *window, len),
        })
    }
}

fn in_blocks(bytes: usize, window: Option<usize>, len: usize) -> usize {
    bytes * window.map_or(len, |window| window.min(len)).next_multiple_of(BLOCK)
}

/// A layer that stores every token alike; `bytes` is the size of one vector.
fn tokens(layer: &KvLayer, bytes: impl Fn(usize) -> usize) -> Part {
    match *layer {
        KvLayer::Heads { kv_heads, head_dim, window } => {
            Part::Tokens { bytes: 2 * kv_heads * bytes(head_dim), window }
        }
        KvLayer::Latent { width } => Part::Tokens { bytes: bytes(width), window: None },
    }
}

fn grouped(parts: impl Iterator<Item = Part>) -> Vec<(Part, usize)> {
    let mut groups: Vec<(Part, usize)> = Vec::new();
    for part in parts {
        let same = |other: &Part| match (&part, other) {
            (
                Part::Tokens { bytes, window },
                Part::Tokens { bytes: of_other, window: window_of_other },
            ) => bytes == of_other && window == window_of_other,
            _ => false,
        };
        match groups.iter_mut().find(|(other, _)| same(other)) {
            Some((_, count)) => *count += 1,
            None => groups.push((part, 1)),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::bytes;

    fn model(name: &str) -> ServedModel {
        ServedModel::known(name).unwrap()
    }

    #[test]
    fn windows_and_latents_cost_what_their_configurations_say() {
        // Gemma 3 27B: 10 layers look back at everything, 52 at 1,024 tokens.
        let token = 2 * 16 * 128 * 2;
        let gemma = KvStore::dense(&model("gemma-3-27b"), Dtype::Bf16).unwrap();
        assert_eq!(gemma.bytes(32_768), token * (10 * 32_768 + 52 * 1024));
        assert_eq!(gemma.bytes(1000), token * 62 * 1000);
        // DeepSeek-V3: 61 layers of 512 + 64 numbers.
        let deepseek = KvStore::dense(&model("deepseek-v3"), Dtype::Bf16).unwrap();
        assert_eq!(deepseek.bytes(1000), 61 * 576 * 2 * 1000);
        for store in [
            KvStore::sparse(&model("deepseek-v3"), Dtype::Bf16, Window::default(), 0.5),
            KvStore::named(&model("deepseek-v3"), Dtype::Bf16, Window::default(), "k8v8"),
        ] {
            assert!(store.unwrap_err().to_string().contains("latent"));
        }
        // A window leaves its layers whole under a mask.
        let sparse =
            KvStore::sparse(&model("gemma-3-27b"), Dtype::Bf16, Window::default(), 1.0).unwrap();
        assert!(sparse.bytes(32_768) > token * 52 * 1024);
        assert!(sparse.bytes(32_768) < token * (52 * 1024 + 10 * 200));
    }

    #[test]
    fn one_formula_of_bytes_for_masks_plans_and_shares() {
        let llama = model("llama-3.1-8b");
        let shape = llama.mask_shape().unwrap();
        let window = Window::default();
        let mask = ChannelMask::from_fn(shape, |_, _, channel| channel < 64);
        let plan = CachePlan::of_mask(&mask);
        let planned = KvStore::planned(&llama, Dtype::F16, window, plan.clone()).unwrap();
        let sparse = KvStore::sparse(&llama, Dtype::F16, window, 0.5).unwrap();
        let dense = KvStore::dense(&llama, Dtype::F16).unwrap();
        for len in [1, 200, 4223, 32_768] {
            assert_eq!(planned.bytes(len), bytes::planned(&plan, window, len, 2).total());
            assert_eq!(planned.bytes(len), sparse.bytes(len));
            assert_eq!(planned.allocated(len), sparse.allocated(len));
            assert_eq!(dense.bytes(len), bytes::dense(shape, len, 2).total());
        }
        let plain = KvStore::plain(&llama, PLAIN[0]);
        assert_eq!(plain.bytes(1000) * 64, dense.bytes(1000) * 34);
    }

    #[test]
    fn more_tokens_or_bits_never_take_less_and_more_sparsity_never_more() {
        for name in ["llama-3.1-8b", "gemma-3-4b", "gpt-oss-20b", "qwen3-0.6b"] {
            let model = model(name);
            let window = Window::default();
            let at = |sparsity| KvStore::sparse(&model, Dtype::F16, window, sparsity).unwrap();
            let stores: Vec<KvStore> =
                [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0].into_iter().map(at).collect();
            let named = ["k8v8", "k8v4", "k4v4"]
                .map(|name| KvStore::named(&model, Dtype::F16, window, name).unwrap());
            for len in (1..6000).step_by(97) {
                for pair in stores.windows(2) {
                    assert!(pair[0].bytes(len) >= pair[1].bytes(len), "{name} at {len}");
                }
                for pair in named.windows(2) {
                    assert!(pair[0].bytes(len) >= pair[1].bytes(len), "{name} at {len}");
                }
                for store in stores.iter().chain(&named) {
                    assert!(store.reserved(len) <= store.reserved(len + 97), "{name} at {len}");
                    assert!(store.allocated(len) <= store.reserved(len), "{name} at {len}");
                    assert!(store.bytes(len) <= store.allocated(len), "{name} at {len}");
                }
            }
        }
    }
}

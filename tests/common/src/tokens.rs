//! Shared code of the attention tests: random caches, and an independent attention without blocks
//! or parts.

use std::sync::{Arc, Once};

use kscope::attention::{Attention, DecodeItem, SimdLevel, oracle};
use kscope::cache::{CacheSpec, SequenceCache};
use kscope::element::Dtype;
use kscope::mask::{ChannelMask, Shape, Window};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::error;
use crate::needs::cannot_run_here;

/// The instruction-set levels of this machine; prints which ones it cannot test.
pub fn levels() -> Vec<SimdLevel> {
    let (have, lack): (Vec<_>, Vec<_>) =
        SimdLevel::ALL.into_iter().partition(|level| level.is_available());
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        for level in lack {
            cannot_run_here(&format!("its processor has no {level} instructions"));
        }
    });
    have
}

/// Largest error allowed, relative to the largest output.
pub fn tolerance(level: SimdLevel, dtype: Dtype) -> f64 {
    match (level, dtype) {
        (SimdLevel::Avx512Bf16, Dtype::Bf16) => 1e-2,
        (_, Dtype::F32) => 1e-5,
        _ => 1e-3,
    }
}

/// Keys and values of a sequence, `[layers][tokens, kv_heads, head_dim]`, and one query row per
/// layer.
#[derive(Clone)]
pub struct Tokens {
    pub shape: Shape,
    pub group: usize,
    pub k: Vec<Vec<f32>>,
    pub v: Vec<Vec<f32>>,
    pub q: Vec<Vec<f32>>,
}

impl Tokens {
    pub fn random(shape: Shape, group: usize, len: usize, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let row = shape.kv_heads * shape.head_dim;
        let mut fill = |len: usize, size: f32| -> Vec<Vec<f32>> {
            (0..shape.layers)
                .map(|_| (0..len).map(|_| size * (rng.random::<f32>() * 2.0 - 1.0)).collect())
                .collect()
        };
        Self {
            shape,
            group,
            k: fill(len * row, 2.0),
            v: fill(len * row, 1.0),
            q: fill(group * row, 2.0),
        }
    }

    pub fn len(&self) -> usize {
        self.k[0].len() / self.row()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn row(&self) -> usize {
        self.shape.kv_heads * self.shape.head_dim
    }

    /// A cache with these tokens, appended in pieces of `piece` tokens.
    pub fn cache_in_pieces(&self, spec: &Arc<CacheSpec>, piece: usize) -> SequenceCache {
        let mut cache = SequenceCache::new(Arc::clone(spec));
        for layer in 0..self.shape.layers {
            for (k, v) in self.k[layer]
                .chunks(piece * self.row())
                .zip(self.v[layer].chunks(piece * self.row()))
            {
                cache.append(layer, k, v);
            }
        }
        cache
    }

    pub fn cache(&self, spec: &Arc<CacheSpec>) -> SequenceCache {
        self.cache_in_pieces(spec, self.len().max(1))
    }

    /// Appends the tokens `from ..` to a cache that holds the first `from`.
    pub fn extend(&self, cache: &mut SequenceCache, from: usize, to: usize) {
        for layer in 0..self.shape.layers {
            let range = from * self.row()..to * self.row();
            cache.append(layer, &self.k[layer][range.clone()], &self.v[layer][range]);
        }
    }

    /// Appends all tokens to an empty cache, in pieces of these lengths, over and over.
    pub fn extend_in(&self, cache: &mut SequenceCache, pieces: &[usize]) {
        let mut from = 0;
        for piece in pieces.iter().cycle() {
            let to = (from + piece).min(self.len());
            self.extend(cache, from, to);
            from = to;
            if from == self.len() {
                break;
            }
        }
    }

    /// The first `len` tokens.
    pub fn first(&self, len: usize) -> Self {
        let cut = |rows: &Vec<Vec<f32>>| {
            rows.iter().map(|row| row[..len * self.row()].to_vec()).collect()
        };
        Self { k: cut(&self.k), v: cut(&self.v), ..self.clone() }
    }
}

pub fn shape(layers: usize, kv_heads: usize, head_dim: usize) -> Shape {
    Shape { layers, kv_heads, head_dim }
}

pub fn spec(shape: Shape, window: Window, dtype: Dtype, mask: ChannelMask) -> Arc<CacheSpec> {
    Arc::new(CacheSpec::new(shape, window, dtype, mask).unwrap())
}

/// A mask whose heads keep these numbers of channels, in turn, at random positions.
pub fn mask_with_counts(shape: Shape, counts: &[usize], seed: u64) -> ChannelMask {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut kept = Vec::new();
    for head in 0..shape.heads() {
        let mut bits = vec![false; shape.head_dim];
        for channel in
            rand::seq::index::sample(&mut rng, shape.head_dim, counts[head % counts.len()])
        {
            bits[channel] = true;
        }
        kept.extend(bits);
    }
    ChannelMask::new(shape, kept).unwrap()
}

/// Attention of one layer by the fast path.
pub fn attend(level: SimdLevel, cache: &SequenceCache, layer: usize, q: &[f32]) -> Vec<f32> {
    let mut out = vec![f32::NAN; q.len()];
    Attention::with_level(level)
        .unwrap()
        .decode(layer, &mut [DecodeItem { cache, q, out: &mut out }]);
    out
}

pub fn oracle(cache: &SequenceCache, layer: usize, q: &[f32]) -> Vec<f32> {
    let mut out = vec![f32::NAN; q.len()];
    oracle::decode(cache, layer, q, &mut out);
    out
}

/// Dense attention with masked keys, directly from the tokens: keys and values are rounded to
/// `dtype`, the keys of middle tokens are multiplied by the mask, and middle tokens of dropped
/// heads are left out. No cache, no blocks, no parts.
pub fn masked_softmax(
    tokens: &Tokens,
    window: Window,
    dtype: Dtype,
    mask: &ChannelMask,
    layer: usize,
) -> Vec<f32> {
    let (shape, len) = (tokens.shape, tokens.len());
    let rounded = |x: f32| match dtype {
        Dtype::F32 => f64::from(x),
        Dtype::F16 => half::f16::from_f32(x).to_f64(),
        Dtype::Bf16 => half::bf16::from_f32(x).to_f64(),
    };
    let over = len.saturating_sub(window.sink + window.recent);
    let middle = window.sink..window.sink + over / window.chunk * window.chunk;
    let mut out = Vec::new();
    for (head, q) in tokens.q[layer].chunks(shape.head_dim).enumerate() {
        let kv = head / tokens.group;
        let bits = mask.head(layer, kv);
        let dropped = !bits.contains(&true);
        let mut weights = vec![0.0; len];
        for (t, weight) in weights.iter_mut().enumerate() {
            if dropped && middle.contains(&t) {
                continue;
            }
            let key = &tokens.k[layer][t * tokens.row() + kv * shape.head_dim..][..shape.head_dim];
            let dot: f64 = (0..shape.head_dim)
                .filter(|&c| bits[c] || !middle.contains(&t))
                .map(|c| f64::from(q[c]) * rounded(key[c]))
                .sum();
            *weight = (dot / (shape.head_dim as f64).sqrt()).exp();
        }
        let sum: f64 = weights.iter().sum();
        out.extend((0..shape.head_dim).map(|c| {
            let value =
                |t: usize| rounded(tokens.v[layer][t * tokens.row() + kv * shape.head_dim + c]);
            ((0..len).map(|t| weights[t] * value(t)).sum::<f64>()
                / if sum > 0.0 { sum } else { 1.0 }) as f32
        }));
    }
    out
}

/// Checks every level of this machine against the oracle, and the oracle against the dense masked
/// softmax, on every layer.
pub fn check(tokens: &Tokens, spec: &Arc<CacheSpec>, piece: usize) {
    let cache = tokens.cache_in_pieces(spec, piece);
    for layer in 0..tokens.shape.layers {
        let q = &tokens.q[layer];
        let expected = oracle(&cache, layer, q);
        let plain = masked_softmax(tokens, spec.window(), spec.dtype(), spec.mask(), layer);
        assert!(
            error(&expected, &plain) < 1e-6,
            "oracle differs by {} from the plain softmax",
            error(&expected, &plain)
        );
        for level in levels() {
            let error = error(&attend(level, &cache, layer, q), &expected);
            let allowed = tolerance(level, spec.dtype());
            assert!(
                error <= allowed,
                "{level} {} layer {layer} of {}: error {error:e}",
                spec.dtype(),
                tokens.shape
            );
        }
    }
}

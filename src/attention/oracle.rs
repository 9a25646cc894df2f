//! The scalar reference: decode attention as docs/ARCHITECTURE.md ("Decode semantics") defines it,
//! one token after the other, in f64.
//!
//! It reads the same stored, rounded values as the fast paths. Every fast path is tested against
//! it.

use super::AttentionScale;
use crate::cache::{HeadView, SequenceCache, StoredKey};

/// Attention of one token over one layer. `q` (after RoPE) and `out` are `[heads, head_dim]`; the
/// group of query heads `g * h .. g * (h + 1)`, `g = heads / kv_heads`, reads KV head `h`.
///
/// The current token is in the cache already. A head that sees no token at all gives zeros.
pub fn decode(cache: &SequenceCache, layer: usize, q: &[f32], out: &mut [f32]) {
    let shape = cache.spec().shape();
    let group = q.len() / (shape.kv_heads * shape.head_dim);

    for (head, (q, out)) in q.chunks(shape.head_dim).zip(out.chunks_mut(shape.head_dim)).enumerate()
    {
        let kv = cache.head(layer, head / group);

        // Match the query with each key, and turn the matches into shares of attention.
        let weights = softmax(&logits(&kv, q));

        // The output is the weighted mean of the values.
        let mut sum = vec![0.0; shape.head_dim];
        for (position, weight) in weights.into_iter().enumerate() {
            if let Some(value) = kv.value(position) {
                for (sum, value) in sum.iter_mut().zip(value) {
                    *sum += weight * f64::from(value);
                }
            }
        }
        for (out, sum) in out.iter_mut().zip(sum) {
            *out = sum as f32;
        }
    }
}

/// `q . k / sqrt(head_dim)` per token, capped where the model does so, over the channels that its key
/// is stored with; `None` for a token that a dropped head or the layer's window does not see. The scale has the full `head_dim` however few channels
/// are kept.
pub fn logits(kv: &HeadView<'_>, q: &[f32]) -> Vec<Option<f64>> {
    let scale = AttentionScale::of(q.len()).f64();
    let cap = kv.score_cap().map(f64::from);
    let capped = |score: f64| cap.map_or(score, |cap| cap * (score / cap).tanh());
    let dot = |channel: usize, k: f32| f64::from(q[channel]) * f64::from(k);

    (0..kv.len())
        .map(|position| match kv.key(position) {
            StoredKey::Whole(key) => Some(capped(
                key.iter().enumerate().map(|(channel, &k)| dot(channel, k)).sum::<f64>() * scale,
            )),
            StoredKey::Packed(key) => Some(capped(
                key.iter().zip(kv.kept()).map(|(&k, &channel)| dot(channel, k)).sum::<f64>()
                    * scale,
            )),
            StoredKey::Dropped => None,
        })
        .collect()
}

/// Weights that sum to 1 over the tokens that are seen; 0 for the others.
pub fn softmax(logits: &[Option<f64>]) -> Vec<f64> {
    let largest = logits.iter().flatten().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    let weights: Vec<f64> =
        logits.iter().map(|logit| logit.map_or(0.0, |logit| (logit - largest).exp())).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| if sum > 0.0 { weight / sum } else { 0.0 }).collect()
}

//! Bytes of a dense and of a pruned K/V cache, and what follows from them: savings and the bound on
//! attention speed.
//!
//! A middle token costs, per layer and KV head, what [`HeadBytes`](super::HeadBytes) says: under a
//! mask the kept key channels plus the whole value; a dropped head stores neither. Every other token
//! costs `2 * head_dim` elements per head. Batch is 1 everywhere.

use super::{CachePlan, ChannelMask, Shape, Window, group_tokens};

/// So many middle tokens are whole groups with whole bytes of codes, whatever the plan: they stand
/// for a long context.
pub(super) const MANY_TOKENS: usize = 64;

/// Bytes of keys and of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct KvBytes {
    /// Bytes of cached keys.
    pub k: u64,
    /// Bytes of cached values.
    pub v: u64,
}

impl KvBytes {
    /// Keys and values together.
    pub fn total(&self) -> u64 {
        self.k + self.v
    }
}

/// Shares of the dense cache that a mask does not store, 0..=1, and the speed that this allows.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Savings {
    /// Share of key bytes saved.
    pub k: f64,
    /// Share of value bytes saved.
    pub v: f64,
    /// Share of key and value bytes saved.
    pub kv: f64,
    /// [`attention_bound`] of dense and pruned bytes.
    pub attention_speed_bound: Option<f64>,
}

/// How much faster a decode attention that is limited by reading the cache can become at most: dense
/// bytes over stored ones. `None` where nothing is stored.
pub fn attention_bound(dense: u64, stored: u64) -> Option<f64> {
    (stored > 0).then(|| dense as f64 / stored as f64)
}

/// Bytes per token of a cache that keeps every channel, all layers; `element_size` in bytes.
pub fn dense_token(shape: Shape, element_size: usize) -> KvBytes {
    let half = (shape.entries() * element_size) as u64;
    KvBytes { k: half, v: half }
}

/// Bytes of `tokens` middle tokens of a plan, all layers: a multiple of the
/// [`group_tokens`](super::group_tokens) of the chunk that the middle grows by.
pub fn middle(plan: &CachePlan, chunk: usize, tokens: usize, element_size: usize) -> KvBytes {
    let group = group_tokens(chunk);
    plan.shape().each_head().fold(KvBytes { k: 0, v: 0 }, |sum, head| {
        let [k, v] = plan.head_bytes(head, element_size).at(tokens, group);
        KvBytes { k: sum.k + k as u64, v: sum.v + v as u64 }
    })
}

/// Bytes of a cache of `tokens` tokens under a plan; sink, recent window and tokens not yet moved
/// are counted whole.
pub fn planned(plan: &CachePlan, window: Window, tokens: usize, element_size: usize) -> KvBytes {
    let in_middle = window.middle(tokens);
    let whole = dense(plan.shape(), tokens - in_middle, element_size);
    let part = middle(plan, window.chunk, in_middle, element_size);
    KvBytes { k: whole.k + part.k, v: whole.v + part.v }
}

/// Bytes per middle token under a mask, all layers.
pub fn middle_token(mask: &ChannelMask, element_size: usize) -> KvBytes {
    middle_token_of_counts(mask.shape(), &mask.kept_counts(), element_size)
}

/// [`middle_token`] from kept counts alone, `[layers, kv_heads]`.
pub(super) fn middle_token_of_counts(
    shape: Shape,
    counts: &[usize],
    element_size: usize,
) -> KvBytes {
    let kept: usize = counts.iter().sum();
    let storing = counts.iter().filter(|&&count| count > 0).count();
    KvBytes { k: (kept * element_size) as u64, v: (storing * shape.head_dim * element_size) as u64 }
}

/// Bytes of a dense cache of `tokens` tokens.
pub fn dense(shape: Shape, tokens: usize, element_size: usize) -> KvBytes {
    let token = dense_token(shape, element_size);
    KvBytes { k: token.k * tokens as u64, v: token.v * tokens as u64 }
}

/// Bytes of a pruned cache of `tokens` tokens; sink, recent window and tokens not yet moved are
/// counted whole.
pub fn pruned(mask: &ChannelMask, window: Window, tokens: usize, element_size: usize) -> KvBytes {
    pruned_of_counts(mask.shape(), &mask.kept_counts(), window, tokens, element_size)
}

/// [`pruned`] from kept counts alone, `[layers, kv_heads]`.
pub(super) fn pruned_of_counts(
    shape: Shape,
    counts: &[usize],
    window: Window,
    tokens: usize,
    element_size: usize,
) -> KvBytes {
    let middle = window.middle(tokens);
    let (whole, part) = (
        dense(shape, tokens - middle, element_size),
        middle_token_of_counts(shape, counts, element_size),
    );
    KvBytes { k: whole.k + part.k * middle as u64, v: whole.v + part.v * middle as u64 }
}

/// Savings at a context of `tokens` tokens, or the limit for long contexts, where the window weighs
/// nothing.
pub fn savings(mask: &ChannelMask, at: Option<(Window, usize)>) -> Savings {
    let chunk = at.map_or(1, |(window, _)| window.chunk);
    savings_of_plan(&CachePlan::of_mask(mask), chunk, 1, at)
}

/// [`savings`] of a plan whose middle grows by chunks of `chunk` tokens, against a dense cache of
/// elements of this size.
pub fn savings_of_plan(
    plan: &CachePlan,
    chunk: usize,
    element_size: usize,
    at: Option<(Window, usize)>,
) -> Savings {
    let (pruned, dense) = match at {
        Some((window, tokens)) => {
            (planned(plan, window, tokens, element_size), dense(plan.shape(), tokens, element_size))
        }
        None => (
            middle(plan, chunk, MANY_TOKENS, element_size),
            dense(plan.shape(), MANY_TOKENS, element_size),
        ),
    };
    let saved =
        |part: u64, whole: u64| if whole == 0 { 0.0 } else { 1.0 - part as f64 / whole as f64 };
    Savings {
        k: saved(pruned.k, dense.k),
        v: saved(pruned.v, dense.v),
        kv: saved(pruned.total(), dense.total()),
        attention_speed_bound: attention_bound(dense.total(), pruned.total()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_follow_the_deployment_layout() {
        // LeanK's deployed layout: 2c + 256 bytes per middle token and head in bf16, 0 for a
        // dropped head, 512 dense.
        let shape = Shape { layers: 1, kv_heads: 3, head_dim: 128 };
        let mask = ChannelMask::from_fn(shape, |_, head, channel| channel < [0, 32, 96][head]);
        assert_eq!(middle_token(&mask, 2), KvBytes { k: 2 * 128, v: 2 * 256 });
        assert_eq!(dense_token(shape, 2).total(), 3 * 512);

        let window = Window { sink: 4, recent: 8, chunk: 4 };
        assert_eq!(
            pruned(&mask, window, 12, 2),
            dense(shape, 12, 2),
            "nothing is pruned inside the window"
        );
        assert_eq!(
            pruned(&mask, window, 15, 2),
            dense(shape, 15, 2),
            "nothing moves before a whole chunk has gathered"
        );
        let expected = 3 * 512 * (30 - 16) + (256 + 512) * 16;
        assert_eq!(pruned(&mask, window, 30, 2).total(), expected);
    }

    #[test]
    fn masks_and_plans_have_one_formula() {
        use crate::mask::{Coding, Width};
        let shape = Shape { layers: 2, kv_heads: 2, head_dim: 64 };
        let mask =
            ChannelMask::from_fn(shape, |layer, head, channel| channel < 20 * (layer + head));
        let plan = CachePlan::of_mask(&mask);
        for chunk in [1, 24, 32, 64] {
            let window = Window { sink: 4, recent: 8, chunk };
            for tokens in [1, 13, 500] {
                assert_eq!(
                    planned(&plan, window, tokens, 2),
                    pruned(&mask, window, tokens, 2),
                    "{chunk} {tokens}"
                );
            }
            let (many, token) = (middle(&plan, chunk, 64, 4), middle_token(&mask, 4));
            assert_eq!((many.k, many.v), (token.k * 64, token.v * 64));
        }
        // 8.5 bits for K and 4.5 for V, of 16 and 16.
        let coded = CachePlan::uniform(shape, Width::Eight, Width::Four, Coding::best(64)).unwrap();
        let saved = savings_of_plan(&coded, 64, 2, None);
        assert_eq!((saved.k, saved.v), (1.0 - 8.5 / 16.0, 1.0 - 4.5 / 16.0));
        assert_eq!(saved.attention_speed_bound, Some(32.0 / 13.0));
        // Against elements of 4 bytes the codes save more.
        assert_eq!(savings_of_plan(&coded, 64, 4, None).k, 1.0 - 8.5 / 32.0);
        let window = Window { sink: 0, recent: 64, chunk: 64 };
        let near = savings_of_plan(&coded, 64, 2, Some((window, 128)));
        assert_eq!(near.v, (1.0 - 4.5 / 16.0) / 2.0);
    }

    #[test]
    fn a_dense_cache_of_the_authors_benchmark_has_their_size() {
        let llama = Shape { layers: 32, kv_heads: 8, head_dim: 128 };
        let gib = (dense(llama, 4223, 2).total() * 52) as f64 / f64::from(1 << 30);
        assert!((gib - 26.8).abs() < 0.05, "{gib}");
    }

    #[test]
    fn a_mask_that_keeps_nothing_has_no_speed_bound_at_the_limit() {
        let shape = Shape { layers: 2, kv_heads: 1, head_dim: 4 };
        let nothing = ChannelMask::from_fn(shape, |_, _, _| false);
        let limit = savings(&nothing, None);
        assert_eq!(
            (limit.k, limit.v, limit.kv, limit.attention_speed_bound),
            (1.0, 1.0, 1.0, None)
        );
        let near = savings(&nothing, Some((Window { sink: 1, recent: 1, chunk: 1 }, 4)));
        assert_eq!((near.kv, near.attention_speed_bound), (0.5, Some(2.0)));
    }
}

//! Numbers on what a mask keeps and saves.

use std::collections::BTreeMap;

use super::{CachePlan, ChannelMask, Window, bytes, rules};

/// The context and element type that [`Statistics`] are computed for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StatisticsSetting {
    /// Window and context in tokens for the savings; the long-context limit where None.
    pub at: Option<(Window, usize)>,
    /// Bytes of one cached element.
    pub element_size: usize,
}

/// Every number that describes one mask, or the channels that a plan stores and their bytes. Ratios and shares are 0..=1.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Statistics {
    /// Decoder layers.
    pub layers: usize,
    /// KV heads per layer.
    pub kv_heads: usize,
    /// Channels per head.
    pub head_dim: usize,
    /// Kept channels, all layers and heads.
    pub kept: usize,
    /// Kept channels over all channels.
    pub kept_ratio: f64,
    /// Share of key bytes saved, at the setting's context.
    pub k_saving: f64,
    /// Share of value bytes saved, at the setting's context.
    pub v_saving: f64,
    /// Share of key and value bytes saved, at the setting's context.
    pub kv_saving: f64,
    /// Heads that keep no channel.
    pub dropped_heads: usize,
    /// Heads per kept count; 0 is always there.
    pub kept_histogram: BTreeMap<usize, usize>,
    /// Bytes of a middle token, K and V, all layers; of a plan rounded, because scales of K are
    /// shared by several tokens.
    pub bytes_per_middle_token: u64,
    /// Bytes of a token of the dense cache.
    pub dense_bytes_per_token: u64,
    /// Dense over pruned bytes at the setting's context; None where nothing is read.
    pub attention_speed_bound: Option<f64>,
    /// Share of kept channels whose rotation partner is kept too.
    pub pair_share: f64,
    /// Share of channels kept if every half-kept pair kept both.
    pub pair_closed_ratio: f64,
    /// Share of kept channels in the slow half of the rotation frequencies.
    pub slow_half_share: f64,
    /// Share of kept channels that slowest-first keeps at equal per-head counts.
    pub slowest_first_overlap: f64,
    /// [`Self::slowest_first_overlap`] with random channels in place of slowest-first, on average.
    pub random_overlap: f64,
    /// Kept channels of each layer.
    pub kept_per_layer: Vec<usize>,
    /// Heads of each layer that keep no channel.
    pub dropped_heads_per_layer: Vec<usize>,
    /// Kept channels of each head, layer by layer.
    pub kept_per_head: Vec<Vec<usize>>,
    /// Kept share per rotation index, fast to slow, both channels of the pair and all heads pooled.
    pub frequency_shares: Vec<f64>,
    /// [`Self::frequency_shares`] of the heads that keep at least one channel.
    pub frequency_shares_of_stored_heads: Vec<f64>,
    /// Sha256 of the mask as one byte per channel, row-major; of a plan that is no mask, that of its
    /// widths.
    pub sha256: String,
}

impl Statistics {
    /// Computes all numbers of `mask`.
    pub fn of(mask: &ChannelMask, setting: &StatisticsSetting) -> Self {
        let chunk = setting.at.map_or(1, |(window, _)| window.chunk);
        Self::of_plan(&CachePlan::of_mask(mask), chunk, setting)
    }

    /// Computes all numbers of a plan whose middle grows by chunks of `chunk` tokens. Kept channels
    /// are those that store anything.
    pub fn of_plan(plan: &CachePlan, chunk: usize, setting: &StatisticsSetting) -> Self {
        let mask = plan.mask();
        let shape = mask.shape();
        let counts = mask.kept_counts();
        let kept: usize = counts.iter().sum();
        let of_kept = |part: usize| part as f64 / kept.max(1) as f64;
        let savings = bytes::savings_of_plan(plan, chunk, setting.element_size, setting.at);
        let pairs = PairCounts::of(mask);
        let storing = counts.iter().filter(|&&count| count > 0).count();

        let mut kept_histogram = BTreeMap::from([(0, 0)]);
        for &count in &counts {
            *kept_histogram.entry(count).or_insert(0) += 1;
        }
        let per_layer: Vec<&[usize]> = counts.chunks(shape.kv_heads).collect();
        let share_among = |heads: usize| -> Vec<f64> {
            pairs.kept_at.iter().map(|&kept| kept as f64 / (2 * heads.max(1)) as f64).collect()
        };
        Self {
            layers: shape.layers,
            kv_heads: shape.kv_heads,
            head_dim: shape.head_dim,
            kept,
            kept_ratio: mask.kept_ratio(),
            k_saving: savings.k,
            v_saving: savings.v,
            kv_saving: savings.kv,
            dropped_heads: shape.heads() - storing,
            kept_histogram,
            bytes_per_middle_token: token_bytes(plan, chunk, setting.element_size),
            dense_bytes_per_token: bytes::dense_token(shape, setting.element_size).total(),
            attention_speed_bound: savings.attention_speed_bound,
            pair_share: of_kept(2 * pairs.both),
            pair_closed_ratio: (kept + pairs.one) as f64 / shape.entries() as f64,
            slow_half_share: of_kept(pairs.kept_at[shape.pairs() / 2..].iter().sum()),
            slowest_first_overlap: rules::slowest_first_overlap(mask),
            random_overlap: rules::random_overlap(mask),
            kept_per_layer: per_layer.iter().map(|layer| layer.iter().sum()).collect(),
            dropped_heads_per_layer: per_layer
                .iter()
                .map(|layer| layer.iter().filter(|&&count| count == 0).count())
                .collect(),
            kept_per_head: per_layer.iter().map(|layer| layer.to_vec()).collect(),
            frequency_shares: share_among(shape.heads()),
            frequency_shares_of_stored_heads: share_among(storing),
            sha256: if plan.is_mask() { mask.sha256() } else { plan.sha256() },
        }
    }
}

/// Bytes of a middle token, all layers, to the nearest whole number.
fn token_bytes(plan: &CachePlan, chunk: usize, element_size: usize) -> u64 {
    let many = bytes::middle(plan, chunk, bytes::MANY_TOKENS, element_size).total();
    let tokens = bytes::MANY_TOKENS as u64;
    (many + tokens / 2) / tokens
}

/// Channels that alignment added (above 0) or took (below 0) against the exact budget of
/// `sparsity`.
pub fn alignment_cost(mask: &ChannelMask, sparsity: f64) -> i64 {
    let exact = ((1.0 - sparsity) * mask.shape().entries() as f64).round();
    mask.total_kept() as i64 - exact as i64
}

/// How the rotation pairs of all heads are kept.
struct PairCounts {
    /// Pairs with both channels kept.
    both: usize,
    /// Pairs with exactly one channel kept.
    one: usize,
    /// Kept channels per rotation index, 0 to 2 from each head.
    kept_at: Vec<usize>,
}

impl PairCounts {
    fn of(mask: &ChannelMask) -> Self {
        let pairs = mask.shape().pairs();
        let mut counts = Self { both: 0, one: 0, kept_at: vec![0; pairs] };
        for head in mask.bits().chunks(mask.shape().head_dim) {
            for (index, kept_at) in counts.kept_at.iter_mut().enumerate() {
                match usize::from(head[index]) + usize::from(head[index + pairs]) {
                    0 => {}
                    1 => (counts.one, *kept_at) = (counts.one + 1, *kept_at + 1),
                    _ => (counts.both, *kept_at) = (counts.both + 1, *kept_at + 2),
                }
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Shape;

    const LIMIT: StatisticsSetting = StatisticsSetting { at: None, element_size: 2 };

    #[test]
    fn pairs_and_frequencies_of_a_small_mask() {
        let shape = Shape { layers: 1, kv_heads: 2, head_dim: 4 };
        // Head 0 keeps the whole slow pair and one channel of the fast one; head 1 is dropped.
        let mask =
            ChannelMask::new(shape, vec![true, true, false, true, false, false, false, false])
                .unwrap();
        let stats = Statistics::of(&mask, &LIMIT);
        assert_eq!((stats.kept, stats.dropped_heads), (3, 1));
        assert_eq!((stats.pair_share, stats.pair_closed_ratio), (2.0 / 3.0, 0.5));
        assert_eq!(stats.frequency_shares, [0.25, 0.5]);
        assert_eq!(stats.frequency_shares_of_stored_heads, [0.5, 1.0]);
        assert_eq!(stats.slow_half_share, 2.0 / 3.0);
        assert_eq!(stats.kept_histogram, BTreeMap::from([(0, 1), (3, 1)]));
        assert_eq!(stats.kept_per_head, [[3, 0]]);
        assert_eq!(alignment_cost(&mask, 0.75), 1);
    }

    #[test]
    fn a_mask_without_kept_channels_or_with_a_single_channel_has_finite_numbers() {
        for head_dim in [1, 3, 8] {
            let shape = Shape { layers: 2, kv_heads: 1, head_dim };
            let stats = Statistics::of(&ChannelMask::from_fn(shape, |_, _, _| false), &LIMIT);
            assert_eq!(
                (stats.kept_ratio, stats.v_saving, stats.attention_speed_bound),
                (0.0, 1.0, None)
            );
            assert_eq!(
                (stats.pair_share, stats.slowest_first_overlap, stats.random_overlap),
                (0.0, 0.0, 0.0)
            );
            let full = Statistics::of(&ChannelMask::full(shape), &LIMIT);
            assert_eq!(
                (full.kv_saving, full.attention_speed_bound, full.slowest_first_overlap),
                (0.0, Some(1.0), 1.0)
            );
        }
    }
}

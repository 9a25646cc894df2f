//! Live importance: how much each channel moves the scores of the current step.

use crate::cache::SequenceCache;

/// Writes the mean of `|q_c k_c|` over the middle tokens and the query heads of each group, per KV
/// head and channel of one layer, into `activity`, `[kv_heads, head_dim]`. Channels that are not
/// stored, and an empty middle, give 0. `q` (after RoPE) is `[heads, head_dim]`.
///
/// # Panics
/// When `activity` or `q` has another shape, or a device that holds the cache fails.
pub fn channel_activity(cache: &SequenceCache, layer: usize, q: &[f32], activity: &mut [f32]) {
    let shape = cache.spec().shape();
    let (row, head_dim) = (shape.kv_heads * shape.head_dim, shape.head_dim);
    assert!(q.len().is_multiple_of(row), "q is [heads, head_dim]");
    assert_eq!(activity.len(), row, "activity is [kv_heads, head_dim]");
    if let Some(remote) = cache.remote() {
        activity
            .copy_from_slice(&remote.activity(layer, q).unwrap_or_else(|error| panic!("{error}")));
        return;
    }
    let group = q.len() / row;
    activity.fill(0.0);
    for (kv_head, (activity, q)) in
        activity.chunks_mut(head_dim).zip(q.chunks(group * head_dim)).enumerate()
    {
        let view = cache.head(layer, kv_head);
        // The mean of a product of magnitudes over tokens and heads is the product of the two
        // means.
        for (&channel, k) in view.kept().iter().zip(view.middle_magnitudes()) {
            let q: f32 = q.iter().skip(channel).step_by(head_dim).map(|q| q.abs()).sum();
            activity[channel] = q / group as f32 * k;
        }
    }
}

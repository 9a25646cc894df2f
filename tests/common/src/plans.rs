//! Random cache plans, and what a cache stores under a plan, from the tokens and the definition of
//! a group alone: no blocks, no layout, no kernel.

use std::sync::Arc;

use half::{bf16, f16};
use kscope::attention::SimdLevel;
use kscope::cache::coded::Group;
use kscope::cache::{CacheSpec, SequenceCache, StoredKey};
use kscope::element::Dtype;
use kscope::mask::{CachePlan, Coding, Shape, Width, Window, group_tokens};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::error;
use crate::tokens::{Tokens, attend, levels, oracle};

/// A plan with every kind of head in random order: dropped, whole, masked, of one coded width, and
/// mixed.
pub fn random_plan(shape: Shape, seed: u64) -> CachePlan {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut k, mut v) = (Vec::new(), Vec::new());
    for _ in 0..shape.heads() {
        let widths: &[Width] = match rng.random_range(0..8) {
            0 => &[Width::Zero],
            1 => &[Width::Sixteen],
            2 => &[Width::Sixteen, Width::Zero],
            3 => &[Width::CODED[rng.random_range(0..3)]],
            4 => &[Width::Two, Width::Zero],
            _ => &Width::ALL,
        };
        let head: Vec<Width> =
            (0..shape.head_dim).map(|_| widths[rng.random_range(0..widths.len())]).collect();
        v.push(match head.iter().all(|&width| width == Width::Zero) {
            true => Width::Zero,
            false => Width::ALL[rng.random_range(1..5)],
        });
        k.extend(head);
    }
    let v_group = [32, 64, 16][rng.random_range(0..3)];
    CachePlan::new(shape, k, v, Coding::Channels { v_group }).unwrap()
}

/// A plan of one head per count of `counts`, with so many channels of 16, 8, 4 and 2 bits at random
/// places and the rest dropped.
pub fn plan_with_counts(shape: Shape, counts: [usize; 4], v: Width, seed: u64) -> CachePlan {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut k = vec![Width::Zero; shape.entries()];
    for head in k.chunks_mut(shape.head_dim) {
        let places = rand::seq::index::sample(&mut rng, shape.head_dim, counts.iter().sum());
        let widths = [Width::Sixteen, Width::Eight, Width::Four, Width::Two];
        let widths = counts.iter().zip(widths).flat_map(|(&n, width)| vec![width; n]);
        places.into_iter().zip(widths).for_each(|(place, width)| head[place] = width);
    }
    let v = if counts == [0; 4] { Width::Zero } else { v };
    CachePlan::new(shape, k, vec![v; shape.heads()], Coding::best(shape.head_dim)).unwrap()
}

/// The specification of a cache under a plan.
pub fn planned(window: Window, dtype: Dtype, plan: CachePlan) -> Arc<CacheSpec> {
    Arc::new(CacheSpec::planned(window, dtype, plan).unwrap())
}

fn rounded(dtype: Dtype, x: f32) -> f32 {
    match dtype {
        Dtype::F32 => x,
        Dtype::F16 => f16::from_f32(x).to_f32(),
        Dtype::Bf16 => bf16::from_f32(x).to_f32(),
    }
}

/// What codes of these numbers stand for.
fn coded(numbers: &mut [f32], width: Width) {
    if width.is_coded() {
        let group = Group::of(numbers.iter().copied(), width);
        numbers.iter_mut().for_each(|x| *x = group.number(group.code(*x, width)));
    }
}

/// What a cache must hold of every token of one head.
pub fn stored(
    tokens: &Tokens,
    spec: &CacheSpec,
    layer: usize,
    kv_head: usize,
) -> Vec<(StoredKey, Option<Vec<f32>>)> {
    let (plan, window, head_dim) = (spec.plan(), spec.window(), spec.shape().head_dim);
    let (widths, v) = (plan.k(layer, kv_head), plan.v(layer, kv_head));
    let over = tokens.len().saturating_sub(window.sink + window.recent);
    let middle = window.sink..window.sink + over / window.chunk * window.chunk;
    let rows = |rows: &[f32]| -> Vec<Vec<f32>> {
        rows.chunks(tokens.row())
            .map(|row| row[kv_head * head_dim..][..head_dim].to_vec())
            .map(|row| row.into_iter().map(|x| rounded(spec.dtype(), x)).collect())
            .collect()
    };
    let (mut keys, mut values) = (rows(&tokens.k[layer]), rows(&tokens.v[layer]));
    let group = group_tokens(window.chunk);
    for start in middle.clone().step_by(group) {
        for (channel, &width) in widths.iter().enumerate() {
            let mut numbers: Vec<f32> =
                (start..start + group).map(|position| keys[position][channel]).collect();
            coded(&mut numbers, width);
            (start..start + group)
                .zip(numbers)
                .for_each(|(position, x)| keys[position][channel] = x);
        }
    }
    for position in middle.clone() {
        values[position].chunks_mut(plan.coding().v_group(head_dim)).for_each(|x| coded(x, v));
    }
    let seen = spec.sight().window(layer).map_or(0, |window| tokens.len().saturating_sub(window));
    let stored = |(position, (key, value)): (usize, (Vec<f32>, Vec<f32>))| {
        if position < seen {
            return (StoredKey::Dropped, None);
        }
        let whole = widths.iter().all(|&width| width == Width::Sixteen) && !v.is_coded();
        if !middle.contains(&position) || whole {
            return (StoredKey::Whole(key), Some(value));
        }
        let kept: Vec<f32> = key
            .into_iter()
            .zip(widths)
            .filter(|(_, width)| **width != Width::Zero)
            .map(|(x, _)| x)
            .collect();
        match kept.is_empty() {
            true => (StoredKey::Dropped, None),
            false => (StoredKey::Packed(kept), Some(value)),
        }
    };
    keys.into_iter().zip(values).enumerate().map(stored).collect()
}

/// The cache holds exactly what [`stored`] says.
pub fn assert_stored(cache: &SequenceCache, tokens: &Tokens) {
    let spec = cache.spec();
    for (layer, head) in spec.shape().each_head() {
        let view = cache.head(layer, head);
        assert_eq!(view.len(), tokens.len());
        for (position, (key, value)) in stored(tokens, spec, layer, head).into_iter().enumerate() {
            let place = format!("position {position} of head {head}, layer {layer}");
            assert_eq!(view.key(position), key, "key, {place}");
            assert_eq!(view.value(position), value, "value, {place}");
        }
    }
}

/// Attention over what [`stored`] says, in f64.
pub fn softmax_of_stored(tokens: &Tokens, spec: &CacheSpec, layer: usize) -> Vec<f32> {
    let head_dim = spec.shape().head_dim;
    let mut out = Vec::new();
    for (head, q) in tokens.q[layer].chunks(head_dim).enumerate() {
        let kv_head = head / tokens.group;
        let widths = spec.plan().k(layer, kv_head);
        let kept: Vec<usize> = (0..head_dim).filter(|&c| widths[c] != Width::Zero).collect();
        let (mut total, mut sums) = (0.0, vec![0.0; head_dim]);
        for (key, value) in stored(tokens, spec, layer, kv_head) {
            let all: Vec<usize> = (0..head_dim).collect();
            let (channels, key) = match key {
                StoredKey::Whole(key) => (&all, key),
                StoredKey::Packed(key) => (&kept, key),
                StoredKey::Dropped => continue,
            };
            let score: f64 =
                channels.iter().zip(key).map(|(&c, k)| f64::from(q[c]) * f64::from(k)).sum();
            let mut score = score / (head_dim as f64).sqrt();
            if let Some(cap) = spec.sight().score_cap.map(f64::from) {
                score = cap * (score / cap).tanh();
            }
            let weight = score.exp();
            total += weight;
            let value = value.expect("what has a key has a value");
            sums.iter_mut().zip(value).for_each(|(sum, x)| *sum += weight * f64::from(x));
        }
        out.extend(sums.iter().map(|sum| if total > 0.0 { (sum / total) as f32 } else { 0.0 }));
    }
    out
}

/// Largest error allowed, relative to the largest output: integer dot products round queries and
/// weights to 8 bits where they meet codes of 4 and 2 bits.
pub fn coded_tolerance(level: SimdLevel) -> f64 {
    match level {
        SimdLevel::Portable => 2e-5,
        _ => 4e-2,
    }
}

/// Checks what is stored, the oracle, and every level of this machine.
pub fn check_plan(tokens: &Tokens, spec: &Arc<CacheSpec>, piece: usize) {
    let cache = tokens.cache_in_pieces(spec, piece);
    assert_stored(&cache, tokens);
    for layer in 0..tokens.shape.layers {
        let expected = softmax_of_stored(tokens, spec, layer);
        let found = oracle(&cache, layer, &tokens.q[layer]);
        assert!(
            error(&found, &expected) < 1e-6,
            "the oracle is off by {}",
            error(&found, &expected)
        );
        for level in levels() {
            let error = error(&attend(level, &cache, layer, &tokens.q[layer]), &expected);
            assert!(
                error <= coded_tolerance(level).max(crate::tokens::tolerance(level, Dtype::F32)),
                "{level} {} layer {layer} of {}: error {error:e}",
                spec.dtype(),
                tokens.shape
            );
        }
    }
}

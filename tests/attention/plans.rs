//! Attention over caches of mixed widths, on every instruction set of the machine, against f64 sums
//! over what the plan says is stored.

use std::sync::Arc;

use kscope::attention::{Attention, DecodeItem, channel_activity, explain};
use kscope::cache::{CacheSpec, SequenceCache, Sight};
use kscope::element::Dtype;
use kscope::mask::{CachePlan, Coding, Width, Window};
use kscope_testing::error;
use kscope_testing::plans::*;
use kscope_testing::tokens::*;
use proptest::prelude::*;

const WINDOW: Window = Window { sink: 16, recent: 128, chunk: 64 };

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_plan_window_and_length_matches_the_oracle(
        head_dim in prop_oneof![Just(32usize), Just(48), Just(64), Just(80), Just(128), Just(256), 4..=256usize],
        group in 1..=8usize,
        len in prop_oneof![1..200usize, 1..1200usize],
        (sink, recent) in (0..150usize, 0..300usize),
        chunk in prop_oneof![Just(64usize), Just(32), 1..140usize],
        piece in prop_oneof![Just(1usize), 1..200usize, Just(3000usize)],
        dtype in prop::sample::select(Dtype::ALL.to_vec()),
        seed: u64,
    ) {
        let shape = shape(1, 2, head_dim);
        let spec = planned(Window { sink, recent, chunk }, dtype, random_plan(shape, seed));
        check_plan(&Tokens::random(shape, group, len, seed), &spec, piece);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn layers_with_windows_and_capped_scores_match_the_oracle(
        head_dim in prop_oneof![Just(32usize), Just(64), Just(256), 4..=128usize],
        group in 1..=8usize,
        len in prop_oneof![1..200usize, 1..1200usize],
        seen in prop_oneof![1..70usize, 1..1300usize],
        cap in prop_oneof![Just(None), Just(Some(0.5_f32)), Just(Some(50.0))],
        (sink, recent) in (0..150usize, 0..300usize),
        chunk in prop_oneof![Just(64usize), Just(32), 1..140usize],
        piece in prop_oneof![Just(1usize), 1..200usize, Just(3000usize)],
        dtype in prop::sample::select(Dtype::ALL.to_vec()),
        seed: u64,
    ) {
        let shape = shape(2, 2, head_dim);
        let spec = planned(Window { sink, recent, chunk }, dtype, random_plan(shape, seed));
        let sight = Sight { windows: vec![Some(seen), None], score_cap: cap };
        let spec = Arc::new(CacheSpec::clone(&spec).with_sight(Arc::new(sight)));
        check_plan(&Tokens::random(shape, group, len, seed), &spec, piece);
    }
}

#[test]
fn every_count_of_every_width_matches_the_oracle() {
    let shape = shape(1, 1, 64);
    for width in 0..4 {
        for count in (0..=64).step_by(if width == 0 { 16 } else { 3 }) {
            let mut counts = [0; 4];
            counts[width] = count;
            counts[(width + 1) % 4] = (64 - count) / 2;
            let v = Width::ALL[1 + count % 4];
            let plan = plan_with_counts(shape, counts, v, count as u64);
            check_plan(&Tokens::random(shape, 3, 400, 2), &planned(WINDOW, Dtype::F16, plan), 400);
        }
    }
}

#[test]
fn every_length_around_a_moved_chunk_matches_the_oracle() {
    let shape = shape(1, 2, 32);
    let plan = random_plan(shape, 4);
    for window in [
        Window { sink: 0, recent: 0, chunk: 1 },
        Window { sink: 100, recent: 70, chunk: 48 },
        Window { sink: 16, recent: 30, chunk: 64 },
    ] {
        let spec = planned(window, Dtype::F32, plan.clone());
        let tokens = Tokens::random(shape, 2, 300, 6);
        let mut cache = SequenceCache::new(spec.clone());
        for len in 1..=300 {
            tokens.extend(&mut cache, len - 1, len);
            let expected = oracle(&cache, 0, &tokens.q[0]);
            for level in levels() {
                assert!(
                    error(&attend(level, &cache, 0, &tokens.q[0]), &expected)
                        < coded_tolerance(level),
                    "{window:?}, {len} tokens, {level}"
                );
            }
        }
    }
}

#[test]
fn named_plans_match_the_oracle() {
    for head_dim in [64, 128] {
        let shape = shape(1, 2, head_dim);
        for name in CachePlan::NAMES.map(|row| row.name) {
            let plan = CachePlan::named(name, shape).unwrap();
            // What is coded token by token is decoded, so that only sums are rounded.
            let is_decoded = matches!(plan.coding(), Coding::Blocks { .. });
            let spec = planned(WINDOW, Dtype::F16, plan);
            let tokens = Tokens::random(shape, 3, 731, 5);
            let cache = tokens.cache(&spec);
            let expected = oracle(&cache, 0, &tokens.q[0]);
            for level in levels() {
                let error = error(&attend(level, &cache, 0, &tokens.q[0]), &expected);
                let allowed = if is_decoded { 2e-5 } else { coded_tolerance(level) };
                assert!(error < allowed, "{name}, {level}, {head_dim} channels: {error}");
            }
        }
    }
}

/// The error that whole-number weights add, beside the one of the codes, on keys with outliers.
#[test]
fn whole_number_weights_add_little_to_the_error_of_the_codes() {
    let shape = shape(1, 1, 64);
    let mut tokens = Tokens::random(shape, 3, 2000, 2);
    for key in tokens.k[0].chunks_exact_mut(64) {
        key[5] = 30.0 * key[5] + 100.0;
        key[40] *= 10.0;
    }
    let dense = tokens.cache(&planned(WINDOW, Dtype::F16, CachePlan::full(shape)));
    let exact = oracle(&dense, 0, &tokens.q[0]);
    for name in ["k8v8", "k8v4", "k4v4"] {
        let plan = CachePlan::named(name, shape).unwrap();
        let cache = tokens.cache(&planned(WINDOW, Dtype::F16, plan));
        let stored = oracle(&cache, 0, &tokens.q[0]);
        let codes = error(&stored, &exact);
        for level in levels() {
            let share = error(&attend(level, &cache, 0, &tokens.q[0]), &stored) / codes;
            println!("{name} {level}: {share:.4} of the codes' error, which is {codes:.1e}");
            assert!(share <= 0.5, "{name} {level}: {share}");
        }
    }
}

#[test]
fn a_ragged_batch_of_plans_gives_bit_for_bit_what_each_sequence_gives_alone_on_any_number_of_threads()
 {
    let shape = shape(1, 2, 64);
    let lens = [1, 63, 64, 177, 1025, 2999];
    for dtype in Dtype::ALL {
        let tokens = lens.map(|len| Tokens::random(shape, 3, len, len as u64));
        let caches: Vec<SequenceCache> = tokens
            .iter()
            .enumerate()
            .map(|(index, tokens)| {
                let plan = match index % 3 {
                    0 => random_plan(shape, index as u64),
                    1 => CachePlan::named("q4_0", shape).unwrap(),
                    _ => CachePlan::full(shape),
                };
                tokens.cache(&planned(WINDOW, dtype, plan))
            })
            .collect();
        for level in levels() {
            let alone: Vec<Vec<f32>> = caches
                .iter()
                .zip(&tokens)
                .map(|(cache, tokens)| attend(level, cache, 0, &tokens.q[0]))
                .collect();
            for threads in [1, 2, 5] {
                let mut outs = vec![vec![f32::NAN; 6 * 64]; 6];
                let mut items: Vec<DecodeItem<'_>> = caches
                    .iter()
                    .zip(&tokens)
                    .zip(&mut outs)
                    .rev()
                    .map(|((cache, tokens), out)| DecodeItem { cache, q: &tokens.q[0], out })
                    .collect();
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut attention = Attention::with_level(level).unwrap();
                // Twice, so that memory of the first call is there in the second.
                pool.install(|| (0..2).for_each(|_| attention.decode(0, &mut items)));
                assert_eq!(outs, alone, "{level} {dtype} on {threads} threads");
            }
        }
    }
}

#[test]
fn a_plan_of_16_bits_gives_the_results_of_its_mask_bit_for_bit() {
    let shape = shape(2, 2, 64);
    let tokens = Tokens::random(shape, 3, 900, 6);
    let mask = mask_with_counts(shape, &[0, 20, 64, 33], 6);
    let masked = tokens.cache(&spec(shape, WINDOW, Dtype::F16, mask.clone()));
    let plan = CachePlan::of_mask(&mask);
    let wide = tokens.cache(&planned(WINDOW, Dtype::F16, plan.clone()));
    // Codes in the other layer do not reach this one.
    let (mut k, mut v) = (plan.k_widths().to_vec(), plan.v_widths().to_vec());
    k[shape.entries() / 2..].fill(Width::Eight);
    v[shape.heads() / 2..].fill(Width::Two);
    let plan = CachePlan::new(shape, k, v, plan.coding()).unwrap();
    let beside = tokens.cache(&planned(WINDOW, Dtype::F16, plan));
    for level in levels() {
        for layer in 0..2 {
            let of = |cache| attend(level, cache, layer, &tokens.q[layer]);
            assert_eq!(of(&wide), of(&masked));
            assert_eq!(of(&beside) == of(&masked), layer == 0);
        }
    }
}

#[test]
fn prompts_shorter_than_the_window_are_dense_bit_for_bit() {
    let shape = shape(1, 3, 64);
    let plan = CachePlan::uniform(shape, Width::Two, Width::Two, Coding::best(64)).unwrap();
    for len in 1..WINDOW.sink + WINDOW.recent + WINDOW.chunk {
        let tokens = Tokens::random(shape, 3, len, 5);
        let dense = tokens.cache(&CacheSpec::dense(shape, WINDOW, Dtype::F16).unwrap().into());
        let coded = tokens.cache(&planned(WINDOW, Dtype::F16, plan.clone()));
        for level in levels() {
            let of = |cache| attend(level, cache, 0, &tokens.q[0]);
            assert_eq!(of(&coded), of(&dense), "{len} tokens, {level}");
        }
    }
}

#[test]
fn the_inspector_reads_codes_as_the_numbers_they_stand_for() {
    let shape = shape(1, 2, 48);
    let tokens = Tokens::random(shape, 3, 400, 7);
    let dense = tokens.cache(&CacheSpec::dense(shape, WINDOW, Dtype::F32).unwrap().into());
    let plan = plan_with_counts(shape, [3, 9, 11, 6], Width::Four, 7);
    let spec = planned(WINDOW, Dtype::F32, plan);
    let cache = tokens.cache(&spec);
    let step = explain(&cache, Some(&dense), 0, (1, 6), &tokens.q[0][48..96]).unwrap();
    let divergence = step.divergence().unwrap();
    assert!(divergence > 0.0 && divergence.is_finite(), "{divergence}");

    let mut activity = vec![f32::NAN; 2 * 48];
    channel_activity(&cache, 0, &tokens.q[0], &mut activity);
    let middle = cache.head(0, 0).parts().middle;
    for head in 0..2 {
        let stored = stored(&tokens, &spec, 0, head);
        let kept = cache.head(0, head).kept();
        for channel in 0..48 {
            let expected = kept.iter().position(|&kept| kept == channel).map_or(0.0, |place| {
                let k: f32 = middle
                    .clone()
                    .map(|position| match &stored[position].0 {
                        kscope::cache::StoredKey::Packed(key) => key[place].abs(),
                        other => panic!("{other:?}"),
                    })
                    .sum();
                let q: f32 =
                    (0..3).map(|at| tokens.q[0][(head * 3 + at) * 48 + channel].abs()).sum();
                q / 3.0 * k / middle.len() as f32
            });
            let found = activity[head * 48 + channel];
            assert!((found - expected).abs() <= 1e-4 * expected.max(1e-3), "{found} {expected}");
        }
    }
}

//! Decode attention over codes against the oracle, for every instruction set of the machine.

use std::sync::Arc;

use kscope::attention::{Attention, DecodeItem, SimdLevel};
use kscope::cache::{CacheSpec, SequenceCache};
use kscope::element::Dtype;
use kscope::mask::{CachePlan, Coding, Shape, Width, Window};
use kscope_testing::error;
use kscope_testing::tokens::*;
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

const WINDOW: Window = Window { sink: 16, recent: 128, chunk: 64 };

/// Widths drawn from `from` for every channel, and for every head's V.
fn mixed(shape: Shape, from: &[Width], coding: Coding, seed: u64) -> CachePlan {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut k: Vec<Width> =
        (0..shape.entries()).map(|_| from[rng.random_range(0..from.len())]).collect();
    let stored = [Width::Two, Width::Four, Width::Eight, Width::Sixteen];
    let v = k.chunks_exact_mut(shape.head_dim).map(|k| {
        // Every fifth head is dropped.
        if rng.random_range(0..5) == 0 {
            k.fill(Width::Zero);
        }
        match k.iter().all(|&width| width == Width::Zero) {
            true => Width::Zero,
            false => stored[rng.random_range(0..4)],
        }
    });
    let v = v.collect();
    CachePlan::new(shape, k, v, coding).unwrap()
}

fn planned(window: Window, dtype: Dtype, plan: CachePlan) -> Arc<CacheSpec> {
    Arc::new(CacheSpec::planned(window, dtype, plan).unwrap())
}

/// Largest error allowed, relative to the largest output: that of the window, and that of weights
/// that are whole numbers, of 8 bits for codes of 4 and 2. Every single sum is held to its own bound
/// in the kernels' tests.
fn allowed(level: SimdLevel, dtype: Dtype) -> f64 {
    let codes = if level == SimdLevel::Portable { 1e-5 } else { 4e-2 };
    tolerance(level, dtype).max(codes)
}

fn check(tokens: &Tokens, spec: &Arc<CacheSpec>, piece: usize) {
    let cache = tokens.cache_in_pieces(spec, piece);
    for (layer, q) in tokens.q.iter().enumerate() {
        let expected = oracle(&cache, layer, q);
        for level in levels() {
            let error = error(&attend(level, &cache, layer, q), &expected);
            assert!(
                error <= allowed(level, spec.dtype()),
                "{level} {} layer {layer} of {}: error {error:e}",
                spec.dtype(),
                tokens.shape
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_plan_window_and_length_matches_the_oracle(
        head_dim in prop_oneof![Just(32usize), Just(48), Just(64), Just(80), Just(128), Just(256), 4..=256usize],
        group in prop_oneof![Just(1usize), Just(3), Just(4), Just(7), Just(8)],
        kv_heads in 1..3usize,
        len in prop_oneof![1..200usize, 1..1500usize],
        (sink, recent, chunk) in (0..150usize, 0..300usize, prop_oneof![Just(64usize), Just(32), 1..140usize]),
        from in prop::sample::select(vec![Width::ALL.to_vec(), Width::CODED.to_vec(), vec![Width::Four]]),
        v_group in prop_oneof![Just(32usize), Just(64)],
        piece in prop_oneof![Just(1usize), 1..200usize, Just(1500usize)],
        dtype in prop::sample::select(Dtype::ALL.to_vec()),
        seed: u64,
    ) {
        let shape = shape(1, kv_heads, head_dim);
        let plan = mixed(shape, &from, Coding::Channels { v_group }, seed);
        let window = Window { sink, recent, chunk };
        check(&Tokens::random(shape, group, len, seed), &planned(window, dtype, plan), piece);
    }
}

#[test]
fn every_named_plan_matches_the_oracle() {
    for head_dim in [64, 128] {
        let shape = shape(1, 2, head_dim);
        let tokens = Tokens::random(shape, 3, 700, 1);
        for named in CachePlan::NAMES {
            let plan = CachePlan::named(named.name, shape).unwrap();
            check(&tokens, &planned(WINDOW, Dtype::F16, plan), 700);
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
fn a_batch_of_ragged_lengths_gives_bit_for_bit_what_each_sequence_gives_alone_on_any_number_of_threads()
 {
    let shape = shape(1, 2, 64);
    let tokens: Vec<Tokens> = [1, 63, 300, 1025, 2999]
        .iter()
        .map(|&len| Tokens::random(shape, 3, len, len as u64))
        .collect();
    let cache = |(seed, tokens): (usize, &Tokens)| {
        let plan = mixed(shape, &Width::ALL, Coding::best(64), seed as u64);
        tokens.cache(&planned(WINDOW, Dtype::F16, plan))
    };
    let caches: Vec<SequenceCache> = tokens.iter().enumerate().map(cache).collect();
    for level in levels() {
        for threads in [1, 2, 5] {
            let mut outs = vec![vec![f32::NAN; 6 * 64]; caches.len()];
            let sequences = caches.iter().zip(&tokens).zip(&mut outs).rev();
            let mut items: Vec<DecodeItem<'_>> = sequences
                .map(|((cache, tokens), out)| DecodeItem { cache, q: &tokens.q[0], out })
                .collect();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Attention::with_level(level).unwrap().decode(0, &mut items));
            for ((cache, tokens), out) in caches.iter().zip(&tokens).zip(&outs) {
                let alone = attend(level, cache, 0, &tokens.q[0]);
                assert_eq!(out, &alone, "{level}, {} tokens on {threads} threads", tokens.len());
            }
        }
    }
}

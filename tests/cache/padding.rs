//! What a sequence takes in memory, by formula and by the cache's own allocator.

use std::sync::Arc;

use kscope::cache::{CacheSpec, SequenceCache};
use kscope::element::Dtype;
use kscope::mask::Window;
use kscope_testing::plans::*;
use kscope_testing::tokens::*;
use proptest::prelude::*;

const CHUNKS: [usize; 8] = [1, 3, 16, 32, 48, 64, 100, 128];

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_formula_of_memory_is_what_the_allocator_holds(
        len in 1..1400usize,
        pieces in prop::collection::vec(1..300usize, 1..8),
        (sink, recent) in (0..300usize, 0..200usize),
        chunk in prop::sample::select(CHUNKS.to_vec()),
        head_dim in prop::sample::select(vec![4, 7, 32, 64]),
        dtype in prop::sample::select(Dtype::ALL.to_vec()),
        kind in 0..3,
        seed: u64,
    ) {
        let shape = shape(1, 4, head_dim);
        let window = Window { sink, recent, chunk };
        let spec = match kind {
            0 => Arc::new(CacheSpec::dense(shape, window, dtype).unwrap()),
            1 => spec(shape, window, dtype, mask_with_counts(shape, &[0, 1, head_dim / 2, head_dim], seed)),
            _ => planned(window, dtype, random_plan(shape, seed)),
        };
        let tokens = Tokens::random(shape, 1, len, seed);
        let mut cache = SequenceCache::with_capacity(Arc::clone(&spec), len);
        let (mut from, mut most) = (0, 0);
        for piece in pieces.iter().cycle() {
            let to = (from + piece).min(len);
            tokens.extend(&mut cache, from, to);
            prop_assert_eq!(cache.allocated(), spec.allocated_at(to), "at {} tokens", to);
            most = most.max(cache.allocated());
            from = to;
            if from == len { break }
        }
        // What is set aside covers the most that was held, and never shrinks.
        let reserved = |len| spec.layer_reserved_at(0, len);
        prop_assert!(reserved(len) >= most, "{} set aside, {most} held", reserved(len));
        prop_assert!((1..len).all(|len| reserved(len) <= reserved(len + 1)));
    }
}

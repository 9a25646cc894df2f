//! Decode attention against the oracle and against a dense softmax with masked keys, for every instruction set of the machine.

mod attention;

use attention::*;
use kscope::cache::KvDtype;
use kscope::mask::{ChannelMask, Window};
use proptest::prelude::*;

const WINDOW: Window = Window { sink: 16, recent: 128, chunk: 32 };

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_geometry_mask_window_and_length_matches_the_oracle(
        head_dim in prop_oneof![Just(32usize), Just(48), Just(64), Just(80), Just(128), Just(256), 16..=256usize],
        group in prop_oneof![Just(1usize), Just(3), Just(4), Just(7), Just(8)],
        kv_heads in 1..3usize,
        len in prop_oneof![1..200usize, 1..3000usize],
        (sink, recent, chunk) in (0..150usize, 0..300usize, 1..140usize),
        counts in prop::collection::vec(0.0..1.0f64, 4),
        piece in prop_oneof![Just(1usize), 1..200usize, Just(3000usize)],
        dtype in prop::sample::select(KvDtype::ALL.to_vec()),
        seed: u64,
    ) {
        let shape = shape(1, kv_heads, head_dim);
        // A quarter of the heads is dropped, a quarter whole, the rest anything between.
        let count = |x: f64| ((x * 2.0 - 0.5).clamp(0.0, 1.0) * head_dim as f64).round() as usize;
        let mask = mask_with_counts(shape, &counts.into_iter().map(count).collect::<Vec<_>>(), seed);
        let window = Window { sink, recent, chunk };
        check(&Tokens::random(shape, group, len, seed), &spec(shape, window, dtype, mask), piece);
    }
}

#[test]
fn every_group_size_and_head_size_matches_the_oracle() {
    for head_dim in [32, 48, 64, 80, 128, 256] {
        for group in [1, 3, 4, 7, 8] {
            let shape = shape(1, 1, head_dim);
            let mask = mask_with_counts(shape, &[head_dim * 3 / 10], 1);
            for dtype in KvDtype::ALL {
                check(&Tokens::random(shape, group, 333, 1), &spec(shape, WINDOW, dtype, mask.clone()), 333);
            }
        }
    }
}

#[test]
fn every_kept_count_matches_the_oracle() {
    for kept in 0..=64 {
        let shape = shape(1, 1, 64);
        for dtype in KvDtype::ALL {
            let mask = mask_with_counts(shape, &[kept], kept as u64);
            check(&Tokens::random(shape, 3, 400, 2), &spec(shape, WINDOW, dtype, mask), 400);
        }
    }
}

#[test]
fn a_mask_of_ones_is_dense_attention_bit_for_bit() {
    let shape = shape(2, 2, 64);
    let tokens = Tokens::random(shape, 3, 1000, 3);
    let everything = Window { sink: 4096, ..WINDOW };
    for dtype in KvDtype::ALL {
        let ones = tokens.cache(&spec(shape, WINDOW, dtype, ChannelMask::full(shape)));
        let dense = tokens.cache(&spec(shape, everything, dtype, ChannelMask::from_fn(shape, |_, _, _| false)));
        for level in levels() {
            assert_eq!(attend(level, &ones, 1, &tokens.q[1]), attend(level, &dense, 1, &tokens.q[1]));
        }
    }
}

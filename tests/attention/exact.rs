//! Decode attention against the oracle and against a dense softmax with masked keys, for every
//! instruction set of the machine.

use kscope::attention::{Attention, DecodeItem, SimdLevel};
use kscope::cache::SequenceCache;
use kscope::element::Dtype;
use kscope::mask::{ChannelMask, Window};
use kscope_testing::error;
use kscope_testing::tokens::*;
use proptest::prelude::*;

const WINDOW: Window = Window { sink: 16, recent: 128, chunk: 32 };

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_geometry_mask_window_and_length_matches_the_oracle(
        head_dim in prop_oneof![Just(32usize), Just(48), Just(64), Just(80), Just(128), Just(256), 16..=256usize],
        group in prop_oneof![Just(1usize), Just(3), Just(4), Just(7), Just(8)],
        kv_heads in 1..3usize,
        len in prop_oneof![1..200usize, 1..3000usize],
        (sink, recent, chunk) in (0..150usize, 0..300usize, 1..140usize),
        counts in prop::collection::vec(0.0..1.0f64, 4),
        piece in prop_oneof![Just(1usize), 1..200usize, Just(3000usize)],
        dtype in prop::sample::select(Dtype::ALL.to_vec()),
        seed: u64,
    ) {
        let shape = shape(1, kv_heads, head_dim);
        // A quarter of the heads is dropped, a quarter is whole, the rest is in between.
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
            for dtype in Dtype::ALL {
                check(
                    &Tokens::random(shape, group, 333, 1),
                    &spec(shape, WINDOW, dtype, mask.clone()),
                    333,
                );
            }
        }
    }
}

#[test]
fn every_kept_count_matches_the_oracle() {
    for kept in 0..=64 {
        let shape = shape(1, 1, 64);
        for dtype in Dtype::ALL {
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
    for dtype in Dtype::ALL {
        let ones = tokens.cache(&spec(shape, WINDOW, dtype, ChannelMask::full(shape)));
        let dense = tokens.cache(&spec(
            shape,
            everything,
            dtype,
            ChannelMask::from_fn(shape, |_, _, _| false),
        ));
        for level in levels() {
            assert_eq!(
                attend(level, &ones, 1, &tokens.q[1]),
                attend(level, &dense, 1, &tokens.q[1])
            );
        }
    }
}

#[test]
fn a_mask_of_zeros_is_attention_over_sink_and_recent() {
    let shape = shape(1, 2, 64);
    let tokens = Tokens::random(shape, 3, 700, 4);
    let spec = spec(shape, WINDOW, Dtype::F32, ChannelMask::from_fn(shape, |_, _, _| false));
    check(&tokens, &spec, 700);

    let middle = WINDOW.middle(700);
    let mut near = tokens.clone();
    for rows in [&mut near.k[0], &mut near.v[0]] {
        rows.drain(16 * tokens.row()..(16 + middle) * tokens.row());
    }
    let dense = kscope::cache::CacheSpec::dense(shape, WINDOW, Dtype::F32).unwrap().into();
    let expected = oracle(&near.cache(&dense), 0, &tokens.q[0]);
    assert!(
        error(&attend(SimdLevel::best(), &tokens.cache(&spec), 0, &tokens.q[0]), &expected) < 1e-5
    );
}

#[test]
fn prompts_shorter_than_the_window_are_dense_bit_for_bit() {
    let shape = shape(1, 3, 64);
    let mask = mask_with_counts(shape, &[0, 19, 64], 5);
    for len in 1..WINDOW.sink + WINDOW.recent + WINDOW.chunk {
        let tokens = Tokens::random(shape, 3, len, 5);
        let dense = tokens.cache(&spec(shape, WINDOW, Dtype::F16, ChannelMask::full(shape)));
        let pruned = tokens.cache(&spec(shape, WINDOW, Dtype::F16, mask.clone()));
        for level in levels() {
            assert_eq!(
                attend(level, &pruned, 0, &tokens.q[0]),
                attend(level, &dense, 0, &tokens.q[0]),
                "{len} tokens"
            );
        }
    }
}

#[test]
fn every_length_around_a_moved_chunk_matches_the_oracle() {
    let shape = shape(1, 2, 48);
    let mask = mask_with_counts(shape, &[0, 13], 6);
    for window in [
        WINDOW,
        Window { sink: 0, recent: 0, chunk: 1 },
        Window { sink: 100, recent: 70, chunk: 50 },
    ] {
        let spec = spec(shape, window, Dtype::F32, mask.clone());
        let tokens = Tokens::random(shape, 2, 400, 6);
        let mut cache = SequenceCache::new(spec.clone());
        for len in 1..=400 {
            tokens.extend(&mut cache, len - 1, len);
            let expected = oracle(&cache, 0, &tokens.q[0]);
            for level in levels() {
                assert!(
                    error(&attend(level, &cache, 0, &tokens.q[0]), &expected) < 1e-5,
                    "{window:?}, {len} tokens"
                );
            }
            if len % 37 == 0 || window.middle(len) != window.middle(len - 1) {
                check(&tokens.first(len), &spec, 64);
            }
        }
    }
}

#[test]
fn a_layer_that_keeps_nothing_and_one_that_keeps_all_stand_side_by_side() {
    let shape = shape(3, 2, 64);
    let mask = ChannelMask::from_fn(shape, |layer, _, channel| {
        layer == 1 || layer == 2 && channel % 3 == 0
    });
    for dtype in Dtype::ALL {
        check(&Tokens::random(shape, 4, 600, 7), &spec(shape, WINDOW, dtype, mask.clone()), 600);
    }
}

#[test]
fn a_head_that_sees_no_token_gives_zeros() {
    let shape = shape(1, 1, 32);
    let nothing = Window { sink: 0, recent: 0, chunk: 1 };
    let tokens = Tokens::random(shape, 2, 5, 8);
    let cache = tokens.cache(&spec(
        shape,
        nothing,
        Dtype::F32,
        ChannelMask::from_fn(shape, |_, _, _| false),
    ));
    for level in levels() {
        assert_eq!(attend(level, &cache, 0, &tokens.q[0]), vec![0.0; 64]);
    }
}

#[test]
fn a_batch_of_ragged_lengths_gives_bit_for_bit_what_each_sequence_gives_alone_on_any_number_of_threads()
 {
    let shape = shape(1, 2, 64);
    let tokens: Vec<Tokens> = [1, 63, 64, 177, 1025, 2999]
        .iter()
        .map(|&len| Tokens::random(shape, 3, len, len as u64))
        .collect();
    for dtype in Dtype::ALL {
        let masks = [
            mask_with_counts(shape, &[0, 19], 9),
            ChannelMask::full(shape),
            mask_with_counts(shape, &[33, 7], 9),
        ];
        let cache = |(index, tokens): (usize, &Tokens)| {
            tokens.cache(&spec(shape, WINDOW, dtype, masks[index % 3].clone()))
        };
        let caches: Vec<SequenceCache> = tokens.iter().enumerate().map(cache).collect();
        for level in levels() {
            let alone: Vec<Vec<f32>> = caches
                .iter()
                .zip(&tokens)
                .map(|(cache, t)| attend(level, cache, 0, &t.q[0]))
                .collect();
            for threads in [1, 2, 5] {
                for order in [[0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 2, 4]] {
                    let mut outs = vec![vec![f32::NAN; 6 * 64]; 6];
                    let mut items: Vec<DecodeItem<'_>> = order
                        .iter()
                        .zip(&mut outs)
                        .map(|(&index, out)| DecodeItem {
                            cache: &caches[index],
                            q: &tokens[index].q[0],
                            out,
                        })
                        .collect();
                    let pool =
                        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    pool.install(|| Attention::with_level(level).unwrap().decode(0, &mut items));
                    for (&index, out) in order.iter().zip(&outs) {
                        assert_eq!(
                            out, &alone[index],
                            "{level} {dtype}, sequence {index} on {threads} threads"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn the_order_of_heads_and_of_middle_tokens_does_not_matter() {
    let (shape, len) = (shape(1, 3, 64), 900);
    let tokens = Tokens::random(shape, 3, len, 10);
    let counts = [0, 19, 40];
    let mask = mask_with_counts(shape, &counts, 10);
    let cache = tokens.cache(&spec(shape, WINDOW, Dtype::F16, mask.clone()));

    // KV heads 2, 0, 1 with their query heads: the outputs are the same bit for bit, in that order.
    let order = [2, 0, 1];
    let by_head = |rows: &[f32], width: usize| -> Vec<f32> {
        rows.chunks(3 * width)
            .flat_map(|row| order.iter().flat_map(|&h| row[h * width..(h + 1) * width].to_vec()))
            .collect()
    };
    let mut permuted = tokens.clone();
    permuted.k[0] = by_head(&tokens.k[0], 64);
    permuted.v[0] = by_head(&tokens.v[0], 64);
    permuted.q[0] = by_head(&tokens.q[0], 3 * 64);
    let permuted_mask =
        ChannelMask::from_fn(shape, |_, head, channel| mask.head(0, order[head])[channel]);
    let permuted_cache = permuted.cache(&spec(shape, WINDOW, Dtype::F16, permuted_mask));

    // The tokens of the middle in reverse order: the outputs are the same within rounding.
    let middle = WINDOW.sink..WINDOW.sink + WINDOW.middle(len);
    let mut reversed = tokens.clone();
    for (rows, from) in [(&mut reversed.k[0], &tokens.k[0]), (&mut reversed.v[0], &tokens.v[0])] {
        for (to, source) in middle.clone().zip(middle.clone().rev()) {
            rows[to * 192..(to + 1) * 192].copy_from_slice(&from[source * 192..(source + 1) * 192]);
        }
    }
    let reversed_cache = reversed.cache(&spec(shape, WINDOW, Dtype::F16, mask));
    for level in levels() {
        let out = attend(level, &cache, 0, &tokens.q[0]);
        assert_eq!(
            attend(level, &permuted_cache, 0, &permuted.q[0]),
            by_head(&out, 3 * 64),
            "{level}"
        );
        assert!(error(&attend(level, &reversed_cache, 0, &tokens.q[0]), &out) < 1e-5, "{level}");
    }
}

#[test]
fn scores_far_apart_overflow_nothing() {
    let shape = shape(1, 1, 64);
    let mut tokens = Tokens::random(shape, 3, 1500, 11);
    tokens.q[0].iter_mut().for_each(|q| *q *= 40.0);
    let spec = spec(shape, WINDOW, Dtype::F32, mask_with_counts(shape, &[21], 11));
    let cache = tokens.cache(&spec);
    for level in levels() {
        // Scores of a few thousand in base 2 have an absolute error of about 1e-4 in f32.
        assert!(
            error(&attend(level, &cache, 0, &tokens.q[0]), &oracle(&cache, 0, &tokens.q[0])) < 1e-3,
            "{level}"
        );
    }
}

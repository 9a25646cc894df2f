//! The cache: parts, bytes, rewind, retune, clones.

mod padding;
mod plans;
mod windows;

use std::sync::Arc;
use std::time::Instant;

use kscope::cache::{CacheSpec, SequenceCache, StoredKey};
use kscope::element::Dtype;
use kscope::mask::{ChannelMask, Window};
use kscope_testing::tokens::*;
use proptest::prelude::*;

pub(crate) const WINDOW: Window = Window { sink: 16, recent: 128, chunk: 32 };

/// Every stored key and value of both caches is the same, bit for bit.
pub(crate) fn assert_same(a: &SequenceCache, b: &SequenceCache) {
    let shape = a.spec().shape();
    for layer in 0..shape.layers {
        assert_eq!(a.len(layer), b.len(layer));
        for head in 0..shape.kv_heads {
            let (a, b) = (a.head(layer, head), b.head(layer, head));
            assert_eq!(a.parts(), b.parts());
            for position in 0..a.len() {
                assert_eq!(
                    a.key(position),
                    b.key(position),
                    "key {position} of head {head}, layer {layer}"
                );
                assert_eq!(
                    a.value(position),
                    b.value(position),
                    "value {position} of head {head}, layer {layer}"
                );
            }
        }
    }
    assert_eq!(a.bytes(), b.bytes());
}

#[test]
fn parts_depend_on_the_length_alone_and_store_what_they_should() {
    let shape = shape(1, 3, 64);
    let mask = mask_with_counts(shape, &[0, 21, 64], 1);
    let tokens = Tokens::random(shape, 1, 500, 1);
    let cache = tokens.cache(&spec(shape, WINDOW, Dtype::F32, mask.clone()));
    for head in 0..3 {
        let view = cache.head(0, head);
        let parts = view.parts();
        assert_eq!((parts.sink, parts.middle.clone(), parts.recent), (0..16, 16..368, 368..500));
        for position in 0..500 {
            let row = |rows: &[f32]| rows[(position * 3 + head) * 64..][..64].to_vec();
            let (key, value) = (row(&tokens.k[0]), row(&tokens.v[0]));
            let in_middle = parts.middle.contains(&position);
            let expected = match (in_middle, head) {
                (true, 0) => StoredKey::Dropped,
                (true, 1) => StoredKey::Packed(
                    mask.kept_channels(0, 1).into_iter().map(|channel| key[channel]).collect(),
                ),
                _ => StoredKey::Whole(key),
            };
            assert_eq!(view.key(position), expected);
            assert_eq!(view.value(position), (!in_middle || head > 0).then_some(value));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn however_tokens_arrive_the_cache_is_the_same(
        len in 1..700usize,
        pieces in prop::collection::vec(1..200usize, 1..8),
        (sink, recent, chunk) in (0..140usize, 0..200usize, 1..140usize),
        kept in prop::collection::vec(0..=32usize, 3),
    ) {
        let shape = shape(1, 3, 32);
        let tokens = Tokens::random(shape, 1, len, len as u64);
        let spec = spec(shape, Window { sink, recent, chunk }, Dtype::F16, mask_with_counts(shape, &kept, 3));
        let mut cache = SequenceCache::with_capacity(Arc::clone(&spec), len);
        tokens.extend_in(&mut cache, &pieces);
        assert_same(&cache, &tokens.cache(&spec));
    }

    #[test]
    fn retuning_and_rewinding_give_what_a_cache_from_scratch_holds(
        len in 1..700usize,
        back in 0..700usize,
        (sink, recent, chunk) in (0..140usize, 0..200usize, 1..140usize),
        kept in prop::collection::vec(0..=32usize, 3),
        dtype in prop::sample::select(Dtype::ALL.to_vec()),
    ) {
        let (shape, back) = (shape(1, 3, 32), back.min(len));
        let tokens = Tokens::random(shape, 1, len, len as u64);
        let spec = spec(shape, Window { sink, recent, chunk }, dtype, mask_with_counts(shape, &kept, 3));
        let dense = tokens.cache(&CacheSpec::dense(shape, WINDOW, dtype).unwrap().into());
        let mut pruned = dense.retuned(Arc::clone(&spec)).unwrap();
        assert_same(&pruned, &tokens.cache(&spec));

        let shorter = tokens.first(back).cache(&spec);
        let alone = pruned.can_truncate(back);
        prop_assert_eq!(pruned.copied().unwrap().truncate(back, None).is_ok(), alone);
        pruned.truncate(back, Some(&dense)).unwrap();
        assert_same(&pruned, &shorter);
        // Decode continues from there as if nothing had happened.
        tokens.extend(&mut pruned, back, len);
        assert_same(&pruned, &tokens.cache(&spec));
    }
}

#[test]
fn a_dense_cache_always_rewinds_and_a_pruned_one_says_why_it_cannot() {
    let shape = shape(2, 1, 64);
    let tokens = Tokens::random(shape, 1, 600, 4);
    let mut dense = tokens.cache(&CacheSpec::dense(shape, WINDOW, Dtype::F16).unwrap().into());
    dense.truncate(3, None).unwrap();
    assert_same(&dense, &tokens.first(3).cache(dense.spec()));

    let mut pruned =
        tokens.cache(&spec(shape, WINDOW, Dtype::F16, mask_with_counts(shape, &[20], 4)));
    assert!(pruned.can_truncate(599) && pruned.can_truncate(16) && !pruned.can_truncate(300));
    let message = pruned.truncate(300, None).unwrap_err().to_string();
    assert!(message.contains("from 600 to 300 tokens"), "{message}");
    assert_eq!(pruned.tokens(), 600);
}

#[test]
fn a_cache_that_lacks_channels_or_has_another_shape_is_not_retuned() {
    let shape2 = shape(1, 2, 64);
    let pruned = Tokens::random(shape2, 1, 10, 5).cache(&spec(
        shape2,
        WINDOW,
        Dtype::F16,
        mask_with_counts(shape2, &[20], 5),
    ));
    assert!(pruned.retuned(Arc::clone(pruned.spec())).unwrap_err().to_string().contains("dense"));
    let dense = Tokens::random(shape2, 1, 10, 5)
        .cache(&CacheSpec::dense(shape2, WINDOW, Dtype::F16).unwrap().into());
    let other = CacheSpec::dense(shape(1, 1, 64), WINDOW, Dtype::F16).unwrap().into();
    assert!(
        dense
            .retuned(other)
            .unwrap_err()
            .to_string()
            .contains("[1 layers, 2 KV heads, 64 channels]")
    );
}

#[test]
fn clones_share_until_one_writes() {
    let shape = shape(1, 2, 64);
    let tokens = Tokens::random(shape, 1, 400, 6);
    let spec = spec(shape, WINDOW, Dtype::F16, mask_with_counts(shape, &[20], 6));
    let before = tokens.first(300).cache(&spec);
    let mut after = before.copied().unwrap();
    tokens.extend(&mut after, 300, 400);
    assert_same(&before, &tokens.first(300).cache(&spec));
    assert_same(&after, &tokens.cache(&spec));
}

#[test]
fn bytes_are_the_formula_and_the_allocator_holds_little_more() {
    // Llama-3.1's counts: per middle token a head takes 2 c + 256 bytes (0 if it keeps no channel)
    // against 512 (LeanK's deployed layout).
    let shape = shape(1, 8, 128);
    let counts = [0, 32, 32, 64, 96, 0, 128, 33];
    let window = Window { sink: 128, recent: 768, chunk: 128 };
    let spec = spec(shape, window, Dtype::Bf16, mask_with_counts(shape, &counts, 7));
    for len in [500, 896, 896 + 128 * 20, 8192] {
        let cache = Tokens::random(shape, 1, len, 7).cache(&spec);
        let middle = window.middle(len);
        let heads: usize =
            counts.iter().filter(|&&count| count > 0).map(|count| 2 * count + 256).sum();
        assert_eq!(cache.bytes().total(), middle * heads + (len - middle) * 8 * 512);
        assert_eq!(cache.bytes(), spec.bytes_at(len));
        // Blocks that are not full: at most one block of whole keys each next to sink and recent,
        // and 7 blocks of the last slab.
        let slack = cache.allocated() - cache.bytes().total();
        let most: usize =
            counts.iter().map(|count| 4 * 64 * 256 + 8 * 64 * (256 + 2 * count) + 8192).sum();
        assert!(slack < most, "{len} tokens: {slack} bytes of slack, allowed {most}");
    }
    assert_eq!(spec.bytes_at(0).total(), 0);
}

#[test]
fn a_retune_of_8192_tokens_is_a_gather_not_a_prefill() {
    let shape = shape(30, 3, 64);
    let tokens = Tokens::random(shape, 1, 1024, 8);
    let mut dense = SequenceCache::new(CacheSpec::dense(shape, WINDOW, Dtype::F16).unwrap().into());
    for _ in 0..8 {
        tokens.extend(&mut dense, 0, 1024);
    }
    let spec = spec(shape, WINDOW, Dtype::F16, mask_with_counts(shape, &[0, 19, 40], 8));
    let mut times: Vec<_> = (0..5)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(dense.retuned(Arc::clone(&spec)).unwrap());
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("retune of 8,192 tokens: {:?}", times[2]);
    // 100 ms on an idle machine; the machine may be shared.
    assert!(times[0].as_millis() < 400, "{times:?}");
}

#[test]
fn the_wrong_mask_or_chunk_is_refused_in_a_sentence() {
    let geometry = shape(1, 2, 64);
    let mask = ChannelMask::full(shape(1, 2, 32));
    let error = CacheSpec::new(geometry, WINDOW, Dtype::F16, mask).unwrap_err().to_string();
    assert!(error.contains("32 channels") && error.contains("64 channels"), "{error}");
    assert!(CacheSpec::dense(geometry, Window { chunk: 0, ..WINDOW }, Dtype::F16).is_err());
    assert!("q8".parse::<Dtype>().unwrap_err().to_string().contains("`q8`"));
}

#[test]
fn the_accounting_is_the_mask_rooms_formula() {
    let shape = kscope::mask::Shape { layers: 3, kv_heads: 4, head_dim: 16 };
    let mask = ChannelMask::from_fn(shape, |layer, head, channel| {
        head != 1 && (channel * 7 + layer) % 5 < head
    });
    for dtype in Dtype::ALL {
        let spec = CacheSpec::new(shape, WINDOW, dtype, mask.clone()).unwrap();
        for tokens in [0, 1, 16, 143, 144, 175, 176, 177, 208, 4096, 4223] {
            let formula = kscope::mask::bytes::pruned(&mask, WINDOW, tokens, dtype.bytes());
            let counted = spec.bytes_at(tokens);
            assert_eq!(
                (counted.k() as u64, counted.v() as u64),
                (formula.k, formula.v),
                "{dtype}, {tokens} tokens"
            );
        }
    }
}

//! Caches of mixed widths: what they store, when it is coded, their bytes, and how they change.

use std::sync::Arc;

use kscope::cache::{BLOCK, CacheSpec, SequenceCache};
use kscope::element::Dtype;
use kscope::mask::{CachePlan, ChannelMask, Coding, Width, Window};
use kscope_testing::plans::*;
use kscope_testing::tokens::*;
use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{WINDOW, assert_same};

const CHUNKS: [usize; 8] = [1, 3, 16, 32, 48, 64, 100, 128];

/// The codes of every full block of every coded head.
fn codes(cache: &SequenceCache) -> Vec<Vec<u8>> {
    let shape = cache.spec().shape();
    let heads = shape.each_head().map(|(layer, head)| cache.head(layer, head));
    heads
        .flat_map(|head| {
            let full = head.parts().middle.len() / BLOCK;
            (0..full).filter_map(move |index| head.coded_block(index).map(<[u8]>::to_vec))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn however_tokens_arrive_a_plan_stores_what_its_widths_say(
        len in 1..600usize,
        pieces in prop::collection::vec(1..200usize, 1..8),
        (sink, recent) in (0..140usize, 0..200usize),
        chunk in prop::sample::select(CHUNKS.to_vec()),
        head_dim in prop::sample::select(vec![4, 7, 31, 32, 48, 64]),
        dtype in prop::sample::select(Dtype::ALL.to_vec()),
        seed: u64,
    ) {
        let shape = shape(1, 4, head_dim);
        let tokens = Tokens::random(shape, 1, len, seed);
        let spec = planned(Window { sink, recent, chunk }, dtype, random_plan(shape, seed));
        let mut cache = SequenceCache::with_capacity(Arc::clone(&spec), len);
        tokens.extend_in(&mut cache, &pieces);
        assert_stored(&cache, &tokens);
        // The length alone decides, down to the bytes.
        prop_assert_eq!(codes(&cache), codes(&tokens.cache(&spec)));
        // One definition of the bytes; the allocator holds them and little more.
        let bytes = cache.bytes();
        prop_assert_eq!(bytes, spec.bytes_at(len));
        let (elements, mut layouts) = (64 * head_dim * dtype.bytes(), 0);
        for (layer, head) in shape.each_head() {
            layouts += match spec.layout(layer, head) {
                // Seven blocks of a slab, and the padding of every block to cache lines.
                Some(layout) => 8 * layout.bytes() + cache.head(layer, head).coded_blocks() * 128,
                None => 8 * elements * 2,
            } + 8 * elements;
        }
        let slack = cache.allocated().checked_sub(bytes.total()).expect("more than is stored");
        let alignment = 63 * 4 * (4 + 2 * len.div_ceil(64));
        prop_assert!(slack <= layouts + alignment, "{} bytes of slack", slack);
    }

    #[test]
    fn retuning_and_rewinding_give_what_a_coded_cache_from_scratch_holds(
        len in 1..600usize,
        back in 0..600usize,
        (sink, recent) in (0..140usize, 0..200usize),
        chunk in prop::sample::select(CHUNKS.to_vec()),
        dtype in prop::sample::select(Dtype::ALL.to_vec()),
        seed: u64,
    ) {
        let (shape, back) = (shape(1, 4, 32), back.min(len));
        let tokens = Tokens::random(shape, 1, len, seed);
        let spec = planned(Window { sink, recent, chunk }, dtype, random_plan(shape, seed));
        let dense = tokens.cache(&CacheSpec::dense(shape, WINDOW, dtype).unwrap().into());
        let mut coded = dense.retuned(Arc::clone(&spec)).unwrap();
        let direct = tokens.cache(&spec);
        assert_same(&coded, &direct);
        prop_assert_eq!(codes(&coded), codes(&direct));

        let alone = coded.can_truncate(back);
        prop_assert_eq!(coded.copied().unwrap().truncate(back, None).is_ok(), alone);
        coded.truncate(back, Some(&dense)).unwrap();
        assert_same(&coded, &tokens.first(back).cache(&spec));
        tokens.extend(&mut coded, back, len);
        assert_same(&coded, &direct);
    }

    #[test]
    fn narrowing_works_from_what_is_stored(
        len in 1..600usize,
        chunk in prop::sample::select(CHUNKS.to_vec()),
        dtype in prop::sample::select(Dtype::ALL.to_vec()),
        head_dim in prop::sample::select(vec![7, 32, 64]),
        seed: u64,
    ) {
        let shape = shape(1, 4, head_dim);
        let window = Window { sink: 10, recent: 70, chunk };
        let tokens = Tokens::random(shape, 1, len, seed);
        let mut plan = random_plan(shape, seed);
        let mut cache = tokens.cache(&planned(window, dtype, plan.clone()));
        for step in 0..4 {
            let narrower = narrowed(&plan, seed ^ step);
            let next = cache.narrowed(planned(window, dtype, narrower.clone())).unwrap();
            check_narrowed(&cache, &next);
            // What widens is refused, unless the cache has it still.
            if narrower != plan && window.middle(len) > 0 {
                let error = next.narrowed(Arc::clone(cache.spec())).unwrap_err().to_string();
                prop_assert!(error.starts_with("layer 0, KV head "), "{}", error);
                prop_assert!(error.contains("without a dense cache"), "{}", error);
            }
            (cache, plan) = (next, narrower);
        }
        // Nothing changes where nothing has to.
        let same = cache.narrowed(Arc::clone(cache.spec())).unwrap();
        assert_same(&same, &cache);
        prop_assert_eq!(codes(&same), codes(&cache));
        // Decode goes on.
        let more = Tokens::random(shape, 1, 150, seed.wrapping_add(1));
        more.extend(&mut cache, 0, 150);
        prop_assert_eq!(cache.tokens(), len + 150);
        prop_assert_eq!(cache.bytes(), cache.spec().bytes_at(len + 150));
    }
}

/// A plan with fewer bits here and there.
fn narrowed(plan: &CachePlan, seed: u64) -> CachePlan {
    let (shape, mut rng) = (plan.shape(), StdRng::seed_from_u64(seed));
    let mut lower = |width: Width, least: usize| match rng.random_bool(0.4) {
        true => Width::ALL[width.index().saturating_sub(1).max(least.min(width.index()))],
        false => width,
    };
    let mut k: Vec<Width> = plan.k_widths().iter().map(|&width| lower(width, 0)).collect();
    let mut v: Vec<Width> = plan.v_widths().iter().map(|&width| lower(width, 1)).collect();
    for (head, v) in k.chunks_mut(shape.head_dim).zip(&mut v) {
        if head.iter().all(|&width| width == Width::Zero) {
            *v = Width::Zero;
        }
    }
    CachePlan::new(shape, k, v, plan.coding()).unwrap()
}

/// Every number of the middle is what it was where its width is the same, and near it, within the
/// spread of its group, where it is narrower.
fn check_narrowed(before: &SequenceCache, after: &SequenceCache) {
    use kscope::cache::StoredKey;
    let head_dim = before.spec().shape().head_dim;
    for (layer, head) in before.spec().shape().each_head() {
        let (old, new) = (before.head(layer, head), after.head(layer, head));
        let (was, is) = (before.spec().plan(), after.spec().plan());
        let middle = new.parts().middle;
        for position in 0..old.len() {
            let whole = |key: StoredKey, kept: &[usize]| -> Vec<Option<f32>> {
                let mut row = vec![None; head_dim];
                match key {
                    StoredKey::Whole(key) => {
                        key.iter().zip(&mut row).for_each(|(x, to)| *to = Some(*x))
                    }
                    StoredKey::Packed(key) => {
                        kept.iter().zip(key).for_each(|(&c, x)| row[c] = Some(x))
                    }
                    StoredKey::Dropped => {}
                }
                row
            };
            let (old_key, new_key) =
                (whole(old.key(position), old.kept()), whole(new.key(position), new.kept()));
            for channel in 0..head_dim {
                let (had, has) = (was.k(layer, head)[channel], is.k(layer, head)[channel]);
                if !middle.contains(&position) || had == has {
                    assert_eq!(old_key[channel], new_key[channel], "{had} bits stay {has}");
                } else {
                    assert_eq!(new_key[channel].is_some(), has != Width::Zero);
                    if let (Some(old), Some(new)) = (old_key[channel], new_key[channel]) {
                        let limit = 4.1 / f32::from(has.largest_code()) / 2.0;
                        assert!((old - new).abs() <= limit, "{had} to {has} bits: {old} {new}");
                    }
                }
            }
            let (had, has) = (was.v(layer, head), is.v(layer, head));
            match (old.value(position), new.value(position)) {
                (Some(old), Some(new)) if middle.contains(&position) && had != has => {
                    let limit = 2.06 / f32::from(has.largest_code()) / 2.0;
                    assert!(old.iter().zip(&new).all(|(old, new)| (old - new).abs() <= limit));
                }
                (_, None) => assert!(middle.contains(&position) && has == Width::Zero),
                (old, new) => assert_eq!(old, new),
            }
        }
    }
}

#[test]
fn what_is_coded_is_never_coded_again() {
    let shape = shape(1, 3, 64);
    let tokens = Tokens::random(shape, 1, 700, 3);
    for chunk in CHUNKS {
        let window = Window { sink: 5, recent: 40, chunk };
        let plan = CachePlan::uniform(shape, Width::Four, Width::Two, Coding::best(64)).unwrap();
        let mut cache = SequenceCache::new(planned(window, Dtype::F16, plan));
        let mut before: Vec<Vec<u8>> = Vec::new();
        for len in 1..=700 {
            tokens.extend(&mut cache, len - 1, len);
            let now: Vec<Vec<u8>> = codes(&cache);
            for head in 0..3 {
                let of = |codes: &[Vec<u8>]| {
                    let each = codes.len() / 3;
                    codes[head * each..(head + 1) * each].to_vec()
                };
                assert!(of(&now).starts_with(&of(&before)), "{len} tokens, chunks of {chunk}");
            }
            before = now;
        }
        assert_eq!(before.len(), window.middle(700) / 64 * 3);
    }
}

#[test]
fn a_cache_of_codes_rewinds_within_its_window_and_says_why_it_cannot_go_further() {
    let shape = shape(2, 1, 64);
    let tokens = Tokens::random(shape, 1, 600, 4);
    let plan = CachePlan::named("k4v4", shape).unwrap();
    let mut coded = tokens.cache(&planned(WINDOW, Dtype::F16, plan));
    assert!(coded.can_truncate(599) && coded.can_truncate(16) && !coded.can_truncate(300));
    let message = coded.truncate(300, None).unwrap_err().to_string();
    assert!(message.contains("from 600 to 300 tokens"), "{message}");
    coded.truncate(597, None).unwrap();
    tokens.extend(&mut coded, 597, 600);
    assert_same(&coded, &tokens.cache(coded.spec()));
    coded.truncate(9, None).unwrap();
    tokens.extend(&mut coded, 9, 600);
    assert_same(&coded, &tokens.cache(coded.spec()));
}

#[test]
fn another_window_codes_again_what_it_has_and_no_token_becomes_whole() {
    let shape = shape(1, 2, 32);
    let tokens = Tokens::random(shape, 1, 500, 5);
    let plan = CachePlan::uniform(shape, Width::Eight, Width::Eight, Coding::best(32)).unwrap();
    let spec = |window| planned(window, Dtype::F32, plan.clone());
    let cache = tokens.cache(&spec(WINDOW));
    // The sink shrinks and groups shift; numbers move by two roundings at most.
    let shifted = Window { sink: 3, recent: 90, chunk: 64 };
    let moved = cache.narrowed(spec(shifted)).unwrap();
    let direct = tokens.cache(&spec(shifted));
    for position in 0..500 {
        let (moved, direct) = (moved.head(0, 1).value(position), direct.head(0, 1).value(position));
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 2.0 * 2.0 / 255.0;
        assert!(moved.unwrap().iter().zip(&direct.unwrap()).all(near), "{position}");
    }
    let wider = Window { sink: 20, ..WINDOW };
    let error = cache.narrowed(spec(wider)).unwrap_err().to_string();
    assert!(error.contains("cannot become whole again"), "{error}");
}

#[test]
fn what_widens_is_refused_by_name() {
    let shape = shape(2, 2, 4);
    let of = |k: Width, v: Width| {
        let mut widths = vec![Width::Eight; 16];
        widths[4 * 3 + 2] = k;
        let v = vec![Width::Eight, Width::Eight, Width::Eight, v];
        let plan = CachePlan::new(shape, widths, v, Coding::best(4)).unwrap();
        planned(Window { sink: 1, recent: 1, chunk: 1 }, Dtype::F16, plan)
    };
    let cache = Tokens::random(shape, 1, 9, 6).cache(&of(Width::Four, Width::Four));
    let error = |spec| cache.narrowed(spec).unwrap_err().to_string();
    assert_eq!(
        error(of(Width::Sixteen, Width::Four)),
        "layer 1, KV head 1, channel 2 has 4 bits and cannot have 16 again: without a dense cache widths can only shrink"
    );
    assert_eq!(
        error(of(Width::Two, Width::Eight)),
        "layer 1, KV head 1: V has 4 bits and cannot have 8 again: without a dense cache widths can only shrink"
    );
}

#[test]
fn clones_of_a_coded_cache_share_until_one_writes() {
    let shape = shape(1, 3, 64);
    let tokens = Tokens::random(shape, 1, 500, 7);
    let spec = planned(WINDOW, Dtype::F16, CachePlan::named("k8v4", shape).unwrap());
    let before = tokens.first(400).cache(&spec);
    let mut after = before.copied().unwrap();
    tokens.extend(&mut after, 400, 500);
    assert_same(&before, &tokens.first(400).cache(&spec));
    assert_same(&after, &tokens.cache(&spec));
}

#[test]
fn blocks_per_token_are_stored_and_counted() {
    let shape = shape(1, 2, 64);
    let tokens = Tokens::random(shape, 1, 400, 8);
    for (name, block) in [("q8_0", 34), ("q4_0", 18), ("q4_0-hadamard", 18)] {
        let plan = CachePlan::named(name, shape).unwrap();
        let cache = tokens.cache(&planned(WINDOW, Dtype::F16, plan));
        let middle = WINDOW.middle(400);
        let bytes = cache.bytes();
        assert_eq!([bytes.middle_k, bytes.middle_v], [middle * 2 * 2 * block; 2], "{name}");
        let limit = if block == 34 { 2.0 / 127.0 } else { 2.0 / 8.0 * 2.5 };
        for position in 16..16 + middle {
            let value = cache.head(0, 1).value(position).unwrap();
            let exact = &tokens.v[0][(position * 2 + 1) * 64..][..64];
            assert!(value.iter().zip(exact).all(|(a, b)| (a - b).abs() < limit), "{name}");
        }
    }
}

#[test]
fn a_plan_of_16_bits_is_the_mask_bit_for_bit_and_stays_so_beside_codes() {
    let shape = shape(1, 3, 64);
    let tokens = Tokens::random(shape, 1, 500, 9);
    let mask = mask_with_counts(shape, &[0, 20, 64], 9);
    let masked = tokens.cache(&spec(shape, WINDOW, Dtype::F16, mask.clone()));
    assert_same(&masked, &tokens.cache(&planned(WINDOW, Dtype::F16, CachePlan::of_mask(&mask))));

    // One more layer, which is coded.
    let both = kscope::mask::Shape { layers: 2, ..shape };
    let wide = ChannelMask::from_fn(both, |layer, head, channel| {
        layer == 1 || mask.head(0, head)[channel]
    });
    let plan = CachePlan::of_mask(&wide);
    let (mut k, mut v) = (plan.k_widths().to_vec(), plan.v_widths().to_vec());
    k[shape.entries()..].fill(Width::Four);
    v[shape.heads()..].fill(Width::Four);
    let plan = CachePlan::new(both, k, v, plan.coding()).unwrap();
    let mut two = tokens.clone();
    two.shape = both;
    two.k.push(tokens.k[0].clone());
    two.v.push(tokens.v[0].clone());
    two.q.push(tokens.q[0].clone());
    let cache = two.cache(&planned(WINDOW, Dtype::F16, plan));
    for head in 0..3 {
        let (a, b) = (cache.head(0, head), masked.head(0, head));
        assert!(a.layout().is_none() && cache.head(1, head).layout().is_some());
        for position in 0..500 {
            assert_eq!((a.key(position), a.value(position)), (b.key(position), b.value(position)));
        }
    }
}

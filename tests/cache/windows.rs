//! Layers that see a window of tokens alone: what they store, free, and can go back to.

use std::sync::Arc;

use kscope::cache::{CacheSpec, SequenceCache, Sight};
use kscope::element::Dtype;
use kscope::mask::Window;
use kscope_testing::plans::*;
use kscope_testing::tokens::*;
use proptest::prelude::*;

use crate::assert_same;

/// A specification whose second layer sees so many tokens.
fn windowed(spec: &CacheSpec, window: usize) -> Arc<CacheSpec> {
    let sight = Sight { windows: vec![None, Some(window)], score_cap: None };
    Arc::new(spec.clone().with_sight(Arc::new(sight)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_layer_with_a_window_stores_it_alone_however_tokens_arrive(
        len in 1..900usize,
        seen in prop_oneof![1..40usize, 1..500usize],
        pieces in prop::collection::vec(1..300usize, 1..8),
        (sink, recent) in (0..140usize, 0..200usize),
        chunk in prop::sample::select(vec![1usize, 8, 32, 48, 64, 100]),
        dtype in prop::sample::select(Dtype::ALL.to_vec()),
        seed: u64,
    ) {
        let shape = shape(2, 4, 32);
        let tokens = Tokens::random(shape, 1, len, seed);
        let plan = random_plan(shape, seed);
        let spec = windowed(&planned(Window { sink, recent, chunk }, dtype, plan), seen);
        let mut cache = SequenceCache::with_capacity(Arc::clone(&spec), len);
        tokens.extend_in(&mut cache, &pieces);
        assert_stored(&cache, &tokens);
        assert_same(&cache, &tokens.cache(&spec));
        prop_assert_eq!(cache.bytes(), spec.bytes_at(len));
    }

    #[test]
    fn caches_are_gathered_and_rewound_across_windows(
        len in 1..700usize,
        back in 0..700usize,
        seen in prop_oneof![1..40usize, 1..400usize],
        (sink, recent) in (0..140usize, 0..200usize),
        chunk in prop::sample::select(vec![1usize, 8, 32, 48, 64]),
        dtype in prop::sample::select(Dtype::ALL.to_vec()),
        seed: u64,
    ) {
        let (shape, back) = (shape(2, 4, 32), back.min(len));
        let tokens = Tokens::random(shape, 1, len, seed);
        let window = Window { sink, recent, chunk };
        let spec = windowed(&planned(window, dtype, random_plan(shape, seed)), seen);
        let dense = tokens.cache(&windowed(&CacheSpec::dense(shape, window, dtype).unwrap(), seen));
        // A dense cache keeps what left a window: it goes back anywhere.
        prop_assert!(dense.can_truncate(back));
        let mut earlier = dense.copied().unwrap();
        earlier.truncate(back, None).unwrap();
        assert_stored(&earlier, &tokens.first(back));
        // Whatever sight the new specification says, a cache keeps its own.
        let unseeing = Arc::new(CacheSpec::clone(&spec).with_sight(Arc::default()));
        let mut pruned = dense.retuned(unseeing).unwrap();
        let direct = tokens.cache(&spec);
        assert_same(&pruned, &direct);
        let alone = pruned.can_truncate(back);
        prop_assert_eq!(pruned.copied().unwrap().truncate(back, None).is_ok(), alone);
        if alone {
            let mut cut = pruned.copied().unwrap();
            cut.truncate(back, None).unwrap();
            assert_same(&cut, &tokens.first(back).cache(&spec));
        }
        pruned.truncate(back, Some(&dense)).unwrap();
        assert_same(&pruned, &tokens.first(back).cache(&spec));
        tokens.extend(&mut pruned, back, len);
        assert_same(&pruned, &direct);
    }
}

#[test]
fn a_forgetting_dense_cache_frees_what_left_its_windows_and_says_so() {
    let shape = shape(1, 2, 64);
    let tokens = Tokens::random(shape, 1, 4000, 7);
    let sight = Arc::new(Sight { windows: vec![Some(256)], score_cap: None });
    let spec = CacheSpec::dense(shape, Window::default(), Dtype::F16).unwrap().with_sight(sight);
    let kept = tokens.cache(&Arc::new(spec.clone()));
    let mut cache = tokens.cache(&Arc::new(spec.forgetting()));
    // 256 tokens are in 4 or 5 blocks of 64, in 2 heads, keys and values of 128 bytes.
    let blocks = 5 * 64 * 2 * 2 * 128;
    assert_eq!(cache.bytes().total(), 256 * 2 * 2 * 128);
    assert!(cache.allocated() <= blocks + 20 * 64, "{}", cache.allocated());
    assert!(kept.allocated() > 10 * cache.allocated());
    assert!(cache.can_truncate(3990) && !cache.can_truncate(3000));
    let message = cache.truncate(3000, None).unwrap_err().to_string();
    assert!(message.contains("before a layer's window"), "{message}");
    cache.truncate(3990, None).unwrap();
    assert_stored(&cache, &tokens.first(3990));
}

#[test]
fn a_cache_with_tokens_takes_no_other_sight() {
    let shape = shape(1, 1, 8);
    let tokens = Tokens::random(shape, 1, 5, 3);
    let spec = Arc::new(CacheSpec::dense(shape, Window::default(), Dtype::F32).unwrap());
    let sight = Arc::new(Sight { windows: vec![Some(2)], score_cap: None });
    let mut cache = SequenceCache::new(Arc::clone(&spec));
    cache.look_back(&sight).unwrap();
    tokens.extend(&mut cache, 0, 5);
    cache.look_back(&sight).unwrap();
    assert_stored(&cache, &tokens);
    assert!(cache.look_back(&Arc::default()).is_err());
}

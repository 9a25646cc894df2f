//! The bytes of a plan against the allocator of live sequences: 3 lengths x 3 batches x 3 plans.

use std::sync::Arc;

use kscope::capacity::{KvStore, StoredMiddle};
use kscope::decode::sampler::Sampling;
use kscope::decode::session::{Request, Session};
use kscope::element::Dtype;
use kscope::mask::{CachePlan, ChannelMask, Window};
use kscope::model::decoder::with_quiet_hooks;
use kscope::model::served::ServedModel;
use kscope_testing::demo;

#[test]
fn the_bytes_of_a_plan_are_those_of_live_sequences() {
    let model = demo();
    let shape = model.config().mask_shape();
    let served = ServedModel::of_config("demo", model.config(), "the demo");
    let mask = ChannelMask::from_fn(shape, |layer, head, channel| {
        (layer + head) % 4 != 3 && channel < [16, 24, 40][(layer + 2 * head) % 3]
    });
    let plans = [
        (StoredMiddle::Dense, Window::default(), CachePlan::full(shape)),
        (
            StoredMiddle::Plan { name: "mask".into(), plan: CachePlan::of_mask(&mask) },
            Window::default(),
            CachePlan::of_mask(&mask),
        ),
        (
            StoredMiddle::Named("k8v4".into()),
            Window::CODED,
            CachePlan::named("k8v4", shape).unwrap(),
        ),
    ];
    for (stored, window, plan) in plans {
        let store = stored.store(&served, Dtype::F16, window).unwrap();
        let spec = Arc::new(kscope::cache::CacheSpec::planned(window, Dtype::F16, plan).unwrap());
        for len in [200, 729, 1300] {
            for batch in [1, 2, 5] {
                assert_live(&model, &spec, &store, len, batch);
            }
        }
    }
}

/// Prefills `batch` prompts of `len - 20` tokens and decodes 20.
fn assert_live(
    model: &Arc<kscope::model::Model>,
    spec: &Arc<kscope::cache::CacheSpec>,
    store: &KvStore,
    len: usize,
    batch: usize,
) {
    let vocab = model.config().vocab as u32;
    let prompt =
        |row: usize| (0..len - 20).map(|i| ((i * 37 + row * 11) as u32 + 7) % vocab).collect();
    let request = Request {
        prompts: (0..batch).map(prompt).collect(),
        sampling: Sampling::default(),
        max_new: 21,
        forced: None,
        context: usize::MAX,
        ignore_end: true,
    };
    let mut session =
        with_quiet_hooks(|hooks| Session::start(Arc::clone(model), spec, request, false, hooks))
            .unwrap()
            .0;
    while !session.is_finished() {
        session.step(&mut |_, _, _| ()).unwrap();
    }
    let caches: Vec<_> = session.sequences().iter().map(|sequence| &sequence.cache).collect();
    assert!(caches.iter().all(|cache| cache.tokens() == len), "{}", caches[0].tokens());
    let held: usize = caches.iter().map(|cache| cache.allocated()).sum();
    let elements: usize = caches.iter().map(|cache| cache.bytes().total()).sum();
    let planned = store.allocated(len) as f64 * batch as f64;
    let off = planned / held as f64 - 1.0;
    assert!(off.abs() < 0.01, "{planned} planned, {held} held at {len} x {batch}: {off}");
    assert_eq!(store.bytes(len) as usize * batch, elements, "at {len} x {batch}");
    assert!(store.reserved(len) as usize * batch >= held);
}

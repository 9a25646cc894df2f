//! The memory of a model whose weights are quantised in its file: hardly more than the file's
//! tensors and the cache. In its own process, because other tests take memory too.

#![cfg(target_os = "linux")]

use kscope::cache::SequenceCache;
use kscope::element::Dtype;
use kscope::mask::Window;
use kscope::model::decoder::StepBuffers;
use kscope::model::load::{Opened, Source};
use kscope_testing::models::dense;
use kscope_testing::needs::smollm2;
use kscope_testing::require;

/// Bytes of this process that are no pages of files.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

#[test]
fn a_loaded_model_takes_little_more_than_its_tensors_and_its_cache() {
    if !require("model") {
        return;
    }
    let source = Source::Gguf(smollm2().unwrap());
    let opened = Opened::open(&source).unwrap();
    let tensors = opened.stored_weight_bytes().unwrap() as usize;
    let expected = opened.weight_types(None).unwrap();
    let before = resident();
    let model = opened.load(None, &mut |_| Ok(())).unwrap();
    let loaded = resident() - before;
    assert_eq!(model.weight_types(), &expected, "what the headers promise");

    let spec = dense(&model, Window::default(), Dtype::F16);
    let mut cache = SequenceCache::new(spec);
    let tokens: Vec<u32> = (0..100).map(|at| at * 37 % 49_000).collect();
    let mut buffers = StepBuffers::new(model.config(), 1);
    for token in tokens {
        let caches = &mut [&mut cache];
        model.decoder.step(&[token], caches, &mut buffers, &mut |_, _, _| ()).unwrap();
    }
    let run = resident() - before;
    println!(
        "tensors {tensors} bytes, in memory {loaded}, after 100 steps {run} with a cache of {}",
        cache.allocated()
    );
    assert!(loaded as f64 <= 1.1 * tensors as f64, "{loaded} bytes for {tensors} of tensors");
    assert!(
        run as f64 <= 1.1 * tensors as f64 + cache.allocated() as f64,
        "{run} bytes for {tensors} of tensors and a cache of {}",
        cache.allocated()
    );
}

//! Resident memory at 8,192 tokens shrinks by what the accounting says. In its own process, because
//! other tests would change the measurement.
#![cfg(target_os = "linux")]

use kscope::cache::{CacheSpec, SequenceCache};
use kscope::element::Dtype;
use kscope::mask::{ChannelMask, Window};
use kscope_testing::tokens::*;

/// Resident bytes of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[test]
fn resident_memory_shrinks_by_what_the_accounting_says() {
    let shape = shape(30, 3, 64);
    let tokens = Tokens::random(shape, 1, 1024, 1);
    let fill = |mask: ChannelMask| {
        let before = resident();
        let mut cache = SequenceCache::new(spec(shape, Window::default(), Dtype::F16, mask));
        for layer in 0..shape.layers {
            for _ in 0..8 {
                cache.append(layer, &tokens.k[layer], &tokens.v[layer]);
            }
        }
        (resident() - before, cache.bytes().total(), cache)
    };
    // The first cache warms up the allocator and the thread pool. All caches stay alive, so that
    // none can reuse freed memory.
    let mut alive = vec![fill(mask_with_counts(shape, &[20], 1)).2];
    let (dense, dense_bytes, cache) = fill(ChannelMask::full(shape));
    alive.push(cache);
    for (name, counts) in [
        ("70 % pruned", vec![19]),
        ("a third of the heads dropped", vec![0, 32, 24]),
        ("odd counts", vec![1, 13, 63]),
    ] {
        let (pruned, bytes, cache) = fill(mask_with_counts(shape, &counts, 2));
        alive.push(cache);
        let (saved, promised) = (dense as f64 - pruned as f64, (dense_bytes - bytes) as f64);
        println!(
            "{name}: resident {dense} -> {pruned}, accounted {dense_bytes} -> {bytes}: saved {:.4} of it",
            saved / promised
        );
        assert!(
            (saved / promised - 1.0).abs() < 0.05,
            "{name}: {saved} bytes saved, {promised} promised"
        );
        assert!(
            (pruned as f64 / bytes as f64 - 1.0).abs() < 0.05,
            "{name}: {pruned} bytes resident, {bytes} accounted"
        );
    }
    assert_eq!(
        CacheSpec::dense(shape, Window::default(), Dtype::F16).unwrap().bytes_at(8192).total(),
        dense_bytes
    );
}

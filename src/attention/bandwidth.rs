//! How fast this machine reads memory.

use std::time::Instant;

use rayon::prelude::*;

use crate::attention::stream;

/// Read bandwidth in GB/s (1e9 bytes) over all threads of the current rayon pool, each with its own
/// share of `bytes`, which should be far more than any cache holds. The best of `passes` counts,
/// because other load on the machine can only slow a pass down.
pub fn read_bandwidth(bytes: usize, passes: usize) -> f64 {
    let threads = rayon::current_num_threads();
    let words = bytes / size_of::<u64>();
    // Written by the threads that read it; pages of zeros would all be one page.
    let memory: Vec<u64> = (0..words).into_par_iter().map(|_| 1).collect();
    let pass = || {
        let start = Instant::now();
        let sum = memory
            .par_chunks(memory.len().div_ceil(threads))
            .map(stream)
            .reduce(|| 0, u64::wrapping_add);
        std::hint::black_box(sum);
        bytes as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    (0..passes).map(|_| pass()).fold(0.0, f64::max)
}

//! How fast this machine reads memory.

use std::time::Instant;

use rayon::prelude::*;

use crate::attention::stream;

/// Bytes read per pass: far more than any cache holds.
const WORKING_SET: usize = 1 << 30;
/// Passes. The best one counts, because other load on the machine can only slow a pass down.
const PASSES: usize = 8;

/// Read bandwidth in GB/s (1e9 bytes) over all threads of the current rayon pool, each with its own
/// share of 1 GiB.
pub fn read_bandwidth() -> f64 {
    let threads = rayon::current_num_threads();
    let memory: Vec<u64> = vec![1; WORKING_SET / size_of::<u64>()];
    let pass = || {
        let start = Instant::now();
        let sum = memory
            .par_chunks(memory.len().div_ceil(threads))
            .map(stream)
            .reduce(|| 0, u64::wrapping_add);
        std::hint::black_box(sum);
        WORKING_SET as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    (0..PASSES).map(|_| pass()).fold(0.0, f64::max)
}

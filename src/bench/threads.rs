//! Pools of a given number of threads.

use rayon::ThreadPool;

use crate::{Error, Result};

/// A pool of `threads` threads.
pub fn pool(threads: usize) -> Result<ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|cause| Error::run(format!("starting {threads} threads: {cause}")))
}

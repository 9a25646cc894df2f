//! Weights asked for ahead of their use.

/// Asks for as much memory as `read` takes up, `bytes` further on. What lies there may belong to
/// something else or to nothing.
///
/// A product with one row of activations takes less time than memory, and the processor's own
/// prefetchers keep too little of a matrix on its way (docs/DECISIONS.md, "Reading weights").
#[inline(always)]
pub fn ask_ahead<T>(read: &[T], bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};

        let from = read.as_ptr().cast::<i8>().wrapping_add(bytes);
        let mut line = 0;
        while line < size_of_val(read) {
            // SAFETY: a prefetch reads nothing and cannot fault.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(from.wrapping_add(line)) }
            line += 64;
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (read, bytes);
}

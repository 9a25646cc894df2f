//! Reads memory and nothing else: a bound for attention, which cannot be faster.

/// The wrapping sum of `memory`, read once from front to back with the widest loads of this
/// machine.
pub fn stream(memory: &[u64]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the machine has AVX-512.
        return unsafe { x86::avx512(memory) };
    } else if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2.
        return unsafe { x86::avx2(memory) };
    }
    sum(memory)
}

#[inline(always)]
fn sum(memory: &[u64]) -> u64 {
    // Independent sums, so that no addition waits for the one before.
    let mut sums = [0u64; 64];
    let lines = memory.chunks_exact(sums.len());
    let rest = lines.remainder().iter().fold(0u64, |sum, &x| sum.wrapping_add(x));
    for line in lines {
        for (sum, &x) in sums.iter_mut().zip(line) {
            *sum = sum.wrapping_add(x);
        }
    }
    sums.iter().fold(rest, |sum, &x| sum.wrapping_add(x))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[target_feature(enable = "avx512f")]
    pub(super) fn avx512(memory: &[u64]) -> u64 {
        super::sum(memory)
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn avx2(memory: &[u64]) -> u64 {
        super::sum(memory)
    }
}

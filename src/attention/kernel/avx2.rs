//! AVX2, FMA and F16C: eight lanes.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::lanes::{EXP2, Simd, Widen};

/// Eight lanes of a `__m256`.
pub(in crate::attention) struct Avx2;

// SAFETY throughout: the caller is compiled with avx2, fma and f16c and runs only on machines that
// have them; pointers are valid for eight elements, as the kernels in `super` promise.
impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    const TILE: usize = 2;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::V) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn any_above(a: Self::V, limit: f32) -> bool {
        // SAFETY: see above.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a, _mm256_set1_ps(limit))) != 0 }
    }

    #[inline(always)]
    unsafe fn largest(a: Self::V) -> f32 {
        // SAFETY: see above.
        unsafe {
            let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)))
        }
    }

    #[inline(always)]
    unsafe fn exp2(a: Self::V) -> Self::V {
        // SAFETY: see above.
        unsafe {
            let least = _mm256_set1_ps(-126.0);
            let clamped = _mm256_max_ps(a, least);
            let whole = _mm256_floor_ps(clamped);
            let fraction = _mm256_sub_ps(clamped, whole);
            let mut polynomial = _mm256_set1_ps(EXP2[5]);
            for term in [EXP2[4], EXP2[3], EXP2[2], EXP2[1], EXP2[0]] {
                polynomial = _mm256_fmadd_ps(polynomial, fraction, _mm256_set1_ps(term));
            }
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127));
            let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent));
            _mm256_andnot_ps(
                _mm256_cmp_ps::<_CMP_LT_OQ>(a, least),
                _mm256_mul_ps(polynomial, power),
            )
        }
    }

    #[inline(always)]
    unsafe fn prefetch(line: *const u8) {
        // SAFETY: a prefetch cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) }
    }
}

impl Widen<f32> for Avx2 {
    #[inline(always)]
    unsafe fn widen(from: *const f32) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(from) }
    }
}

impl Widen<f16> for Avx2 {
    #[inline(always)]
    unsafe fn widen(from: *const f16) -> Self::V {
        // SAFETY: see above; f16 is a transparent u16.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }
}

impl Widen<bf16> for Avx2 {
    #[inline(always)]
    unsafe fn widen(from: *const bf16) -> Self::V {
        // SAFETY: see above; bf16 is a transparent u16, and the high half of the f32 of equal
        // value.
        unsafe {
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(
                from.cast(),
            ))))
        }
    }
}

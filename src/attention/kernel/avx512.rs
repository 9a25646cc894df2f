//! AVX-512: sixteen lanes.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::lanes::{EXP2, Simd, Widen};

/// Sixteen lanes of a `__m512`.
pub(in crate::attention) struct Avx512;

// SAFETY throughout: the caller is compiled with avx512f and avx512dq and runs only on machines
// that have them; pointers are valid for sixteen elements, as the kernels in `super` promise.
impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    const TILE: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::V) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(to, value) }
    }

    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn any_above(a: Self::V, limit: f32) -> bool {
        // SAFETY: see above.
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, _mm512_set1_ps(limit)) != 0 }
    }

    #[inline(always)]
    unsafe fn largest(a: Self::V) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_max_ps(a) }
    }

    #[inline(always)]
    unsafe fn exp2(a: Self::V) -> Self::V {
        // SAFETY: see above.
        unsafe {
            // a - floor(a), without exceptions; scalef takes the floor itself.
            let fraction = _mm512_reduce_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(a);
            let mut polynomial = _mm512_set1_ps(EXP2[5]);
            for term in [EXP2[4], EXP2[3], EXP2[2], EXP2[1], EXP2[0]] {
                polynomial = _mm512_fmadd_ps(polynomial, fraction, _mm512_set1_ps(term));
            }
            _mm512_scalef_ps(polynomial, a)
        }
    }

    #[inline(always)]
    unsafe fn prefetch(line: *const u8) {
        // SAFETY: a prefetch cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.cast()) }
    }
}

impl Widen<f32> for Avx512 {
    #[inline(always)]
    unsafe fn widen(from: *const f32) -> Self::V {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(from) }
    }
}

impl Widen<f16> for Avx512 {
    #[inline(always)]
    unsafe fn widen(from: *const f16) -> Self::V {
        // SAFETY: see above; f16 is a transparent u16.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }
}

impl Widen<bf16> for Avx512 {
    #[inline(always)]
    unsafe fn widen(from: *const bf16) -> Self::V {
        // SAFETY: see above; bf16 is a transparent u16, and the high half of the f32 of equal
        // value.
        unsafe {
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(
                from.cast(),
            ))))
        }
    }
}

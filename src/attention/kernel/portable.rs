//! Registers as arrays: plain Rust for every machine, in loops that the compiler can vectorise.

use half::{bf16, f16};

use super::lanes::{EXP2, Simd, Widen};

/// Eight lanes.
pub(in crate::attention) struct Portable;

const LANES: usize = 8;

#[inline(always)]
fn map(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

// SAFETY throughout: pointers are valid for `LANES` elements, as the kernels in `super` promise.
impl Simd for Portable {
    type V = [f32; LANES];
    const LANES: usize = LANES;
    const TILE: usize = 1;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::V {
        [value; LANES]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: see above.
        unsafe { from.cast::<Self::V>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::V) {
        // SAFETY: see above.
        unsafe { to.cast::<Self::V>().write_unaligned(value) }
    }

    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        map(a, b, |a, b| a - b)
    }

    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        map(a, b, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        map(a, b, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        map(a, b, f32::max)
    }

    /// Two roundings: without FMA instructions `mul_add` would be a library call.
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|lane| a[lane] * b[lane] + c[lane])
    }

    #[inline(always)]
    unsafe fn any_above(a: Self::V, limit: f32) -> bool {
        a.into_iter().fold(false, |any, a| any | (a > limit))
    }

    #[inline(always)]
    unsafe fn largest(a: Self::V) -> f32 {
        a.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    unsafe fn exp2(a: Self::V) -> Self::V {
        // Adding 1.5 * 2^23 rounds to the nearest whole number and leaves it in the low bits; after
        // subtracting 1/2 it rounds down.
        const ROUND: f32 = 12_582_912.0;
        a.map(|a| {
            let clamped = a.max(-126.0);
            let whole = (clamped - 0.5) + ROUND;
            let fraction = clamped - (whole - ROUND);
            let polynomial = EXP2.iter().rev().fold(0.0, |sum, &term| sum * fraction + term);
            let power = f32::from_bits((whole.to_bits() << 23).wrapping_add(127 << 23));
            if a < -126.0 { 0.0 } else { polynomial * power }
        })
    }

    #[inline(always)]
    unsafe fn prefetch(_line: *const u8) {}
}

impl Widen<f32> for Portable {
    #[inline(always)]
    unsafe fn widen(from: *const f32) -> Self::V {
        // SAFETY: see above.
        unsafe { Self::load(from) }
    }
}

impl Widen<f16> for Portable {
    #[inline(always)]
    unsafe fn widen(from: *const f16) -> Self::V {
        // SAFETY: see above; f16 is a transparent u16.
        let bits = unsafe { from.cast::<[u16; LANES]>().read_unaligned() };
        bits.map(|bits| {
            // The exponent is rebased by a multiplication, which is right for subnormals as well;
            // infinity and NaN are handled separately.
            let magnitude = u32::from(bits & 0x7fff) << 13;
            let special = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
            let rebased = (f32::from_bits(magnitude) * f32::from_bits((112 + 127) << 23)).to_bits();
            f32::from_bits(rebased | special | u32::from(bits & 0x8000) << 16)
        })
    }
}

impl Widen<bf16> for Portable {
    #[inline(always)]
    unsafe fn widen(from: *const bf16) -> Self::V {
        // SAFETY: see above; bf16 is a transparent u16.
        let bits = unsafe { from.cast::<[u16; LANES]>().read_unaligned() };
        bits.map(|bits| f32::from_bits(u32::from(bits) << 16))
    }
}

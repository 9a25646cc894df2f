//! The instruction sets of x86-64 that products of quantised weights are compiled for.

use std::arch::x86_64::*;

use super::lanes::{ROWS, TileLanes, first};

pulp::simd_type!({
    /// Proof that the machine has AVX-512 with VNNI.
    pub struct Avx512Tiles {
        pub avx: feature!("avx"),
        pub avx2: feature!("avx2"),
        pub avx512f: feature!("avx512f"),
        pub avx512bw: feature!("avx512bw"),
        pub avx512vnni: feature!("avx512vnni"),
    }
});

pulp::simd_type!({
    /// Proof that the machine has AVX2.
    pub struct Avx2Tiles {
        pub sse: feature!("sse"),
        pub avx: feature!("avx"),
        pub avx2: feature!("avx2"),
    }
});

impl TileLanes for Avx512Tiles {
    type Bytes = __m512i;
    type Ints = __m512i;
    type Floats = __m512;

    #[inline(always)]
    fn bytes(self, from: &[u8]) -> __m512i {
        pulp::cast(first::<64>(from))
    }
    #[inline(always)]
    fn right(self, a: __m512i, bits: u32) -> __m512i {
        match bits {
            1 => self.avx512bw._mm512_srli_epi16::<1>(a),
            2 => self.avx512bw._mm512_srli_epi16::<2>(a),
            3 => self.avx512bw._mm512_srli_epi16::<3>(a),
            4 => self.avx512bw._mm512_srli_epi16::<4>(a),
            5 => self.avx512bw._mm512_srli_epi16::<5>(a),
            _ => self.avx512bw._mm512_srli_epi16::<6>(a),
        }
    }
    #[inline(always)]
    fn left(self, a: __m512i, bits: u32) -> __m512i {
        match bits {
            1 => self.avx512bw._mm512_slli_epi16::<1>(a),
            2 => self.avx512bw._mm512_slli_epi16::<2>(a),
            3 => self.avx512bw._mm512_slli_epi16::<3>(a),
            _ => self.avx512bw._mm512_slli_epi16::<4>(a),
        }
    }
    #[inline(always)]
    fn mask(self, a: __m512i, mask: u8) -> __m512i {
        self.avx512f._mm512_and_si512(a, self.avx512f._mm512_set1_epi8(mask as i8))
    }
    #[inline(always)]
    fn or(self, a: __m512i, b: __m512i) -> __m512i {
        self.avx512f._mm512_or_si512(a, b)
    }
    #[inline(always)]
    fn table(self, table: &[u8; 16], at: __m512i) -> __m512i {
        let table = self.avx512f._mm512_broadcast_i32x4(pulp::cast(*table));
        self.avx512bw._mm512_shuffle_epi8(table, at)
    }
    #[inline(always)]
    fn ints(self, value: i32) -> __m512i {
        self.avx512f._mm512_set1_epi32(value)
    }
    #[inline(always)]
    fn dot<const WIDE: bool>(self, sum: __m512i, codes: __m512i, x: i32) -> __m512i {
        // SAFETY: `self` proves that the machine has the instruction.
        unsafe { _mm512_dpbusd_epi32(sum, codes, self.avx512f._mm512_set1_epi32(x)) }
    }
    #[inline(always)]
    fn floats(self, a: __m512i) -> __m512 {
        self.avx512f._mm512_cvtepi32_ps(a)
    }
    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        self.avx512f._mm512_set1_ps(value)
    }
    #[inline(always)]
    fn halves(self, from: &[u8]) -> __m512 {
        self.avx512f._mm512_cvtph_ps(pulp::cast(first::<32>(from)))
    }
    #[inline(always)]
    fn signed(self, from: &[u8]) -> __m512 {
        let wide = self.avx512f._mm512_cvtepi8_epi32(pulp::cast(first::<16>(from)));
        self.avx512f._mm512_cvtepi32_ps(wide)
    }
    #[inline(always)]
    fn low_halves(self, from: &[u8]) -> __m512 {
        let f = self.avx512f;
        let wide = f._mm512_cvtepu8_epi32(pulp::cast(first::<16>(from)));
        f._mm512_cvtepi32_ps(f._mm512_and_si512(wide, f._mm512_set1_epi32(15)))
    }
    #[inline(always)]
    fn high_halves(self, from: &[u8]) -> __m512 {
        let f = self.avx512f;
        let wide = f._mm512_cvtepu8_epi32(pulp::cast(first::<16>(from)));
        f._mm512_cvtepi32_ps(f._mm512_srli_epi32::<4>(wide))
    }
    #[inline(always)]
    fn half_powers(self, from: &[u8]) -> __m512 {
        let f = self.avx512f;
        let exponents = f._mm512_cvtepu8_epi32(pulp::cast(first::<16>(from)));
        // Subnormal where the exponent is 0 or 1.
        let normal =
            f._mm512_slli_epi32::<23>(f._mm512_sub_epi32(exponents, f._mm512_set1_epi32(1)));
        let small = f._mm512_sllv_epi32(f._mm512_set1_epi32(0x0020_0000), exponents);
        let is_small = f._mm512_cmplt_epi32_mask(exponents, f._mm512_set1_epi32(2));
        pulp::cast(f._mm512_mask_blend_epi32(is_small, normal, small))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        self.avx512f._mm512_mul_ps(a, b)
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        self.avx512f._mm512_add_ps(a, b)
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        self.avx512f._mm512_sub_ps(a, b)
    }
    #[inline(always)]
    fn rows(self, a: __m512) -> [f32; ROWS] {
        pulp::cast(a)
    }
}

/// What AVX2 does with the two halves of a tile, and how it sums products of bytes.
pub trait HalfTiles: Copy {
    /// Proof of AVX2.
    fn avx2(self) -> Avx2Tiles;
    /// The products of one half.
    fn dot<const WIDE: bool>(self, sum: __m256i, codes: __m256i, x: i32) -> __m256i;
}

impl HalfTiles for Avx2Tiles {
    #[inline(always)]
    fn avx2(self) -> Self {
        self
    }
    #[inline(always)]
    fn dot<const WIDE: bool>(self, sum: __m256i, codes: __m256i, x: i32) -> __m256i {
        let (avx, avx2) = (self.avx, self.avx2);
        let x = avx._mm256_set1_epi32(x);
        let pairs = if WIDE {
            // Two products of bytes could leave 16 bits: even and odd columns are multiplied apart.
            let low = avx._mm256_set1_epi16(0xff);
            let even = avx2._mm256_madd_epi16(
                avx2._mm256_and_si256(codes, low),
                avx2._mm256_srai_epi16::<8>(avx2._mm256_slli_epi16::<8>(x)),
            );
            let odd = avx2._mm256_madd_epi16(
                avx2._mm256_srli_epi16::<8>(codes),
                avx2._mm256_srai_epi16::<8>(x),
            );
            avx2._mm256_add_epi32(even, odd)
        } else {
            let ones = avx._mm256_set1_epi16(1);
            avx2._mm256_madd_epi16(avx2._mm256_maddubs_epi16(codes, x), ones)
        };
        avx2._mm256_add_epi32(sum, pairs)
    }
}

/// AVX2 with the product of bytes of AVX-VNNI.
#[derive(Debug, Clone, Copy)]
pub struct AvxVnniTiles(Avx2Tiles);

impl AvxVnniTiles {
    /// Proof that the machine has both.
    pub fn try_new() -> Option<Self> {
        is_x86_feature_detected!("avxvnni").then(Avx2Tiles::try_new).flatten().map(Self)
    }

    /// Runs work with these instructions.
    pub fn vectorize<W: pulp::NullaryFnOnce>(self, work: W) -> W::Output {
        #[target_feature(enable = "avx,avx2,avxvnni")]
        fn inside<W: pulp::NullaryFnOnce>(work: W) -> W::Output {
            work.call()
        }
        // SAFETY: `self` proves that the machine has them.
        unsafe { inside(work) }
    }
}

impl HalfTiles for AvxVnniTiles {
    #[inline(always)]
    fn avx2(self) -> Avx2Tiles {
        self.0
    }
    #[inline(always)]
    fn dot<const WIDE: bool>(self, sum: __m256i, codes: __m256i, x: i32) -> __m256i {
        // SAFETY: `self` proves that the machine has the instruction.
        unsafe { _mm256_dpbusd_avx_epi32(sum, codes, self.0.avx._mm256_set1_epi32(x)) }
    }
}

impl<H: HalfTiles> TileLanes for H {
    type Bytes = [__m256i; 2];
    type Ints = [__m256i; 2];
    type Floats = [__m256; 2];

    #[inline(always)]
    fn bytes(self, from: &[u8]) -> [__m256i; 2] {
        [pulp::cast(first::<32>(from)), pulp::cast(first::<32>(&from[32..64]))]
    }
    #[inline(always)]
    fn right(self, [a, b]: [__m256i; 2], bits: u32) -> [__m256i; 2] {
        let avx2 = self.avx2().avx2;
        match bits {
            1 => [avx2._mm256_srli_epi16::<1>(a), avx2._mm256_srli_epi16::<1>(b)],
            2 => [avx2._mm256_srli_epi16::<2>(a), avx2._mm256_srli_epi16::<2>(b)],
            3 => [avx2._mm256_srli_epi16::<3>(a), avx2._mm256_srli_epi16::<3>(b)],
            4 => [avx2._mm256_srli_epi16::<4>(a), avx2._mm256_srli_epi16::<4>(b)],
            5 => [avx2._mm256_srli_epi16::<5>(a), avx2._mm256_srli_epi16::<5>(b)],
            _ => [avx2._mm256_srli_epi16::<6>(a), avx2._mm256_srli_epi16::<6>(b)],
        }
    }
    #[inline(always)]
    fn left(self, [a, b]: [__m256i; 2], bits: u32) -> [__m256i; 2] {
        let avx2 = self.avx2().avx2;
        match bits {
            1 => [avx2._mm256_slli_epi16::<1>(a), avx2._mm256_slli_epi16::<1>(b)],
            2 => [avx2._mm256_slli_epi16::<2>(a), avx2._mm256_slli_epi16::<2>(b)],
            3 => [avx2._mm256_slli_epi16::<3>(a), avx2._mm256_slli_epi16::<3>(b)],
            _ => [avx2._mm256_slli_epi16::<4>(a), avx2._mm256_slli_epi16::<4>(b)],
        }
    }
    #[inline(always)]
    fn mask(self, [a, b]: [__m256i; 2], mask: u8) -> [__m256i; 2] {
        let Avx2Tiles { avx, avx2, .. } = self.avx2();
        let mask = avx._mm256_set1_epi8(mask as i8);
        [avx2._mm256_and_si256(a, mask), avx2._mm256_and_si256(b, mask)]
    }
    #[inline(always)]
    fn or(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        let avx2 = self.avx2().avx2;
        [avx2._mm256_or_si256(a[0], b[0]), avx2._mm256_or_si256(a[1], b[1])]
    }
    #[inline(always)]
    fn table(self, table: &[u8; 16], [a, b]: [__m256i; 2]) -> [__m256i; 2] {
        let avx2 = self.avx2().avx2;
        let table = avx2._mm256_broadcastsi128_si256(pulp::cast(*table));
        [avx2._mm256_shuffle_epi8(table, a), avx2._mm256_shuffle_epi8(table, b)]
    }
    #[inline(always)]
    fn ints(self, value: i32) -> [__m256i; 2] {
        [self.avx2().avx._mm256_set1_epi32(value); 2]
    }
    #[inline(always)]
    fn dot<const WIDE: bool>(
        self,
        [a, b]: [__m256i; 2],
        [low, high]: [__m256i; 2],
        x: i32,
    ) -> [__m256i; 2] {
        [HalfTiles::dot::<WIDE>(self, a, low, x), HalfTiles::dot::<WIDE>(self, b, high, x)]
    }
    #[inline(always)]
    fn floats(self, [a, b]: [__m256i; 2]) -> [__m256; 2] {
        let avx = self.avx2().avx;
        [avx._mm256_cvtepi32_ps(a), avx._mm256_cvtepi32_ps(b)]
    }
    #[inline(always)]
    fn splat(self, value: f32) -> [__m256; 2] {
        [self.avx2().avx._mm256_set1_ps(value); 2]
    }
    #[inline(always)]
    fn halves(self, from: &[u8]) -> [__m256; 2] {
        let token = self.avx2();
        [halves(token, &from[..16]), halves(token, &from[16..32])]
    }
    #[inline(always)]
    fn signed(self, from: &[u8]) -> [__m256; 2] {
        let Avx2Tiles { avx, avx2, .. } = self.avx2();
        let eight = |from: [u8; 8]| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&from);
            avx._mm256_cvtepi32_ps(avx2._mm256_cvtepi8_epi32(pulp::cast(bytes)))
        };
        [eight(first(from)), eight(first(&from[8..16]))]
    }
    #[inline(always)]
    fn low_halves(self, from: &[u8]) -> [__m256; 2] {
        self.signed(&first::<ROWS>(from).map(|byte| byte & 15))
    }
    #[inline(always)]
    fn high_halves(self, from: &[u8]) -> [__m256; 2] {
        self.signed(&first::<ROWS>(from).map(|byte| byte >> 4))
    }
    #[inline(always)]
    fn half_powers(self, from: &[u8]) -> [__m256; 2] {
        let powers = first::<ROWS>(from).map(super::lanes::half_power);
        pulp::cast(powers)
    }
    #[inline(always)]
    fn mul(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        let avx = self.avx2().avx;
        [avx._mm256_mul_ps(a[0], b[0]), avx._mm256_mul_ps(a[1], b[1])]
    }
    #[inline(always)]
    fn add(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        let avx = self.avx2().avx;
        [avx._mm256_add_ps(a[0], b[0]), avx._mm256_add_ps(a[1], b[1])]
    }
    #[inline(always)]
    fn sub(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        let avx = self.avx2().avx;
        [avx._mm256_sub_ps(a[0], b[0]), avx._mm256_sub_ps(a[1], b[1])]
    }
    #[inline(always)]
    fn rows(self, a: [__m256; 2]) -> [f32; ROWS] {
        pulp::cast(a)
    }
}

/// Eight f16: exponent and mantissa moved into place and rescaled by 2^112, which is exact for
/// every finite one.
#[inline(always)]
fn halves(Avx2Tiles { avx, avx2, .. }: Avx2Tiles, from: &[u8]) -> __m256 {
    let bits = avx2._mm256_cvtepu16_epi32(pulp::cast(first::<16>(from)));
    let magnitude = avx2._mm256_and_si256(bits, avx._mm256_set1_epi32(0x7fff));
    let sign = avx2._mm256_xor_si256(bits, magnitude);
    let shifted = pulp::cast(avx2._mm256_slli_epi32::<13>(magnitude));
    let scaled = avx._mm256_mul_ps(shifted, avx._mm256_set1_ps(f32::from_bits(0x7780_0000)));
    avx._mm256_or_ps(scaled, pulp::cast(avx2._mm256_slli_epi32::<16>(sign)))
}

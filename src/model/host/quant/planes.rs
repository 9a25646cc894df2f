//! Codes of a unit (32 columns of 16 rows) in planes of bits.
//!
//! A unit's codes are eight vectors of 64 bytes: vector `g` holds columns `4g .. 4g + 4` of each
//! row, row by row. Planes keep the low four bits, or the low two, of all of them and then the bits
//! above, so that a few shifts give the vectors back.

use super::lanes::{PlainLanes, TileLanes};

/// Vectors of a unit.
pub const VECTORS: usize = 8;

/// The codes of a unit, as packed.
pub type UnitCodes = [[u8; 64]; VECTORS];

/// How the codes of a unit are kept.
pub trait CodePlanes {
    /// Bytes of a unit.
    const BYTES: usize;
    /// Whether codes reach 64.
    const WIDE: bool = false;

    /// Packs a unit.
    fn pack(codes: &UnitCodes, to: &mut [u8]);

    /// The unit's vectors.
    fn vectors<L: TileLanes>(lanes: L, from: &[u8]) -> [L::Bytes; VECTORS];

    /// What [`Self::pack`] packed.
    fn codes(from: &[u8]) -> UnitCodes {
        Self::vectors(PlainLanes, from)
    }
}

/// Codes of 8 bits.
pub struct EightBits;

impl CodePlanes for EightBits {
    const BYTES: usize = 512;
    const WIDE: bool = true;

    fn pack(codes: &UnitCodes, to: &mut [u8]) {
        for (to, vector) in to.chunks_exact_mut(64).zip(codes) {
            to.copy_from_slice(vector);
        }
    }

    #[inline(always)]
    fn vectors<L: TileLanes>(lanes: L, from: &[u8]) -> [L::Bytes; VECTORS] {
        let at = |at: usize| lanes.bytes(&from[64 * at..64 * at + 64]);
        [at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7)]
    }
}

/// Codes of 4 bits: vectors `g` and `g + 4` share bytes.
pub struct FourBits;

impl CodePlanes for FourBits {
    const BYTES: usize = 256;

    fn pack(codes: &UnitCodes, to: &mut [u8]) {
        let (low, high) = codes.split_at(4);
        for (to, (low, high)) in to.chunks_exact_mut(64).zip(low.iter().zip(high)) {
            for (to, (low, high)) in to.iter_mut().zip(low.iter().zip(high)) {
                *to = low & 15 | (high & 15) << 4;
            }
        }
    }

    #[inline(always)]
    fn vectors<L: TileLanes>(lanes: L, from: &[u8]) -> [L::Bytes; VECTORS] {
        let low = |at: usize| lanes.mask(lanes.bytes(&from[64 * at..64 * at + 64]), 15);
        let high =
            |at: usize| lanes.mask(lanes.right(lanes.bytes(&from[64 * at..64 * at + 64]), 4), 15);
        [low(0), low(1), low(2), low(3), high(0), high(1), high(2), high(3)]
    }
}

/// Codes of 2 bits: four vectors share bytes, twice.
pub struct TwoBits;

impl CodePlanes for TwoBits {
    const BYTES: usize = 128;

    fn pack(codes: &UnitCodes, to: &mut [u8]) {
        for (to, four) in to.chunks_exact_mut(64).zip(codes.chunks_exact(4)) {
            for (at, to) in to.iter_mut().enumerate() {
                *to = (0..4).fold(0, |byte, g| byte | (four[g][at] & 3) << (2 * g));
            }
        }
    }

    #[inline(always)]
    fn vectors<L: TileLanes>(lanes: L, from: &[u8]) -> [L::Bytes; VECTORS] {
        let [a, b] = [lanes.bytes(&from[..64]), lanes.bytes(&from[64..128])];
        let two = |a, bits| lanes.mask(lanes.right(a, bits), 3);
        [
            lanes.mask(a, 3),
            two(a, 2),
            two(a, 4),
            two(a, 6),
            lanes.mask(b, 3),
            two(b, 2),
            two(b, 4),
            two(b, 6),
        ]
    }
}

/// One bit of each code, above the bits of other planes: bit `g` of a byte is that of vector `g`.
fn pack_bit(codes: &UnitCodes, bit: u32, to: &mut [u8]) {
    for (at, to) in to[..64].iter_mut().enumerate() {
        *to = (0..VECTORS).fold(0, |byte, g| byte | (codes[g][at] >> bit & 1) << g);
    }
}

/// Puts bit `BIT` on top of each vector.
#[inline(always)]
fn with_bit<L: TileLanes, const BIT: u32>(
    lanes: L,
    mut vectors: [L::Bytes; VECTORS],
    plane: &[u8],
) -> [L::Bytes; VECTORS] {
    let plane = lanes.bytes(&plane[..64]);
    let mut g = 0;
    while g < VECTORS {
        let moved = match g as u32 {
            g if g < BIT => lanes.left(plane, BIT - g),
            g if g > BIT => lanes.right(plane, g - BIT),
            _ => plane,
        };
        vectors[g] = lanes.or(vectors[g], lanes.mask(moved, 1 << BIT));
        g += 1;
    }
    vectors
}

/// Codes of 5 bits.
pub struct FiveBits;

impl CodePlanes for FiveBits {
    const BYTES: usize = FourBits::BYTES + 64;

    fn pack(codes: &UnitCodes, to: &mut [u8]) {
        let (low, high) = to.split_at_mut(FourBits::BYTES);
        FourBits::pack(codes, low);
        pack_bit(codes, 4, high);
    }

    #[inline(always)]
    fn vectors<L: TileLanes>(lanes: L, from: &[u8]) -> [L::Bytes; VECTORS] {
        with_bit::<L, 4>(lanes, FourBits::vectors(lanes, from), &from[FourBits::BYTES..])
    }
}

/// Codes of 3 bits.
pub struct ThreeBits;

impl CodePlanes for ThreeBits {
    const BYTES: usize = TwoBits::BYTES + 64;

    fn pack(codes: &UnitCodes, to: &mut [u8]) {
        let (low, high) = to.split_at_mut(TwoBits::BYTES);
        TwoBits::pack(codes, low);
        pack_bit(codes, 2, high);
    }

    #[inline(always)]
    fn vectors<L: TileLanes>(lanes: L, from: &[u8]) -> [L::Bytes; VECTORS] {
        with_bit::<L, 2>(lanes, TwoBits::vectors(lanes, from), &from[TwoBits::BYTES..])
    }
}

/// Codes of 6 bits.
pub struct SixBits;

impl CodePlanes for SixBits {
    const BYTES: usize = FourBits::BYTES + TwoBits::BYTES;

    fn pack(codes: &UnitCodes, to: &mut [u8]) {
        let (low, high) = to.split_at_mut(FourBits::BYTES);
        FourBits::pack(codes, low);
        TwoBits::pack(&codes.map(|vector| vector.map(|code| code >> 4)), high);
    }

    #[inline(always)]
    fn vectors<L: TileLanes>(lanes: L, from: &[u8]) -> [L::Bytes; VECTORS] {
        let low = FourBits::vectors(lanes, from);
        let high = &from[FourBits::BYTES..];
        let [a, b] = [lanes.bytes(&high[..64]), lanes.bytes(&high[64..128])];
        let top = |low, moved| lanes.or(low, lanes.mask(moved, 0x30));
        [
            top(low[0], lanes.left(a, 4)),
            top(low[1], lanes.left(a, 2)),
            top(low[2], a),
            top(low[3], lanes.right(a, 2)),
            top(low[4], lanes.left(b, 4)),
            top(low[5], lanes.left(b, 2)),
            top(low[6], b),
            top(low[7], lanes.right(b, 2)),
        ]
    }
}

/// Indices of 4 bits into a table of levels.
pub struct LevelCodes<T>(std::marker::PhantomData<T>);

/// A table of sixteen levels, each a code.
pub trait LevelTable {
    /// The levels, above the kind's zero.
    const LEVELS: [u8; 16];
    /// Whether a level reaches 64.
    const WIDE: bool;
}

/// The levels of the IQ4 kinds, above 128.
pub struct Iq4Levels;

impl LevelTable for Iq4Levels {
    // -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
    const LEVELS: [u8; 16] =
        [1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241];
    const WIDE: bool = true;
}

/// Twice the values of a float with two bits of exponent and one of mantissa, above 12.
pub struct DoubledE2m1;

impl LevelTable for DoubledE2m1 {
    const LEVELS: [u8; 16] = [12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0];
    const WIDE: bool = false;
}

impl<T: LevelTable> CodePlanes for LevelCodes<T> {
    const BYTES: usize = FourBits::BYTES;
    const WIDE: bool = T::WIDE;

    fn pack(codes: &UnitCodes, to: &mut [u8]) {
        FourBits::pack(codes, to);
    }

    fn codes(from: &[u8]) -> UnitCodes {
        FourBits::codes(from)
    }

    #[inline(always)]
    fn vectors<L: TileLanes>(lanes: L, from: &[u8]) -> [L::Bytes; VECTORS] {
        let mut vectors = FourBits::vectors(lanes, from);
        let mut g = 0;
        while g < VECTORS {
            vectors[g] = lanes.table(&T::LEVELS, vectors[g]);
            g += 1;
        }
        vectors
    }
}

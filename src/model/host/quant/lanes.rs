//! Vectors over sixteen rows, one implementation for each instruction set.
//!
//! Every one of them does the same operations in the same order: whole numbers are exact, and a
//! float of a row is only ever added to in its own lane. So all give the same result to the bit.

use half::f16;

/// Rows of a tile.
pub const ROWS: usize = 16;

/// Vectors of one instruction set. Slices must have at least the length that is read.
pub trait TileLanes: Copy {
    /// 64 bytes: four columns of each row, row by row.
    type Bytes: Copy;
    /// One whole number for each row.
    type Ints: Copy;
    /// One float for each row.
    type Floats: Copy;

    /// Loads 64 bytes.
    fn bytes(self, from: &[u8]) -> Self::Bytes;
    /// Shifts to the right; what crosses into a byte from its neighbour must be masked away.
    fn right(self, a: Self::Bytes, bits: u32) -> Self::Bytes;
    /// Shifts to the left, likewise.
    fn left(self, a: Self::Bytes, bits: u32) -> Self::Bytes;
    /// The bits of a mask, of each byte.
    fn mask(self, a: Self::Bytes, mask: u8) -> Self::Bytes;
    /// Bits of both.
    fn or(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// The entries of a table that the bytes (below 16) name.
    fn table(self, table: &[u8; 16], at: Self::Bytes) -> Self::Bytes;

    /// The same number in every row.
    fn ints(self, value: i32) -> Self::Ints;
    /// `sum` plus the products of each row's four codes with the four signed bytes of `x`, which
    /// are -127 to 127. Codes of 64 and more need `WIDE`.
    fn dot<const WIDE: bool>(self, sum: Self::Ints, codes: Self::Bytes, x: i32) -> Self::Ints;
    /// As floats.
    fn floats(self, a: Self::Ints) -> Self::Floats;

    /// The same number in every row.
    fn splat(self, value: f32) -> Self::Floats;
    /// Loads one f16 for each row; finite ones.
    fn halves(self, from: &[u8]) -> Self::Floats;
    /// Loads one signed byte for each row.
    fn signed(self, from: &[u8]) -> Self::Floats;
    /// Loads one byte for each row: the lower half of each.
    fn low_halves(self, from: &[u8]) -> Self::Floats;
    /// The upper half of each.
    fn high_halves(self, from: &[u8]) -> Self::Floats;
    /// Loads one exponent for each row: half of two to the power of each, less 127.
    fn half_powers(self, from: &[u8]) -> Self::Floats;
    /// The product.
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// The sum.
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// The difference.
    fn sub(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// The rows in order.
    fn rows(self, a: Self::Floats) -> [f32; ROWS];
}

/// The first bytes of a slice as an array.
#[inline(always)]
pub fn first<const N: usize>(from: &[u8]) -> [u8; N] {
    *from.first_chunk::<N>().expect("a full vector")
}

/// Half of the power of two that an exponent stands for.
#[inline(always)]
pub fn half_power(exponent: u8) -> f32 {
    match exponent {
        0 | 1 => f32::from_bits(0x0020_0000 << exponent),
        _ => f32::from_bits(u32::from(exponent - 1) << 23),
    }
}

/// Lanes as plain arrays, for machines without the instruction sets of the others.
#[derive(Debug, Clone, Copy)]
pub struct PlainLanes;

impl TileLanes for PlainLanes {
    type Bytes = [u8; 64];
    type Ints = [i32; ROWS];
    type Floats = [f32; ROWS];

    #[inline(always)]
    fn bytes(self, from: &[u8]) -> [u8; 64] {
        first(from)
    }
    #[inline(always)]
    fn right(self, a: [u8; 64], bits: u32) -> [u8; 64] {
        a.map(|byte| byte >> bits)
    }
    #[inline(always)]
    fn left(self, a: [u8; 64], bits: u32) -> [u8; 64] {
        a.map(|byte| byte << bits)
    }
    #[inline(always)]
    fn mask(self, a: [u8; 64], mask: u8) -> [u8; 64] {
        a.map(|byte| byte & mask)
    }
    #[inline(always)]
    fn or(self, a: [u8; 64], b: [u8; 64]) -> [u8; 64] {
        std::array::from_fn(|at| a[at] | b[at])
    }
    #[inline(always)]
    fn table(self, table: &[u8; 16], at: [u8; 64]) -> [u8; 64] {
        at.map(|at| table[usize::from(at & 15)])
    }
    #[inline(always)]
    fn ints(self, value: i32) -> [i32; ROWS] {
        [value; ROWS]
    }
    #[inline(always)]
    fn dot<const WIDE: bool>(self, mut sum: [i32; ROWS], codes: [u8; 64], x: i32) -> [i32; ROWS] {
        let x = x.to_le_bytes().map(|byte| i32::from(byte as i8));
        for (sum, codes) in sum.iter_mut().zip(codes.chunks_exact(4)) {
            for (code, x) in codes.iter().zip(x) {
                *sum += i32::from(*code) * x;
            }
        }
        sum
    }
    #[inline(always)]
    fn floats(self, a: [i32; ROWS]) -> [f32; ROWS] {
        a.map(|value| value as f32)
    }
    #[inline(always)]
    fn splat(self, value: f32) -> [f32; ROWS] {
        [value; ROWS]
    }
    #[inline(always)]
    fn halves(self, from: &[u8]) -> [f32; ROWS] {
        std::array::from_fn(|row| f16::from_le_bytes([from[2 * row], from[2 * row + 1]]).to_f32())
    }
    #[inline(always)]
    fn signed(self, from: &[u8]) -> [f32; ROWS] {
        first::<ROWS>(from).map(|byte| f32::from(byte as i8))
    }
    #[inline(always)]
    fn low_halves(self, from: &[u8]) -> [f32; ROWS] {
        first::<ROWS>(from).map(|byte| f32::from(byte & 15))
    }
    #[inline(always)]
    fn high_halves(self, from: &[u8]) -> [f32; ROWS] {
        first::<ROWS>(from).map(|byte| f32::from(byte >> 4))
    }
    #[inline(always)]
    fn half_powers(self, from: &[u8]) -> [f32; ROWS] {
        first::<ROWS>(from).map(half_power)
    }
    #[inline(always)]
    fn mul(self, a: [f32; ROWS], b: [f32; ROWS]) -> [f32; ROWS] {
        std::array::from_fn(|row| a[row] * b[row])
    }
    #[inline(always)]
    fn add(self, a: [f32; ROWS], b: [f32; ROWS]) -> [f32; ROWS] {
        std::array::from_fn(|row| a[row] + b[row])
    }
    #[inline(always)]
    fn sub(self, a: [f32; ROWS], b: [f32; ROWS]) -> [f32; ROWS] {
        std::array::from_fn(|row| a[row] - b[row])
    }
    #[inline(always)]
    fn rows(self, a: [f32; ROWS]) -> [f32; ROWS] {
        a
    }
}

//! What an instruction set provides for codes.

use super::fold::{CodeFactors, WeightSpace};
use crate::attention::kernel::Simd;
use crate::cache::BLOCK;

/// Most interleaved fours whose weights share a scale: 64 channels, or all tokens of a block.
pub const MOST_FOURS: usize = BLOCK / 4;

/// Words that one query head's weights of [`MOST_FOURS`] fours take, however they are stored.
pub const WEIGHT_WORDS: usize = 4 * MOST_FOURS;

/// Lanes of a column: a cache line holds four codes, one per member of a four, of 16 lanes.
pub const COLUMN: usize = 16;

/// Interleaved codes of one width.
///
/// A four is `stride` bytes of columns, 64 bytes each. Byte `4 l + j` of a column belongs to member
/// `j` of the four and, from the lowest bits up, to as many lanes as codes fit a byte: one per part.
#[derive(Clone, Copy)]
pub struct Codes {
    /// The first four.
    pub first: *const u8,
    /// Bytes from a four to the next.
    pub stride: usize,
    /// The fours that count, from this one to before that one.
    pub fours: (usize, usize),
    /// Bits of a code.
    pub bits: usize,
    /// Distance to what the next block has in this place, which is prefetched.
    pub ahead: isize,
}

/// Columns `columns.0 .. columns.1`, and of each of them these parts.
#[derive(Clone, Copy)]
pub struct Tile {
    /// Columns of a four.
    pub columns: (usize, usize),
    /// Parts of a byte.
    pub parts: (usize, usize),
}

/// Where the sums of a tile are added: `sum = rescale * sum + bias + scale * (codes * weights)` per
/// query head.
pub struct Sums<const HEADS: usize> {
    /// Lane 0 of head 0.
    pub first: *mut f32,
    /// Numbers from a head to the next.
    pub stride: usize,
    /// Numbers from a column to the next.
    pub column_step: usize,
    /// Numbers from a part to the next.
    pub part_step: usize,
    /// CodeFactors of what is there.
    pub rescale: [f32; HEADS],
}

impl<const HEADS: usize> Sums<HEADS> {
    /// The 16 sums of a column's part.
    #[inline(always)]
    pub fn at(&self, head: usize, column: usize, part: usize) -> *mut f32 {
        let offset = head * self.stride + column * self.column_step + part * self.part_step;
        self.first.wrapping_add(offset)
    }
}

/// The weights of a sum, as [`CodeLanes::fold`] left them, `[head][WEIGHT_WORDS]`.
pub struct CodeWeights<const HEADS: usize> {
    /// Of all heads.
    pub stored: *const u32,
    /// What a stored weight of 1 stands for.
    pub scale: [f32; HEADS],
    /// What is added once.
    pub bias: [f32; HEADS],
}

/// Sums of products of codes and weights.
pub trait CodeLanes: Simd {
    /// `LANES` codes of a row that is not interleaved: `byte >> shift & mask`.
    unsafe fn widen_codes(from: *const u8, shift: u32, mask: u8) -> Self::V;

    /// Folds scales and minima into the weights of a sum: the products of factors and scales, whole
    /// numbers of one scale per head where the dot product needs them, are stored in `space`; the
    /// sum of the products of factors and minima becomes the bias.
    ///
    /// # Safety
    /// The pointers of `factors` are valid for its count; the instruction set is there.
    unsafe fn fold<const HEADS: usize>(
        factors: &CodeFactors,
        bits: usize,
        space: &mut WeightSpace<HEADS>,
    ) -> CodeWeights<HEADS>;

    /// Adds the products of codes and weights of a tile to its sums.
    ///
    /// # Safety
    /// `codes` is valid for its fours, `weights` for as many, `sums` for 16 numbers at every head,
    /// column and part; the instruction set is there.
    unsafe fn dot<const HEADS: usize>(
        codes: &Codes,
        tile: Tile,
        weights: &CodeWeights<HEADS>,
        sums: &Sums<HEADS>,
    );
}

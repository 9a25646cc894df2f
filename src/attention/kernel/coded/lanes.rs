//! What an instruction set provides for codes.

use half::f16;

use crate::attention::kernel::Widen;

/// Most interleaved fours whose weights share a scale: 256 channels, or 64 tokens.
pub const MOST_FOURS: usize = 64;

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
    /// Factors of what is there.
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

/// The weights of a sum, as [`CodeLanes::store_weights`] left them, `[head][WEIGHT_WORDS]`.
pub struct Weights<const HEADS: usize> {
    /// Of all heads.
    pub stored: *const u32,
    /// What a stored weight of 1 stands for.
    pub scale: [f32; HEADS],
    /// What is added once.
    pub bias: [f32; HEADS],
}

/// Sums of products of codes and weights.
pub trait CodeLanes: Widen<f16> {
    /// The largest magnitude of a stored weight for codes of `bits`; infinite where weights are
    /// stored as they are.
    fn largest_weight(bits: usize) -> f32;

    /// Whether weights are rounded so coarsely that the rounding error is to meet centred codes.
    fn is_coarse(bits: usize) -> bool;

    unsafe fn abs(a: Self::V) -> Self::V;

    /// The sum of all lanes.
    unsafe fn total(a: Self::V) -> f32;

    /// Rounds the weights of the members `at ..` of fours, `LANES` of them, to whole numbers up to
    /// [`Self::largest_weight`], stores them for [`Self::dot`] and returns them.
    unsafe fn store_weights(weights: Self::V, at: usize, bits: usize, to: *mut u32) -> Self::V;

    /// `LANES` codes of a row that is not interleaved: `byte >> shift & mask`.
    unsafe fn widen_codes(from: *const u8, shift: u32, mask: u8) -> Self::V;

    /// Adds the products of codes and weights of a tile to its sums.
    ///
    /// # Safety
    /// `codes` is valid for its fours, `weights` for as many, `sums` for 16 numbers at every head,
    /// column and part; the instruction set is there.
    unsafe fn dot<const HEADS: usize>(
        codes: &Codes,
        tile: Tile,
        weights: &Weights<HEADS>,
        sums: &Sums<HEADS>,
    );
}

//! Activations of 8 bits: the inputs of a product, rounded once for all of a matrix's rows.

use super::lanes::TileLanes;
use super::level::{LaneWork, TileLevel};

/// Columns of a unit.
pub const UNIT: usize = 32;

/// 32 activations.
#[derive(Debug, Clone, Copy)]
pub struct UnitActivations {
    /// EightBits numbers of -127 to 127, four to a word.
    pub words: [i32; 8],
    /// What the first sixteen are multiplied by, and the others.
    pub scales: [f32; 2],
    /// The sums of both sixteen.
    pub sums: [i32; 2],
    /// Those times their scales.
    pub scaled: [f32; 2],
    /// The sum of the two.
    pub scaled_sum: f32,
}

/// Rows of activations, `[batch, cols]`; `cols` is a multiple of 32.
#[derive(Debug)]
pub struct Activations {
    units: Vec<UnitActivations>,
    units_per_row: usize,
}

impl Activations {
    /// Rounds `x` (`[batch, cols]`). In each 16 the largest magnitude becomes 127, and ties go to
    /// the even number. What is no finite number makes its 16 no numbers.
    pub fn new(x: &[f32], cols: usize) -> Self {
        debug_assert!(cols.is_multiple_of(UNIT) && x.len().is_multiple_of(cols));
        let mut units = Vec::with_capacity(x.len() / UNIT);
        TileLevel::detect().run(Round { x, units: &mut units });
        Self { units, units_per_row: cols / UNIT }
    }

    /// The units of one row.
    pub fn row(&self, row: usize) -> &[UnitActivations] {
        &self.units[row * self.units_per_row..][..self.units_per_row]
    }
}

/// Rounding, as work that is compiled for an instruction set.
struct Round<'a> {
    x: &'a [f32],
    units: &'a mut Vec<UnitActivations>,
}

impl LaneWork for Round<'_> {
    #[inline(always)]
    fn run<L: TileLanes>(self, _: L) {
        for x in self.x.as_chunks().0 {
            self.units.push(rounded(x));
        }
    }
}

#[inline(always)]
fn rounded(x: &[f32; UNIT]) -> UnitActivations {
    // Added to a small number this leaves it rounded to a whole one, ties to even, in the low bits.
    const WHOLE: f32 = 12_582_912.0;
    const FINITE: u32 = 0x7f80_0000;
    let mut codes = [0_u8; UNIT];
    let (mut scales, mut sums) = ([0.0; 2], [0; 2]);
    for half in 0..2 {
        let own = 16 * half..16 * half + 16;
        // Bits of magnitudes have the order of the magnitudes; those of what is no number are above.
        let mut largest = 0;
        for at in own.clone() {
            largest = largest.max(x[at].to_bits() & 0x7fff_ffff);
        }
        let (finite, largest) = (largest < FINITE, f32::from_bits(largest));
        let inverse = 127.0 / largest;
        // Nothing, or so little that it has no finite inverse.
        let inverse = if inverse.is_finite() { inverse } else { 0.0 };
        for at in own {
            let code = (x[at] * inverse + WHOLE).to_bits() as u8;
            codes[at] = code;
            sums[half] += i32::from(code as i8);
        }
        scales[half] = if finite { largest / 127.0 } else { f32::NAN };
    }
    let mut words = [0; 8];
    for (word, four) in words.iter_mut().zip(codes.as_chunks().0) {
        *word = i32::from_le_bytes(*four);
    }
    let scaled = [scales[0] * sums[0] as f32, scales[1] * sums[1] as f32];
    UnitActivations { words, scales, sums, scaled, scaled_sum: scaled[0] + scaled[1] }
}

//! Activations of two terms of 8 bits: the inputs of a product, rounded once for all of a matrix's
//! rows. The second term is what rounding left over, so that a product is near that of floats.

use super::lanes::TileLanes;
use super::level::{LaneWork, TileLevel};

/// Steps of the second term in one of the first.
pub const STEPS: f32 = 256.0;

/// Columns of a unit.
pub const UNIT: usize = 32;

/// 32 activations.
#[derive(Debug, Clone, Copy)]
pub struct UnitActivations {
    /// Two terms, each of 32 numbers of -127 to 127, four to a word. An activation is [`STEPS`]
    /// times the first one plus the second one, times its scale.
    pub words: [[i32; 8]; 2],
    /// What the first sixteen are multiplied by, and the others.
    pub scales: [f32; 2],
    /// The sums of both sixteen, of each term.
    pub sums: [[i32; 2]; 2],
    /// The sums of both sixteen activations.
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
    /// Rounds `x` (`[batch, cols]`). In each 16 the largest magnitude becomes 127 of the first term,
    /// and ties go to the even number. What is no finite number makes its 16 no numbers.
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
    let mut codes = [[0_u8; UNIT]; 2];
    let (mut scales, mut sums) = ([0.0; 2], [[0; 2]; 2]);
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
            let number = x[at] * inverse;
            let first = number + WHOLE;
            let rest = ((number - (first - WHOLE)) * STEPS).clamp(-127.0, 127.0) + WHOLE;
            for (term, code) in
                [first, rest].map(|code| code.to_bits() as u8).into_iter().enumerate()
            {
                codes[term][at] = code;
                sums[term][half] += i32::from(code as i8);
            }
        }
        scales[half] = if finite { largest / (127.0 * STEPS) } else { f32::NAN };
    }
    let words = codes.map(|codes| {
        let mut words = [0; 8];
        for (word, four) in words.iter_mut().zip(codes.as_chunks().0) {
            *word = i32::from_le_bytes(*four);
        }
        words
    });
    let sum = |half: usize| scales[half] * (STEPS * sums[0][half] as f32 + sums[1][half] as f32);
    let scaled = [sum(0), sum(1)];
    UnitActivations { words, scales, sums, scaled, scaled_sum: scaled[0] + scaled[1] }
}

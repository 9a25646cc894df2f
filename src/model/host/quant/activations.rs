//! Activations of 8 bits: the inputs of a product, rounded once for all of a matrix's rows.

/// Columns of a unit.
pub const UNIT: usize = 32;

/// 32 activations.
#[derive(Debug, Clone, Copy)]
pub struct UnitActivations {
    /// EightBits numbers of -127 to 127, four to a word.
    pub words: [i32; 8],
    /// What they are multiplied by.
    pub scale: f32,
    /// The sum of the first sixteen whole numbers, and of the others.
    pub sums: [i32; 2],
    /// Both times the scale.
    pub scaled: [f32; 2],
    /// The sum of all, times the scale.
    pub scaled_sum: f32,
}

/// Rows of activations, `[batch, cols]`; `cols` is a multiple of 32.
#[derive(Debug)]
pub struct Activations {
    units: Vec<UnitActivations>,
    units_per_row: usize,
}

impl Activations {
    /// Rounds `x` (`[batch, cols]`). In each 32 the largest magnitude becomes 127, and ties go to
    /// the even number. What is no finite number makes its 32 no numbers.
    pub fn new(x: &[f32], cols: usize) -> Self {
        debug_assert!(cols.is_multiple_of(UNIT) && x.len().is_multiple_of(cols));
        Self { units: x.chunks_exact(UNIT).map(rounded).collect(), units_per_row: cols / UNIT }
    }

    /// The units of one row.
    pub fn row(&self, row: usize) -> &[UnitActivations] {
        &self.units[row * self.units_per_row..][..self.units_per_row]
    }
}

fn rounded(x: &[f32]) -> UnitActivations {
    // Added and taken away again this leaves a whole number, ties to even: the sum has no more bits.
    const WHOLE: f32 = 12_582_912.0;
    let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let finite = x.iter().all(|x| x.is_finite());
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    // A tiny largest magnitude has no finite inverse; such values are as good as zero.
    let inverse = if inverse.is_finite() { inverse } else { 0.0 };
    let mut codes = [0_i8; UNIT];
    for (code, x) in codes.iter_mut().zip(x) {
        *code = ((x * inverse + WHOLE) - WHOLE) as i8;
    }
    let mut words = [0; 8];
    for (word, four) in words.iter_mut().zip(codes.chunks_exact(4)) {
        *word = i32::from_le_bytes([four[0] as u8, four[1] as u8, four[2] as u8, four[3] as u8]);
    }
    let sum = |codes: &[i8]| codes.iter().map(|&code| i32::from(code)).sum::<i32>();
    let sums = [sum(&codes[..16]), sum(&codes[16..])];
    let scale = if finite { largest / 127.0 } else { f32::NAN };
    UnitActivations {
        words,
        scale,
        sums,
        scaled: sums.map(|sum| scale * sum as f32),
        scaled_sum: scale * (sums[0] + sums[1]) as f32,
    }
}

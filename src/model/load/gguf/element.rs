//! The element types of GGUF files: those that candle widens, those that are widened here, and the
//! names of all others, for errors.

use candle_core::quantized::GgmlDType;
use half::f16;

/// An element type that can be read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum GgufElement {
    /// Widened by candle.
    Candle(GgmlDType),
    /// Eight-byte floats.
    F64,
    /// 32 values: an f16 scale, then indices into a table of sixteen levels.
    Iq4Nl,
    /// 256 values in eight groups, each with a six-bit scale of its own, over the same levels.
    Iq4Xs,
    /// 32 values: an exponent of two, then floats of four bits.
    Mxfp4,
}

/// Every type that ggml numbers or has numbered.
const NAMES: &[(u32, &str)] = &[
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (4, "Q4_2"),
    (5, "Q4_3"),
    (6, "Q5_0"),
    (7, "Q5_1"),
    (8, "Q8_0"),
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (12, "Q4_K"),
    (13, "Q5_K"),
    (14, "Q6_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (30, "BF16"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

/// The levels of the IQ4 types.
const IQ4_LEVELS: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Twice the values of a float with two bits of exponent and one of mantissa.
const E2M1_DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

impl GgufElement {
    /// The type that ggml gives this number; `None` where it cannot be read.
    pub fn of(kind: u32) -> Option<Self> {
        Some(match kind {
            0 => Self::Candle(GgmlDType::F32),
            1 => Self::Candle(GgmlDType::F16),
            2 => Self::Candle(GgmlDType::Q4_0),
            3 => Self::Candle(GgmlDType::Q4_1),
            6 => Self::Candle(GgmlDType::Q5_0),
            7 => Self::Candle(GgmlDType::Q5_1),
            8 => Self::Candle(GgmlDType::Q8_0),
            10 => Self::Candle(GgmlDType::Q2K),
            11 => Self::Candle(GgmlDType::Q3K),
            12 => Self::Candle(GgmlDType::Q4K),
            13 => Self::Candle(GgmlDType::Q5K),
            14 => Self::Candle(GgmlDType::Q6K),
            20 => Self::Iq4Nl,
            23 => Self::Iq4Xs,
            28 => Self::F64,
            30 => Self::Candle(GgmlDType::BF16),
            39 => Self::Mxfp4,
            _ => return None,
        })
    }

    /// What a tensor of an unreadable type is said to be.
    pub fn refusal(kind: u32) -> String {
        let known: Vec<&str> =
            NAMES.iter().filter(|(kind, _)| Self::of(*kind).is_some()).map(|(_, n)| *n).collect();
        let known = known.join(", ");
        match NAMES.iter().find(|(number, _)| *number == kind) {
            Some((_, name)) => format!("is of type {name}, which is not read (known: {known})"),
            None => format!("is of an unknown type, number {kind} (known: {known})"),
        }
    }

    /// Values in one block.
    pub fn block_len(self) -> usize {
        match self {
            Self::Candle(dtype) => dtype.block_size(),
            Self::F64 => 1,
            Self::Iq4Nl | Self::Mxfp4 => 32,
            Self::Iq4Xs => 256,
        }
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::Candle(dtype) => dtype.type_size(),
            Self::F64 => 8,
            Self::Iq4Nl => 18,
            Self::Mxfp4 => 17,
            Self::Iq4Xs => 136,
        }
    }

    #[expect(clippy::indexing_slicing, reason = "a block has as many bytes as its type says")]
    /// The values of whole blocks of a type that is widened here; `None` for candle's.
    pub fn widen(self, blocks: &[u8]) -> Option<Vec<f32>> {
        let mut out = Vec::with_capacity(blocks.len() / self.block_bytes() * self.block_len());
        for block in blocks.chunks_exact(self.block_bytes()) {
            match self {
                Self::Candle(_) => return None,
                Self::F64 => {
                    out.extend(block.first_chunk().map(|eight| f64::from_le_bytes(*eight) as f32));
                }
                Self::Iq4Nl => nibbles(half_at(block, 0), &IQ4_LEVELS, &block[2..], &mut out),
                Self::Iq4Xs => {
                    let high = u16::from_le_bytes([block[2], block[3]]);
                    for (group, indices) in block[8..].chunks_exact(16).enumerate() {
                        let low = block[4 + group / 2] >> (4 * (group % 2)) & 15;
                        let scale = i32::from(low) | i32::from(high >> (2 * group) & 3) << 4;
                        let scale = half_at(block, 0) * (scale - 32) as f32;
                        nibbles(scale, &IQ4_LEVELS, indices, &mut out);
                    }
                }
                Self::Mxfp4 => nibbles(half_power(block[0]), &E2M1_DOUBLED, &block[1..], &mut out),
            }
        }
        Some(out)
    }
}

#[expect(clippy::indexing_slicing, reason = "inside a block")]
fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Half of the power of two that this exponent stands for; the levels are doubled.
fn half_power(exponent: u8) -> f32 {
    match exponent {
        0 | 1 => f32::from_bits(0x0020_0000 << exponent),
        _ => f32::from_bits(u32::from(exponent - 1) << 23),
    }
}

#[expect(clippy::indexing_slicing, reason = "four bits name one of 16 levels")]
/// A block's levels times its scale: the low halves of all bytes, then the high ones.
fn nibbles(scale: f32, levels: &[i8; 16], indices: &[u8], out: &mut Vec<f32>) {
    out.extend(indices.iter().map(|byte| scale * f32::from(levels[usize::from(byte & 15)])));
    out.extend(indices.iter().map(|byte| scale * f32::from(levels[usize::from(byte >> 4)])));
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candle_core::quantized::ggml_file::qtensor_from_ggml;

    use super::*;

    #[test]
    fn a_block_of_zero_bytes_is_a_block_of_zeros() {
        let readable: Vec<GgufElement> = (0..64).filter_map(GgufElement::of).collect();
        assert_eq!(readable.len(), 17);
        for element in readable {
            let (bytes, len) = (vec![0; element.block_bytes()], element.block_len());
            let values = match element {
                GgufElement::Candle(dtype) => {
                    let tensor = qtensor_from_ggml(dtype, &bytes, vec![1, len], &Device::Cpu);
                    let wide = tensor.unwrap().dequantize(&Device::Cpu).unwrap();
                    wide.flatten_all().unwrap().to_vec1::<f32>().unwrap()
                }
                _ => element.widen(&bytes).unwrap(),
            };
            assert_eq!(values, vec![0.0; len], "{element:?}");
        }
    }
}

//! The element types of GGUF files: those that are read, and the names of all others, for errors.

use candle_core::quantized::GgmlDType;
use half::{bf16, f16};

use crate::Result;
use crate::element::Dtype;
use crate::model::host::matrix::Elements;
use crate::model::host::quant::{QuantKind, Tiles, packed_bytes};
use crate::model::load::safetensors::decoded;
use crate::model::weight_types::WeightType;

/// An element type that can be read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum GgufElement {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// Brain floats.
    Bf16,
    /// Eight-byte floats.
    F64,
    /// Quantised blocks.
    Quantised(QuantKind),
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

impl GgufElement {
    /// The type that ggml gives this number; `None` where it cannot be read.
    pub fn of(kind: u32) -> Option<Self> {
        Some(Self::Quantised(match kind {
            0 => return Some(Self::F32),
            1 => return Some(Self::F16),
            28 => return Some(Self::F64),
            30 => return Some(Self::Bf16),
            2 => QuantKind::Q4_0,
            3 => QuantKind::Q4_1,
            6 => QuantKind::Q5_0,
            7 => QuantKind::Q5_1,
            8 => QuantKind::Q8_0,
            10 => QuantKind::Q2K,
            11 => QuantKind::Q3K,
            12 => QuantKind::Q4K,
            13 => QuantKind::Q5K,
            14 => QuantKind::Q6K,
            20 => QuantKind::Iq4Nl,
            23 => QuantKind::Iq4Xs,
            39 => QuantKind::Mxfp4,
            _ => return None,
        }))
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
            Self::Quantised(kind) => kind.block_len(),
            _ => 1,
        }
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Quantised(kind) => kind.block_bytes(),
        }
    }

    /// The type that candle multiplies on a device; `None` for floats and what it does not know.
    pub fn candle(self) -> Option<GgmlDType> {
        match self {
            Self::Quantised(kind) => kind.candle(),
            _ => None,
        }
    }

    /// What it is in memory, and the bytes that a matrix of it takes there.
    pub fn kept(self, rows: usize, cols: usize) -> (WeightType, u64) {
        let (kind, bytes) = match self {
            Self::F32 | Self::F64 => (WeightType::Float(Dtype::F32), 4 * rows * cols),
            Self::F16 => (WeightType::Float(Dtype::F16), 2 * rows * cols),
            Self::Bf16 => (WeightType::Float(Dtype::Bf16), 2 * rows * cols),
            Self::Quantised(kind) => (WeightType::Quantised(kind), packed_bytes(kind, rows, cols)),
        };
        (kind, bytes as u64)
    }

    /// The elements of a matrix from its stored bytes, whose number its shape gives. Eight-byte
    /// floats become f32, all others stay as they are.
    pub fn elements(self, rows: usize, cols: usize, raw: &[u8]) -> Result<Elements> {
        Ok(match self {
            Self::F32 => Elements::F32(decoded(raw, f32::from_le_bytes).into()),
            Self::F16 => Elements::F16(decoded(raw, f16::from_le_bytes).into()),
            Self::Bf16 => Elements::Bf16(decoded(raw, bf16::from_le_bytes).into()),
            Self::F64 => {
                Elements::F32(decoded(raw, |eight| f64::from_le_bytes(eight) as f32).into())
            }
            Self::Quantised(kind) => Elements::Quantised(Tiles::pack(kind, rows, cols, raw)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::host::matrix::Matrix;

    #[test]
    fn a_block_of_zero_bytes_is_a_block_of_zeros() {
        let readable: Vec<GgufElement> = (0..64).filter_map(GgufElement::of).collect();
        assert_eq!(readable.len(), 17);
        for element in readable {
            let (bytes, len) = (vec![0; element.block_bytes()], element.block_len());
            let elements = element.elements(1, len, &bytes).unwrap();
            let matrix = Matrix::new(1, len, elements).unwrap();
            assert_eq!(matrix.widened(), vec![0.0; len], "{element:?}");
        }
    }
}

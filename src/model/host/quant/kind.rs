//! The quantised types that stay quantised in memory.

use std::fmt;
use std::str::FromStr;

use candle_core::quantized::GgmlDType;
use half::f16;

use crate::{Error, Result};

/// A block type of ggml, of those that are multiplied as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuantKind {
    /// 32 values: an f16 scale, codes of 4 bits around 8.
    Q4_0,
    /// 32 values: an f16 scale, an f16 minimum, codes of 4 bits.
    Q4_1,
    /// 32 values: an f16 scale, codes of 5 bits around 16.
    Q5_0,
    /// 32 values: an f16 scale, an f16 minimum, codes of 5 bits.
    Q5_1,
    /// 32 values: an f16 scale, signed bytes.
    Q8_0,
    /// 256 values: scale and minimum, both times 4 bits for each 16; codes of 2 bits.
    Q2K,
    /// 256 values: a scale, times 6 bits for each 16; codes of 3 bits around 4.
    Q3K,
    /// 256 values: scale and minimum, both times 6 bits for each 32; codes of 4 bits.
    Q4K,
    /// The same with codes of 5 bits.
    Q5K,
    /// 256 values: a scale, times 8 bits for each 16; codes of 6 bits around 32.
    Q6K,
    /// 32 values: an f16 scale, indices into a table of sixteen levels.
    Iq4Nl,
    /// 256 values over the same levels: a scale, times 6 bits for each 32.
    Iq4Xs,
    /// 32 values: an exponent of two, then floats of four bits.
    Mxfp4,
}

impl QuantKind {
    /// The type that candle knows it by; `None` for what it does not know.
    pub fn candle(self) -> Option<GgmlDType> {
        Some(match self {
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Q4_1 => GgmlDType::Q4_1,
            Self::Q5_0 => GgmlDType::Q5_0,
            Self::Q5_1 => GgmlDType::Q5_1,
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q2K => GgmlDType::Q2K,
            Self::Q3K => GgmlDType::Q3K,
            Self::Q4K => GgmlDType::Q4K,
            Self::Q5K => GgmlDType::Q5K,
            Self::Q6K => GgmlDType::Q6K,
            Self::Iq4Nl | Self::Iq4Xs | Self::Mxfp4 => return None,
        })
    }

    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2K,
        Self::Q3K,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
        Self::Iq4Nl,
        Self::Iq4Xs,
        Self::Mxfp4,
    ];

    /// The name in small letters, such as `q4_k`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Q8_0 => "q8_0",
            Self::Q2K => "q2_k",
            Self::Q3K => "q3_k",
            Self::Q4K => "q4_k",
            Self::Q5K => "q5_k",
            Self::Q6K => "q6_k",
            Self::Iq4Nl => "iq4_nl",
            Self::Iq4Xs => "iq4_xs",
            Self::Mxfp4 => "mxfp4",
        }
    }

    /// Where a block has its f16 scale, and the f16 of its minimum.
    pub(super) fn halves(self) -> (Option<usize>, Option<usize>) {
        match self {
            Self::Q4_0 | Self::Q5_0 | Self::Q8_0 | Self::Iq4Nl | Self::Iq4Xs => (Some(0), None),
            Self::Q4_1 | Self::Q5_1 | Self::Q4K | Self::Q5K => (Some(0), Some(2)),
            Self::Q2K => (Some(80), Some(82)),
            Self::Q3K => (Some(108), None),
            Self::Q6K => (Some(208), None),
            Self::Mxfp4 => (None, None),
        }
    }

    /// The scale and minimum that give blocks of random bytes about this variance and a mean of
    /// about zero. They follow from the ranges of codes, factors and offsets.
    pub fn scales_of_variance(self, variance: f32) -> [f32; 2] {
        // The root mean square of a value over its scale, and the minimum over the scale.
        let (size, minimum) = match self {
            Self::Q4_0 => (4.6, 0.0),
            Self::Q4_1 => (4.6, -7.5),
            Self::Q5_0 => (9.2, 0.0),
            Self::Q5_1 => (9.2, -15.5),
            Self::Q8_0 => (73.9, 0.0),
            Self::Q2K => (13.9, 1.5),
            Self::Q3K => (43.3, 0.0),
            Self::Q4K => (258.0, 7.5),
            Self::Q5K => (527.0, 15.5),
            Self::Q6K => (1366.0, 0.0),
            Self::Iq4Nl => (67.4, 0.0),
            Self::Iq4Xs => (1246.0, 0.0),
            Self::Mxfp4 => (2.9, 0.0),
        };
        let scale = variance.sqrt() / size;
        [scale, scale * minimum]
    }

    /// Sets a block's scale and minimum. Kinds without an f16 take the power of two below.
    pub fn set_scales(self, block: &mut [u8], [scale, minimum]: [f32; 2]) {
        let (scale_at, minimum_at) = self.halves();
        for (at, value) in [(scale_at, scale), (minimum_at, minimum)] {
            if let Some(at) = at {
                block[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
            }
        }
        if scale_at.is_none() {
            // The exponent's power of two is that of an f32.
            block[0] = (scale.to_bits() >> 23) as u8;
        }
    }

    /// Values in one block.
    pub fn block_len(self) -> usize {
        match self {
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K | Self::Iq4Xs => 256,
            _ => 32,
        }
    }

    /// Bytes of one block in a file.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::Q4_0 | Self::Iq4Nl => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2K => 84,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
            Self::Iq4Xs => 136,
            Self::Mxfp4 => 17,
        }
    }
}

impl fmt::Display for QuantKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for QuantKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
            Error::input(format!("`{text}` is no quantised type of weights ({})", known.join(", ")))
        })
    }
}

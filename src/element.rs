//! Element types of stored weights, keys and values.

use half::{bf16, f16, slice::HalfFloatSliceExt};

use crate::{Error, Result};

/// Element type of stored numbers: weights, keys, values. JSON holds its name.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision: 11 significant bits, largest value 65504.
    F16,
    /// Brain float: 8 significant bits, the range of f32.
    Bf16,
}

impl Dtype {
    /// All element types.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// The name, such as `f32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// The largest magnitude that is stored as a number; larger ones become infinity.
    pub fn largest(self) -> f32 {
        match self {
            Self::F32 => f32::MAX,
            Self::F16 => f16::MAX.to_f32(),
            Self::Bf16 => bf16::MAX.to_f32(),
        }
    }

    /// The numbers of elements of 16 bits.
    ///
    /// # Panics
    /// For f32, whose elements have 32.
    pub fn widen_bits(self, bits: &[u16]) -> Vec<f32> {
        match self {
            Self::F16 => bits.iter().map(|&bits| f16::from_bits(bits).to_f32()).collect(),
            Self::Bf16 => bits.iter().map(|&bits| bf16::from_bits(bits).to_f32()).collect(),
            Self::F32 => unreachable!("an element of f32 has 32 bits"),
        }
    }

    /// The elements of 16 bits that numbers round to, to nearest even.
    ///
    /// # Panics
    /// For f32, whose elements have 32.
    pub fn round_bits(self, numbers: &[f32]) -> Vec<u16> {
        match self {
            Self::F16 => numbers.iter().map(|&x| f16::from_f32(x).to_bits()).collect(),
            Self::Bf16 => numbers.iter().map(|&x| bf16::from_f32(x).to_bits()).collect(),
            Self::F32 => unreachable!("an element of f32 has 32 bits"),
        }
    }

    /// Whether every value is stored as a number. One pass without a branch, so that the compiler
    /// makes vector code of it.
    pub fn holds(self, values: &[f32]) -> bool {
        // Half way from the largest value to the next that a wider exponent would have: rounding to
        // nearest even makes infinity of it.
        let end = match self {
            Self::F32 => f32::INFINITY,
            Self::F16 => 65_520.0,
            Self::Bf16 => f32::from_bits(0x7F7F_8000),
        };
        values.iter().fold(true, |held, value| held & (value.abs() < end))
    }

    /// All names, for a sentence.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Dtype {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == text).ok_or_else(|| {
            let names = Self::names();
            Error::input(format!("`{text}` is no element type ({names})"))
        })
    }
}

/// A Rust type that a cache stores; `f32` values are rounded to it once, when they are appended.
pub trait Element: bytemuck::Pod + Send + Sync {
    /// The element type's name.
    const DTYPE: Dtype;

    /// Rounds `values` to nearest even into `stored`, which has the same length.
    fn round(values: &[f32], stored: &mut [Self]);

    /// The stored value, exactly.
    fn widen(self) -> f32;
}

impl Element for f32 {
    const DTYPE: Dtype = Dtype::F32;

    fn round(values: &[f32], stored: &mut [Self]) {
        stored.copy_from_slice(values);
    }

    fn widen(self) -> f32 {
        self
    }
}

impl Element for f16 {
    const DTYPE: Dtype = Dtype::F16;

    fn round(values: &[f32], stored: &mut [Self]) {
        stored.convert_from_f32_slice(values);
    }

    fn widen(self) -> f32 {
        self.to_f32()
    }
}

impl Element for bf16 {
    const DTYPE: Dtype = Dtype::Bf16;

    fn round(values: &[f32], stored: &mut [Self]) {
        stored.convert_from_f32_slice(values);
    }

    fn widen(self) -> f32 {
        self.to_f32()
    }
}

/// Runs `$body` with the type name `$element` standing for the element type that `$dtype` names.
macro_rules! with_element {
    ($dtype:expr, $element:ident => $body:expr) => {
        match $dtype {
            $crate::element::Dtype::F32 => {
                type $element = f32;
                $body
            }
            $crate::element::Dtype::F16 => {
                type $element = half::f16;
                $body
            }
            $crate::element::Dtype::Bf16 => {
                type $element = half::bf16;
                $body
            }
        }
    };
}
pub(crate) use with_element;

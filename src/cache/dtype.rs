//! The element types that keys and values can be stored in.

use half::{bf16, f16, slice::HalfFloatSliceExt};

use crate::{Error, Result};

/// Element type of stored keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KvDtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision: 11 significant bits, largest value 65504.
    F16,
    /// Brain float: 8 significant bits, the range of f32.
    Bf16,
}

impl KvDtype {
    /// All element types.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

impl std::fmt::Display for KvDtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

impl std::str::FromStr for KvDtype {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.to_string() == text).ok_or_else(|| {
            Error::input(format!("a KV element type is f32, f16 or bf16, not `{text}`"))
        })
    }
}

/// A Rust type that a cache stores; `f32` values are rounded to it once, when they are appended.
pub trait Element: bytemuck::Pod + Send + Sync {
    /// The element type's name.
    const DTYPE: KvDtype;

    /// Rounds `values` to nearest even into `stored`, which has the same length.
    fn round(values: &[f32], stored: &mut [Self]);

    /// The stored value, exactly.
    fn widen(self) -> f32;
}

impl Element for f32 {
    const DTYPE: KvDtype = KvDtype::F32;

    fn round(values: &[f32], stored: &mut [Self]) {
        stored.copy_from_slice(values);
    }

    fn widen(self) -> f32 {
        self
    }
}

impl Element for f16 {
    const DTYPE: KvDtype = KvDtype::F16;

    fn round(values: &[f32], stored: &mut [Self]) {
        stored.convert_from_f32_slice(values);
    }

    fn widen(self) -> f32 {
        self.to_f32()
    }
}

impl Element for bf16 {
    const DTYPE: KvDtype = KvDtype::Bf16;

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
            $crate::cache::KvDtype::F32 => {
                type $element = f32;
                $body
            }
            $crate::cache::KvDtype::F16 => {
                type $element = half::f16;
                $body
            }
            $crate::cache::KvDtype::Bf16 => {
                type $element = half::bf16;
                $body
            }
        }
    };
}
pub(crate) use with_element;

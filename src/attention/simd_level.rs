//! The vector instructions that the fast path may use.

use crate::{Error, Result};

/// A set of vector instructions; levels are ordered from the fewest to the most. There is no NEON
/// path: ARM uses the portable one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SimdLevel {
    /// Plain Rust that the compiler may vectorise.
    Portable,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F and DQ. Codes of 8, 4 and 2 bits are read with VNNI where the machine has it, and
    /// with AVX2 where not.
    Avx512,
    /// AVX-512 with the bf16 dot product, for bf16 caches: rounds queries and softmax weights to
    /// bf16 (relative error up to 1e-2). Other element types run as [`Self::Avx512`].
    Avx512Bf16,
}

impl SimdLevel {
    /// All levels.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16];

    /// Whether this machine has the instructions.
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            let avx512 =
                avx2 && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq");
            match self {
                Self::Portable => true,
                Self::Avx2 => avx2,
                Self::Avx512 => avx512,
                Self::Avx512Bf16 => {
                    avx512
                        && is_x86_feature_detected!("avx512bw")
                        && is_x86_feature_detected!("avx512bf16")
                }
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Self::Portable
        }
    }

    /// Whether this machine has VNNI and the instructions that its kernels use beside it.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn has_vnni() -> bool {
        Self::Avx512.is_available()
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
    }

    /// The fastest level of this machine that rounds nothing but sums, and what meets codes to less
    /// than their own error. The bf16 dot product must be requested.
    pub fn best() -> Self {
        [Self::Avx512, Self::Avx2]
            .into_iter()
            .find(|level| level.is_available())
            .unwrap_or(Self::Portable)
    }
}

impl std::fmt::Display for SimdLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512-bf16",
        })
    }
}

impl std::str::FromStr for SimdLevel {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|level| level.to_string() == text);
        known.ok_or_else(|| {
            Error::input(format!(
                "a SIMD level is portable, avx2, avx512 or avx512-bf16, not `{text}`"
            ))
        })
    }
}

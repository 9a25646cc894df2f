//! Bits per stored number.

use crate::{Error, Result};

/// Bits per stored number in the middle of a cache. Ordered from the fewest to the most. Files and
/// JSON hold the number of bits.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(into = "u8", try_from = "u8")]
pub enum Width {
    /// Not stored.
    Zero,
    /// Codes 0..=3.
    Two,
    /// Codes 0..=15.
    Four,
    /// Codes 0..=255.
    Eight,
    /// The cache's own element type, as outside the middle (f16 unless `--kv-dtype` says
    /// otherwise).
    Sixteen,
}

impl Width {
    /// All widths, from the fewest bits to the most.
    pub const ALL: [Self; 5] = [Self::Zero, Self::Two, Self::Four, Self::Eight, Self::Sixteen];

    /// The widths that store codes with a scale and a minimum.
    pub const CODED: [Self; 3] = [Self::Two, Self::Four, Self::Eight];

    /// Bits per number, without scales and minima. [`Self::Sixteen`] stands for the cache's element
    /// type, whatever its size.
    pub fn bits(self) -> u8 {
        match self {
            Self::Zero => 0,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
            Self::Sixteen => 16,
        }
    }

    /// The width of this many bits; refuses any other number.
    pub fn of_bits(bits: u8) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|width| width.bits() == bits)
            .ok_or_else(|| Error::input(format!("a width is 0, 2, 4, 8 or 16 bits, not {bits}")))
    }

    /// Whether numbers are stored as codes.
    pub fn is_coded(self) -> bool {
        Self::CODED.contains(&self)
    }

    /// The largest code of a coded width: 3, 15 or 255.
    ///
    /// # Panics
    /// For a width that stores no codes.
    pub fn largest_code(self) -> u8 {
        assert!(self.is_coded(), "{self:?} stores no codes");
        u8::MAX >> (8 - self.bits())
    }

    /// The place in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl std::fmt::Display for Width {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.bits(), f)
    }
}

impl From<Width> for u8 {
    fn from(width: Width) -> Self {
        width.bits()
    }
}

impl TryFrom<u8> for Width {
    type Error = Error;

    fn try_from(bits: u8) -> Result<Self> {
        Self::of_bits(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_bits_is_a_width_or_refused() {
        for bits in 0..=u8::MAX {
            match Width::of_bits(bits) {
                Ok(width) => assert_eq!(width.bits(), bits),
                Err(error) => assert!(error.to_string().ends_with(&format!("not {bits}"))),
            }
        }
        assert_eq!(Width::CODED.map(Width::largest_code), [3, 15, 255]);
        assert!(Width::ALL.is_sorted_by_key(|width| width.bits()));
        assert_eq!(Width::ALL.map(Width::index), [0, 1, 2, 3, 4]);
    }
}

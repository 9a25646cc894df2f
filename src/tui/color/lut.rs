//! Colour maps as tables of 32 steps: few enough that frames change little and snapshots stay
//! stable.

use serde::{Deserialize, Serialize};

/// Steps of a colour map.
pub const STEPS: usize = 32;

/// 24-bit colour, `0xRRGGBB`.
pub type Rgb = u32;

/// A colour map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colormap {
    /// Dark violet to yellow, even in lightness.
    Viridis,
    /// Blue to yellow, read alike by people with and without colour blindness.
    Cividis,
    /// Black to white; white to black on light terminals.
    Grey,
}

impl Colormap {
    /// All sequential maps, in the order that the key cycles through them.
    pub const ALL: [Self; 3] = [Self::Viridis, Self::Cividis, Self::Grey];

    /// The name in configuration and palette.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viridis => "viridis",
            Self::Cividis => "cividis",
            Self::Grey => "grey",
        }
    }

    /// The map called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|map| map.name() == name)
    }

    /// The map after this one.
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|&map| map == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }

    /// The colours from low to high.
    pub fn table(self, light: bool) -> [Rgb; STEPS] {
        match self {
            Self::Viridis => VIRIDIS,
            Self::Cividis => CIVIDIS,
            Self::Grey => std::array::from_fn(|step| {
                let share = if light { STEPS - 1 - step } else { step };
                let level = (20 + share * 232 / (STEPS - 1)) as u32;
                level << 16 | level << 8 | level
            }),
        }
    }
}

#[rustfmt::skip]
const VIRIDIS: [Rgb; STEPS] = [
    0x440154, 0x470d60, 0x48186a, 0x482374, 0x472e7c, 0x453882, 0x424186, 0x3e4a89, 0x3a548c, 0x365d8d, 0x32658e, 0x2e6d8e,
    0x2b758e, 0x287d8e, 0x25848e, 0x228c8d, 0x1f948c, 0x1e9c89, 0x20a386, 0x25ab82, 0x2eb37c, 0x3aba76, 0x48c16e, 0x58c765,
    0x6ccd5a, 0x7fd34e, 0x93d741, 0xa8db34, 0xc0df25, 0xd5e21a, 0xeae51a, 0xfde725,
];

#[rustfmt::skip]
const CIVIDIS: [Rgb; STEPS] = [
    0x00224e, 0x00285b, 0x002e6a, 0x053371, 0x1c396f, 0x293f6e, 0x33446d, 0x3c4a6c, 0x45506c, 0x4d556c, 0x555b6d, 0x5c616e,
    0x646770, 0x6b6d72, 0x727274, 0x787877, 0x807f78, 0x888578, 0x908b78, 0x979177, 0xa09875, 0xa89e73, 0xb0a571, 0xb9ab6d,
    0xc2b369, 0xcbb965, 0xd3c05f, 0xdcc859, 0xe6d051, 0xefd748, 0xf8df3c, 0xfee838,
];

/// Red (only the one) over white to blue (only the other).
#[rustfmt::skip]
pub const DIVERGING: [Rgb; STEPS] = [
    0x67001f, 0x7f0823, 0x960f27, 0xae172a, 0xbd2d35, 0xc84440, 0xd35a4a, 0xdd7059, 0xe8896c, 0xf19e7d, 0xf6b191, 0xf9c2a7,
    0xfcd5bf, 0xfce0d0, 0xfae9df, 0xf8f2ef, 0xf0f4f6, 0xe4eef4, 0xd8e9f1, 0xcae1ee, 0xb3d6e8, 0xa0cce2, 0x8ac0db, 0x71b0d3,
    0x569fc9, 0x408fc1, 0x3681ba, 0x2b73b3, 0x1f63a8, 0x175290, 0x0e4179, 0x053061,
];

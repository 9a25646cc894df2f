//! Tables of one number per channel, and the mapping from a number to a share of the colour scale.

use crate::mask::{Rule, Shape};

/// What the map shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Which channels the mask keeps.
    Mask,
    /// The importance that the mask was selected from.
    Importance,
    /// Mean k² over the prompt.
    KeyNorm,
    /// Mean q² times mean k² over the prompt.
    Think,
    /// Mean |q k| over the middle of the running decode.
    Live,
}

impl Metric {
    /// All metrics, in the order that the key cycles through them.
    pub const ALL: [Self; 5] =
        [Self::Mask, Self::Importance, Self::KeyNorm, Self::Think, Self::Live];

    /// The name on screen and in the palette.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mask => "mask",
            Self::Importance => "importance",
            Self::KeyNorm => Rule::KEY_NORM.words,
            Self::Think => Rule::THINK.words,
            Self::Live => "live",
        }
    }

    /// The name of its column in exported data.
    pub fn column(self) -> &'static str {
        match self {
            Self::Mask | Self::Importance | Self::Live => self.name(),
            // A column's name has no hyphen, so that programs can use it as a variable.
            Self::KeyNorm => "key_norm",
            Self::Think => Rule::THINK.name,
        }
    }

    /// What the value means.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Mask => "share of channels kept",
            Self::Importance => "score the mask was selected by",
            Self::KeyNorm => "mean k² over the prompt",
            Self::Think => "mean q² × mean k² over the prompt",
            Self::Live => "mean |q·k| over the middle, this decode",
        }
    }

    /// The default scale, chosen to show the most detail.
    pub fn scale(self) -> Scale {
        match self {
            Self::Mask | Self::Importance => Scale::Linear,
            Self::KeyNorm | Self::Think | Self::Live => Scale::Log,
        }
    }
}

/// How numbers become colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scale {
    /// From 0 to the largest.
    Linear,
    /// From a ten-thousandth of the largest value to the largest, or from the smallest value above
    /// 0 where that is more.
    Log,
    /// By rank: the share of channels with a smaller value.
    Rank,
}

impl Scale {
    /// All scales.
    pub const ALL: [Self; 3] = [Self::Linear, Self::Log, Self::Rank];

    /// The name on screen and in the palette.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Log => "log",
            Self::Rank => "rank",
        }
    }

    /// The scale after this one.
    pub fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }
}

/// Largest number of decades on a logarithmic scale.
const DECADES: i32 = 4;

/// One number per channel with its range.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    shape: Shape,
    values: Vec<f32>,
    sorted: Vec<f32>,
    low: f32,
    high: f32,
}

impl Table {
    /// A table of row-major values, `[layers, kv_heads, head_dim]`; `None` where the number of
    /// values does not fit the shape.
    pub fn new(shape: Shape, values: Vec<f32>) -> Option<Self> {
        if values.len() != shape.entries() {
            return None;
        }
        let mut sorted: Vec<f32> =
            values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let high = sorted.last().copied().unwrap_or(0.0).max(0.0);
        let least = sorted.iter().copied().find(|&value| value > 0.0).unwrap_or(high);
        let low = least.max(high * 10.0_f32.powi(-DECADES));
        Some(Self { shape, values, sorted, low, high })
    }

    /// The values of one head.
    pub fn head(&self, layer: usize, kv_head: usize) -> &[f32] {
        let start = (layer * self.shape.kv_heads + kv_head) * self.shape.head_dim;
        &self.values[start..start + self.shape.head_dim]
    }

    /// One head as its own table, with its own range.
    pub fn of_head(&self, layer: usize, kv_head: usize) -> Option<Self> {
        let shape = Shape { layers: 1, kv_heads: 1, ..self.shape };
        Self::new(shape, self.head(layer, kv_head).to_vec())
    }

    /// All values, row-major.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The value at a share of the scale, for the legend.
    pub fn at(&self, share: f32, scale: Scale) -> f32 {
        match scale {
            Scale::Linear => self.high * share,
            Scale::Log if self.low > 0.0 => self.low * (self.high / self.low).powf(share),
            Scale::Log => 0.0,
            Scale::Rank => {
                let last = self.sorted.len().saturating_sub(1);
                self.sorted.get((share * last as f32).round() as usize).copied().unwrap_or(0.0)
            }
        }
    }

    /// The position of a value on the scale, 0 to 1.
    pub fn share(&self, value: f32, scale: Scale) -> f32 {
        let share = match scale {
            Scale::Linear => value / self.high,
            Scale::Log if value <= self.low => 0.0,
            Scale::Log => (value / self.low).ln() / (self.high / self.low).ln(),
            Scale::Rank => {
                let below = self.sorted.partition_point(|&other| other < value);
                below as f32 / self.sorted.len().saturating_sub(1).max(1) as f32
            }
        };
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { layers: 1, kv_heads: 1, head_dim: 4 };

    #[test]
    fn shares_and_legend_agree_on_every_scale() {
        let table = Table::new(SHAPE, vec![0.0, 1.0, 10.0, 100.0]).unwrap();
        for scale in Scale::ALL {
            assert_eq!(
                (table.share(0.0, scale), table.share(100.0, scale)),
                (0.0, 1.0),
                "{scale:?}"
            );
            assert!((table.at(1.0, scale) - 100.0).abs() < 1e-3);
        }
        assert!((table.share(10.0, Scale::Log) - 0.5).abs() < 1e-6);
        assert!((table.at(0.5, Scale::Log) - 10.0).abs() < 1e-4);
        assert!((table.share(10.0, Scale::Rank) - 2.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn a_table_of_nothing_but_zeros_has_shares_all_the_same() {
        let table = Table::new(SHAPE, vec![0.0; 4]).unwrap();
        for scale in Scale::ALL {
            assert_eq!(table.share(0.0, scale), 0.0);
            assert_eq!(table.at(1.0, scale), 0.0);
        }
        assert_eq!(Table::new(SHAPE, vec![0.0; 3]), None);
    }
}

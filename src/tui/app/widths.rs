//! The widths of a plan as the screens show them: as shares of the colour scale, as letters, and as
//! bytes.

use crate::cache::CacheSpec;
use crate::mask::{CachePlan, Width, WidthCounts};
use crate::numbers;

/// What the middle of a cache with coded widths weighs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WidthBytes {
    /// Bytes of a number of middle tokens by width, of K and of V, in the order of [`Width::ALL`].
    bytes: [[usize; 5]; 2],
    /// Bytes of the middle for a dense f16 cache's 1.
    pub share: f64,
}

impl WidthBytes {
    /// The figures of a cache's plan; `None` where its plan is a mask.
    pub fn of(spec: &CacheSpec) -> Option<Self> {
        let plan = spec.plan();
        (!plan.is_mask()).then(|| Self {
            bytes: plan.bytes_by_width(spec.window().chunk, spec.dtype().bytes()),
            share: plan.bytes_share(spec.window().chunk),
        })
    }

    /// How `total` bytes of the middle's keys (`kind` 0) or values (1) divide by width: `8: 1229 ·
    /// 4: 300 KiB`, only the widths that occur. One unit for all keeps it short.
    pub fn divided(&self, kind: usize, total: usize) -> String {
        let bytes = self.bytes[kind];
        let all = bytes.iter().sum::<usize>().max(1) as f64;
        let parts =
            WidthCounts(bytes).listed(|part| match total as f64 * part as f64 / all / 1024.0 {
                small if small < 9.95 => format!("{small:.1}"),
                large => numbers::count(large.round() as usize),
            });
        if parts.is_empty() { parts } else { parts + " KiB" }
    }
}

/// The place of a mean number of bits on the colour scale: the five widths are equally far apart.
pub fn share_of(bits: f32) -> f32 {
    let steps = Width::ALL.map(|width| f32::from(width.bits()));
    let above = steps.iter().position(|&step| bits <= step).unwrap_or(steps.len() - 1);
    let Some(below) = above.checked_sub(1) else { return 0.0 };
    let within = (bits - steps[below]) / (steps[above] - steps[below]);
    (below as f32 + within.min(1.0)) / (steps.len() - 1) as f32
}

/// The width whose place on the colour scale is closest.
pub fn width_at(share: f32) -> Width {
    let last = Width::ALL.len() - 1;
    Width::ALL[((share.clamp(0.0, 1.0) * last as f32).round() as usize).min(last)]
}

/// The sign of channels that share a cell: the bits where they agree, `█` for 16 and `·` for 0, and
/// `~` for a mixture.
pub fn letter(mut widths: impl Iterator<Item = Width>) -> &'static str {
    let Some(first) = widths.next() else { return " " };
    if widths.any(|width| width != first) {
        return "~";
    }
    match first {
        Width::Zero => "·",
        Width::Two => "2",
        Width::Four => "4",
        Width::Eight => "8",
        Width::Sixteen => "█",
    }
}

/// The shade of a width in bars, which differs without colour too.
pub fn shade(width: Width) -> &'static str {
    match width {
        Width::Zero => " ",
        Width::Two => "░",
        Width::Four => "▒",
        Width::Eight => "▓",
        Width::Sixteen => "█",
    }
}

/// The widths of a whole plan in words.
pub fn in_words(plan: &CachePlan) -> String {
    format!("K {} · V {}", plan.k_counts(), plan.v_counts())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_widths_are_five_equal_steps_and_means_lie_between() {
        for (index, width) in Width::ALL.into_iter().enumerate() {
            let share = share_of(f32::from(width.bits()));
            assert_eq!(share, index as f32 / 4.0);
            assert_eq!(width_at(share), width);
        }
        assert_eq!(share_of(3.0), 0.375);
        assert_eq!(share_of(12.0), 0.875);
        assert_eq!(share_of(17.0), 1.0);
    }

    #[test]
    fn cells_say_when_their_widths_mix() {
        let widths = [Width::Eight, Width::Zero, Width::Eight, Width::Sixteen];
        assert_eq!(letter(widths.into_iter()), "~");
        assert_eq!(
            Width::ALL.map(|width| letter([width; 2].into_iter())),
            ["·", "2", "4", "8", "█"]
        );
    }
}

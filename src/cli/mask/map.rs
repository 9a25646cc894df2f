//! The frequency-folded map: one row per layer, one strip per KV head, fast rotations on the left.
//! The upper half of a cell shows channels of the first half of the head, the lower half their
//! rotation partners. A plan's channels are as bright as they are wide, and the bits of a head's V
//! follow its strip.

use super::colors::{Depth, Pen, Tone};
use crate::mask::{CachePlan, Shape, Statistics, Width, WidthStatistics};
use crate::numbers::percent;

/// Columns before the first strip: the layer's name.
const LABEL: usize = 5;

/// Columns of the bar that shows how much a layer keeps.
const BAR: usize = 10;

/// How the map divides the width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    /// Channels per pixel, a power of two.
    per_pixel: usize,
    /// Pixels per strip.
    strip: usize,
    /// Strips side by side; further heads follow in another band of rows.
    heads: usize,
    /// Columns after each strip.
    gap: usize,
    /// Whether each layer's kept share fits beside the map.
    summary: bool,
}

impl Layout {
    /// `gap` is the number of columns after each strip: one, and one more for the bits of V.
    fn of(shape: Shape, width: usize, gap: usize) -> Self {
        let room = width.saturating_sub(LABEL);
        let strip = |per_pixel: usize| shape.pairs().div_ceil(per_pixel).max(1);
        let per_pixel = [1, 2, 4, 8, 16]
            .into_iter()
            .find(|&n| shape.kv_heads * (strip(n) + gap) <= room)
            .unwrap_or(16);
        let strip = strip(per_pixel);
        let heads = (room / (strip + gap)).clamp(1, shape.kv_heads);
        let summary = heads == shape.kv_heads && room >= heads * (strip + gap) + 8 + BAR + 8;
        Self { per_pixel, strip, heads, gap, summary }
    }
}

/// Draws the map and its legend.
pub(super) fn draw(
    pen: &mut Pen,
    plan: &CachePlan,
    stats: &Statistics,
    widths: &WidthStatistics,
    width: usize,
) {
    let shape = plan.shape();
    let is_mask = plan.is_mask();
    let layout = Layout::of(shape, width, if is_mask { 1 } else { 2 });
    for first in (0..shape.kv_heads).step_by(layout.heads) {
        let heads = first..(first + layout.heads).min(shape.kv_heads);
        pen.put(None, &" ".repeat(LABEL));
        for head in heads.clone() {
            pen.put(
                Some(Tone::Faint),
                &format!("{:<1$}", format!("h{head}"), layout.strip + layout.gap),
            );
        }
        if layout.summary {
            pen.put(
                Some(Tone::Faint),
                &format!("{:<1$} dropped", if is_mask { "kept" } else { "bytes" }, 8 + BAR),
            );
        }
        pen.line();
        for layer in 0..shape.layers {
            pen.put(Some(Tone::Faint), &format!("{:<LABEL$}", format!("L{layer:02}")));
            for head in heads.clone() {
                strip(pen, plan.k(layer, head), shape, layout);
                if !is_mask {
                    pen.put(Some(Tone::Faint), v_letter(plan.v(layer, head)));
                }
                pen.put(None, " ");
            }
            if layout.summary {
                let kept = stats.kept_per_layer[layer] as f64;
                let share = match is_mask {
                    true => kept / (shape.kv_heads * shape.head_dim) as f64,
                    false => widths.widths_per_layer[layer].bytes_share,
                };
                summary(pen, share, stats.dropped_heads_per_layer[layer]);
            }
            pen.line();
        }
        pen.line();
    }
    legend(pen, shape, layout, is_mask, width);
}

/// The bits of V in one letter; F are all 16.
fn v_letter(width: Width) -> &'static str {
    ["0", "2", "4", "8", "F"][width.index()]
}

fn strip(pen: &mut Pen, head: &[Width], shape: Shape, layout: Layout) {
    if head.iter().all(|&width| width == Width::Zero) {
        pen.on(Some(Tone::Dropped), Some(Tone::DroppedGround), &"×".repeat(layout.strip));
        return;
    }
    let (upper, rest) = head.split_at(shape.pairs());
    // A step of the five widths is a quarter of the scale, so that each has a shade of its own.
    let share = |channels: &[Width]| {
        let steps: usize = channels.iter().map(|width| width.index()).sum();
        steps as f64 / (4 * channels.len()) as f64
    };
    for (upper, lower) in
        upper.chunks(layout.per_pixel).zip(rest[..shape.pairs()].chunks(layout.per_pixel))
    {
        pen.pixels(share(upper), share(lower));
    }
}

fn summary(pen: &mut Pen, share: f64, dropped: usize) {
    pen.put(None, &format!("{:>5.1} % ", 100.0 * share));
    pen.put(Some(Tone::Bar), &bar(share));
    if dropped > 0 {
        pen.put(Some(Tone::Faint), &format!(" {dropped:>2} ×"));
    }
}

/// A bar of [`BAR`] columns in eighths of a column.
fn bar(share: f64) -> String {
    let eighths = (share * (8 * BAR) as f64).round() as usize;
    let mut text = "█".repeat(eighths / 8);
    text.push_str(["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8]);
    format!("{text:<BAR$}")
}

fn legend(pen: &mut Pen, shape: Shape, layout: Layout, is_mask: bool, width: usize) {
    let each = if layout.per_pixel == 1 {
        "one channel".to_string()
    } else {
        format!("{} channels", layout.per_pixel)
    };
    if is_mask {
        pen.put(Some(Tone::Faint), &format!("kept share of {each}  0 "));
        for step in 0..16 {
            let share = f64::from(step) / 15.0;
            pen.pixels(share, share);
        }
        pen.put(Some(Tone::Faint), " 1   ");
    } else {
        pen.put(Some(Tone::Faint), &format!("bits of {each}"));
        for width in Width::ALL {
            pen.put(Some(Tone::Faint), &format!("  {width} "));
            let share = width.index() as f64 / 4.0;
            (0..2).for_each(|_| pen.pixels(share, share));
        }
        pen.put(Some(Tone::Faint), "   after each head: bits of its V, F = 16   ");
    }
    pen.on(Some(Tone::Dropped), Some(Tone::DroppedGround), "××");
    pen.put(Some(Tone::Faint), " dropped head");
    pen.line();
    let (pairs, last) = (shape.pairs(), 2 * shape.pairs());
    let words = format!(
        "left to right: fast to slow rotation · upper half: channels 0–{}, lower half: their partners {pairs}–{}",
        pairs.saturating_sub(1),
        last.saturating_sub(1)
    );
    let folded = "left to right: fast to slow rotation";
    let shown =
        if pen.depth() != Depth::None && words.chars().count() <= width { &words } else { folded };
    pen.put(Some(Tone::Faint), shown);
    pen.line();
}

/// Draws the kept share of every rotation frequency as columns, fast to slow.
pub(super) fn frequencies(pen: &mut Pen, stats: &Statistics, width: usize) {
    const HEIGHT: usize = 5;
    let shares = &stats.frequency_shares;
    let per_column = shares.len().div_ceil(width.saturating_sub(LABEL + 4).max(1)).max(1);
    let columns: Vec<f64> = shares
        .chunks(per_column)
        .map(|part| part.iter().sum::<f64>() / part.len() as f64)
        .collect();
    let most = columns.iter().copied().fold(0.0, f64::max);
    if most == 0.0 {
        return;
    }
    pen.put(Some(Tone::Faint), "kept share of each rotation frequency, all heads");
    pen.line();
    for row in (0..HEIGHT).rev() {
        let label =
            if row == HEIGHT - 1 { format!("{:>5.1} % ", 100.0 * most) } else { " ".repeat(8) };
        pen.put(Some(Tone::Faint), &label);
        for &share in &columns {
            let eighths = (share / most * (8 * HEIGHT) as f64).round() as usize;
            let glyph = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
                [eighths.saturating_sub(8 * row).min(8)];
            // The dark end of the scale is left out, because a column there would be invisible on a
            // dark terminal.
            pen.put(Some(Tone::Share(0.3 + 0.7 * share / most)), glyph);
        }
        pen.line();
    }
    let (left, right) = ("0 fast", format!("slow {}", shares.len() - 1));
    let gap = columns.len().saturating_sub(left.len() + right.len()).max(1);
    pen.put(Some(Tone::Faint), &format!("{}{left}{}{right}", " ".repeat(8), " ".repeat(gap)));
    pen.line();
    pen.put(Some(Tone::Faint), "slow half of the frequencies: ");
    pen.put(Some(Tone::Strong), &percent(stats.slow_half_share, 2));
    pen.put(Some(Tone::Faint), " of the kept channels");
    pen.line();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_uses_the_width_it_gets() {
        let llama = Shape { layers: 32, kv_heads: 8, head_dim: 128 };
        let of = |width| {
            let Layout { per_pixel, strip, heads, summary, .. } = Layout::of(llama, width, 1);
            (per_pixel, strip, heads, summary)
        };
        assert_eq!(of(120), (8, 8, 8, true));
        assert_eq!(of(80), (8, 8, 8, false));
        assert_eq!(of(200), (4, 16, 8, true));
        assert_eq!(of(60), (16, 4, 8, false));
        assert_eq!(of(24), (16, 4, 3, false), "further heads go into further bands");
        assert_eq!(of(0), (16, 4, 1, false));
        assert_eq!(Layout::of(llama, 76, 2).per_pixel, 16, "the bits of V take a column each");
        assert_eq!(Layout::of(llama, 77, 1).per_pixel, 8);
        let tiny = Layout::of(Shape { layers: 1, kv_heads: 1, head_dim: 1 }, 80, 1);
        assert_eq!((tiny.per_pixel, tiny.strip), (1, 1));
    }

    #[test]
    fn bars_have_one_width() {
        for share in [0.0, 0.01, 0.3, 0.999, 1.0] {
            assert_eq!(bar(share).chars().count(), BAR, "{share}");
        }
    }
}

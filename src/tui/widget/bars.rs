//! Bars: stacked horizontal ones, vertical ones in columns, and meters of one share.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

/// Eighths of a cell, from below.
const UP: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
/// Eighths of a cell, from the left.
const RIGHT: [&str; 9] = [" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"];

/// A part of a stacked bar.
#[derive(Debug, Clone, Copy)]
pub struct BarPart {
    /// Its size, in the unit of the whole.
    pub size: f64,
    /// Glyph of a full cell. It differs from that of its neighbours, so that the bar can be read
    /// without colour.
    pub glyph: &'static str,
    /// Its colour.
    pub color: Color,
}

/// Draws parts one after the other on one row whose full width means `whole`.
pub fn stacked(parts: &[BarPart], whole: f64, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    if area.is_empty() || whole <= 0.0 {
        return;
    }
    let mut done = 0.0;
    let mut x = 0;
    for part in parts {
        done += part.size.max(0.0);
        let end = ((done / whole * f64::from(area.width)).round() as u16).min(area.width);
        while x < end {
            buffer[(area.x + x, area.y)]
                .set_symbol(part.glyph)
                .set_style(Style::new().fg(part.color));
            x += 1;
        }
    }
}

/// Draws a bar of one share, 0 to 1, to an eighth of a cell.
pub fn meter(share: f64, style: Style, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    let eighths = (share.clamp(0.0, 1.0) * f64::from(area.width) * 8.0).round() as u16;
    for x in 0..area.width {
        let filled = eighths.saturating_sub(8 * x).min(8);
        if filled > 0 {
            buffer[(area.x + x, area.y)].set_symbol(RIGHT[usize::from(filled)]).set_style(style);
        }
    }
}

/// A vertical bar.
#[derive(Debug, Clone, Copy)]
pub struct Bar {
    /// Its height, 0 to 1.
    pub share: f32,
    /// Its colour.
    pub style: Style,
    /// Whether it is drawn as a shade instead of solid, so that it also differs without colour.
    pub shaded: bool,
}

/// Draws one vertical bar per column, to an eighth of a cell where it is solid.
pub fn columns(area: Rect, buffer: &mut Buffer, bar: impl Fn(u16) -> Option<Bar>) {
    let area = area.intersection(buffer.area);
    for x in 0..area.width {
        let Some(Bar { share, style, shaded }) = bar(x) else { continue };
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        let eighths = (share * f32::from(area.height) * 8.0).round() as u16;
        for y in 0..area.height {
            let filled = eighths.saturating_sub(8 * y).min(8);
            // The lowest row is always filled, so that a bar of 0 is visible.
            let filled = if y == 0 { filled.max(1) } else { filled };
            let symbol = match (filled, shaded) {
                (0, _) => continue,
                (1..5, true) if y > 0 => continue,
                (_, true) => "░",
                (filled, false) => UP[usize::from(filled)],
            };
            buffer[(area.x + x, area.bottom() - 1 - y)].set_symbol(symbol).set_style(style);
        }
    }
}

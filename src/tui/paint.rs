//! Drawing helpers: lines, blank areas, placeholders, and numbers as text.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::Widget;

use crate::numbers::count;
use crate::printable::{Breaks, is_obeyed, printable};
use crate::spread::MedianInterval;
use crate::tui::app::run::Phase;
use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::tui::fitting::shortened;
use crate::tui::widget::meter;

/// Writes a line at a position within `area`; one that is too long ends with `…` at its right edge.
/// Text of files and prompts comes through here: what a terminal would obey is written out.
pub fn put<'a>(buffer: &mut Buffer, area: Rect, x: u16, y: u16, line: impl Into<Line<'a>>) {
    let area = area.intersection(buffer.area);
    if x < area.width && y < area.height {
        let mut line = line.into();
        for span in &mut line.spans {
            if let Cow::Owned(shown) = printable(&span.content, Breaks::Shown) {
                span.content = Cow::Owned(shown);
            }
        }
        let line = shortened(line, usize::from(area.width - x));
        // Otherwise the style of a line would extend to the edge of the area.
        let width = (line.width().min(usize::from(u16::MAX)) as u16).min(area.width - x);
        line.render(Rect { x: area.x + x, y: area.y + y, width, height: 1 }, buffer);
    }
}

/// Takes away what a terminal would obey from cells that others wrote.
pub fn tame(buffer: &mut Buffer, area: Rect) {
    let area = area.intersection(buffer.area);
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            let cell = &mut buffer[(x, y)];
            if cell.symbol().contains(is_obeyed) {
                let plain = cell.symbol().replace(is_obeyed, "");
                cell.set_symbol(if plain.is_empty() { " " } else { &plain });
            }
        }
    }
}

/// Fills an area with a style and blanks.
pub fn clear(buffer: &mut Buffer, area: Rect, style: Style) {
    let area = area.intersection(buffer.area);
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            buffer[(x, y)].reset();
            buffer[(x, y)].set_style(style);
        }
    }
}

/// The text shown where there is nothing to show yet.
pub fn placeholder(state: &State, area: Rect, buffer: &mut Buffer) {
    let (what, share) = match &state.phase {
        Phase::Loading(share) => (format!("loading {}", state.loading_name), Some(*share)),
        Phase::Prefill(share) => ("reading the prompt".to_owned(), Some(*share)),
        Phase::Failed(sentence) => (sentence.clone(), None),
        _ => ("waiting for the first figures".to_owned(), None),
    };
    let y = area.height / 2;
    let width = area.width.saturating_sub(4).min(48);
    let x = (area.width.saturating_sub(width)) / 2;
    put(buffer, area, x, y.saturating_sub(1), Line::styled(what, state.theme.style(Role::Title)));
    if let Some(share) = share {
        let bar = Rect { x: area.x + x, y: area.y + y, width, height: 1.min(area.height) };
        for cell in bar.x..bar.right() {
            buffer[(cell, bar.y)].set_symbol("─").set_style(state.theme.style(Role::Border));
        }
        meter(f64::from(share), state.theme.style(Role::Accent), bar, buffer);
    }
}

/// A number in few characters.
pub fn number(value: f32) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if !v.is_finite() => "–".to_owned(),
        v if !(1e-3..1e5).contains(&v) => format!("{value:.1e}"),
        v if v < 0.1 => format!("{value:.4}"),
        v if v < 10.0 => format!("{value:.3}"),
        v if v < 1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The time of a step over that of a dense step beside it, with its 95 % interval: `0.64 ±.02`, and
/// `≈1.01 ±.04` where it is not told apart from 1.
pub fn ratio(beside: &MedianInterval) -> String {
    let alike = if beside.holds(1.0) { "≈" } else { "" };
    let half = format!("{:.2}", beside.half());
    format!("{alike}{:.2} ±{}", beside.median, half.strip_prefix('0').unwrap_or(&half))
}

/// A duration as one says it of an estimate: 40 s, 7 min, 1 h 30 min.
pub fn roughly(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match seconds {
        ..100.0 => format!("{:.0} s", (seconds / 5.0).ceil() * 5.0),
        ..6000.0 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60 / 10 * 10),
    }
}

/// A wavelength in tokens, short: `6.3`, `412`, `2.6M`.
pub fn wavelength(tokens: f64) -> String {
    match tokens {
        0.0 => "none".to_owned(),
        t if t < 10.0 => format!("{t:.1}"),
        t if t < 10_000.0 => count(t.round() as usize),
        t if t < 1e6 => format!("{:.0}k", t / 1e3),
        t => format!("{:.1}M", t / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_said_in_round_numbers() {
        let words = [3.0, 41.0, 99.0, 100.0, 400.0, 5700.0, 11_500.0].map(roughly);
        let wanted = ["5 s", "45 s", "100 s", "2 min", "7 min", "95 min", "3 h 10 min"];
        assert_eq!(words, wanted);
    }

    #[test]
    fn a_ratio_that_may_be_one_says_so() {
        let of = |median, low, high| ratio(&MedianInterval { median, low, high });
        assert_eq!(of(0.641, 0.62, 0.655), "0.64 ±.02");
        assert_eq!(of(1.012, 0.97, 1.03), "≈1.01 ±.04");
        assert_eq!(of(3.5, 2.0, 4.0), "3.50 ±1.50");
    }
}

//! The screens: state in, cells out. Nothing here changes the state.

mod ab;
mod head;
mod header;
mod layer;
mod learn;
mod lists;
mod log;
mod map;
mod pane;
mod perf;
mod side;
mod text;
mod tune;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::Widget;

use crate::tui::color::Role;
use crate::tui::geometry;
use crate::tui::state::{Level, Screen, State};

pub use header::finish_words;

/// Draws the whole frame.
pub fn render(state: &State, buffer: &mut Buffer) {
    let (width, height) = state.size;
    let (least_width, least_height) = geometry::LEAST;
    if width < least_width || height < least_height {
        let sentence =
            format!("kscope needs {least_width}x{least_height}, this is {width}x{height}");
        put(buffer, buffer.area, 0, 0, Line::from(sentence));
        state.theme.depth.convert(buffer);
        return;
    }
    let areas = geometry::areas(state);
    header::header(state, areas.header, buffer);
    header::tabs(state, areas.tabs, buffer);
    if areas.main.width > 0 {
        match (state.screen, state.level) {
            (Screen::Map, Level::Model) => map::render(state, areas.main, buffer),
            (Screen::Map, Level::Layer) => layer::render(state, areas.main, buffer),
            (Screen::Head, _) => head::render(state, areas.main, buffer),
            (Screen::Ab, _) => ab::render(state, areas.main, buffer),
            (Screen::Tune, _) => tune::render(state, areas.main, buffer),
            (Screen::Perf, _) => perf::render(state, areas.main, buffer),
            (Screen::Learn, _) => learn::render(state, areas.main, buffer),
            (Screen::Text, _) => text::render(state, areas.main, buffer),
        }
    }
    if let Some(side) = areas.side {
        side::render(state, side, buffer);
    }
    if let Some(area) = areas.log {
        log::render(state, area, buffer);
    }
    header::footer(state, areas.footer, buffer);
    lists::render(state, buffer.area, buffer);
    state.theme.depth.convert(buffer);
}

/// Writes a line at a place within `area`, cut at its right edge.
fn put<'a>(buffer: &mut Buffer, area: Rect, x: u16, y: u16, line: impl Into<Line<'a>>) {
    let area = area.intersection(buffer.area);
    if x < area.width && y < area.height {
        let line = line.into();
        // A line's own style would otherwise reach to the edge of the area.
        let width = (line.width().min(usize::from(u16::MAX)) as u16).min(area.width - x);
        line.render(Rect { x: area.x + x, y: area.y + y, width, height: 1 }, buffer);
    }
}

/// Fills an area with a style and blanks.
fn clear(buffer: &mut Buffer, area: Rect, style: Style) {
    let area = area.intersection(buffer.area);
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            buffer[(x, y)].reset();
            buffer[(x, y)].set_style(style);
        }
    }
}

/// What stands where there is nothing to show yet.
fn placeholder(state: &State, area: Rect, buffer: &mut Buffer) {
    use crate::tui::state::Phase;
    use crate::tui::widget::meter;
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

/// A whole number with separators: `32,768`.
fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Tokens per second with as many digits as they are worth.
fn rate(tokens_per_second: f64) -> String {
    match tokens_per_second {
        r if r < 10.0 => format!("{r:.2} tok/s"),
        r if r < 100.0 => format!("{r:.1} tok/s"),
        r => format!("{} tok/s", count(r.round() as usize)),
    }
}

#[cfg(test)]
mod tests;

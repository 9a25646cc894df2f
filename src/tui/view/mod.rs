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
use ratatui::text::Line;

use crate::tui::geometry;
use crate::tui::paint::put;
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

#[cfg(test)]
mod tests;

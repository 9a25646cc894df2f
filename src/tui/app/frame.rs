//! The whole frame around the current screen: state in, cells out. Nothing here changes the state.

use ratatui::buffer::Buffer;
use ratatui::style::Color;
use ratatui::text::Line;

use crate::tui::app::state::State;
use crate::tui::app::{
    areas, explain, header, inspector, lists, log_pane, message, question, splits, story, timeline,
};
use crate::tui::color::{Role, rgb};
use crate::tui::paint::put;

/// Draws the whole frame.
pub fn render(state: &State, buffer: &mut Buffer) {
    let (width, height) = state.size;
    let (least_width, least_height) = areas::LEAST;
    if width < least_width || height < least_height {
        let sentence =
            format!("kscope needs {least_width}x{least_height}, this is {width}x{height}");
        put(buffer, buffer.area, 0, 0, Line::from(sentence));
        ground(state, buffer);
        state.theme.depth.convert(buffer);
        return;
    }
    let areas = areas::areas(state);
    header::header(state, areas.header, buffer);
    header::tabs(state, areas.tabs, buffer);
    if areas.main.width > 0 {
        (state.screen.parts().render)(state, areas.main, buffer);
    }
    if let (Some(area), Some(side)) = (areas.side, state.screen.parts().side) {
        side(state, area, buffer);
    }
    if let Some(area) = areas.inspector {
        inspector::render(state, area, buffer);
    }
    splits::render(state, buffer);
    if let Some(area) = areas.log {
        log_pane::render(state, area, buffer);
    }
    if let Some(area) = areas.story {
        story::render(state, area, buffer);
    }
    if let Some(area) = areas.timeline {
        timeline::render(state, area, buffer);
    }
    if let Some(area) = areas.reason {
        message::render_reason(state, area, buffer);
    }
    header::footer(state, areas.footer, buffer);
    explain::render(state, areas.footer, buffer);
    lists::render(state, buffer.area, buffer);
    message::render(state, &areas, buffer);
    question::render(state, buffer.area, buffer);
    ground(state, buffer);
    state.theme.depth.convert(buffer);
}

/// Paints the theme's own ground where the terminal's is of the other kind: dark text on a dark
/// terminal could not be read.
fn ground(state: &State, buffer: &mut Buffer) {
    let theme = &state.theme;
    if theme.light == state.terminal_light || !theme.depth.has_map_colours() {
        return;
    }
    let (ground, text) = (rgb(theme.palette.ground), theme.color(Role::Text));
    for cell in &mut buffer.content {
        if cell.bg == Color::Reset {
            cell.bg = ground;
        }
        if cell.fg == Color::Reset {
            cell.fg = text;
        }
    }
}

#[cfg(test)]
mod tests;

//! Another mask while the model decodes: the controls, their effect on every layer, the figures of
//! three masks, and the plot.

mod controls;
mod effect;
mod layers;
mod plot;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::tui::paint::{placeholder, put};
use crate::tui::screen::tune::layout;

/// Draws the screen.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let (Some(model), Some(tuning)) = (&state.model, &state.screens.tune) else {
        return placeholder(state, area, buffer);
    };
    let areas = layout::tune(state, area);
    if let Some(area) = areas.notice {
        let sentence = "solo: no dense cache is held, so widths can only shrink from what runs now";
        put(buffer, area, 0, 0, Line::styled(sentence, state.theme.style(Role::Warn)));
    }
    controls::render(state, model, tuning, areas.controls, buffer);
    if let Some(area) = areas.layers {
        layers::render(state, model, tuning, area, buffer);
    }
    effect::render(state, model, tuning, areas.effect, buffer);
    if let Some(area) = areas.plot {
        plot::render(state, model, tuning, area, buffer);
    }
}

//! The side panel of the map: what the colours mean.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::tui::app::model::ModelView;
use crate::tui::app::shader::Shader;
use crate::tui::app::side;
use crate::tui::app::state::State;
use crate::tui::app::table::Metric;
use crate::tui::color::STEPS;
use crate::tui::screen::map::state::Level;
use crate::tui::widget::pane::Pane;

/// Draws the panel.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    side::render(state, area, buffer, legend, state.screens.map.level == Level::Layer);
}

/// What the colours mean: always with numbers, unit and scale.
fn legend(state: &State, _: &ModelView, pane: &mut Pane<'_>) {
    let Some(shader) = Shader::of(state) else { return };
    pane.title(&shader.title(), &format!("{} scale", shader.scale.name()));
    pane.note(shader.unit());
    if let Some(area) = pane.take(1) {
        let ramp = state.theme.depth.ramp();
        for x in 0..area.width {
            let share = (f32::from(x) + 0.5) / f32::from(area.width);
            let cell = &mut pane.buffer[(area.x + x, area.y)];
            if state.theme.depth.has_map_colours() {
                let share = (share * STEPS as f32).floor() / STEPS as f32;
                let color = if shader.other.is_some() {
                    state.theme.diverging(share)
                } else {
                    state.theme.ramp(share)
                };
                cell.set_symbol(" ").set_style(Style::new().bg(color));
            } else {
                cell.set_symbol(ramp[((share * ramp.len() as f32) as usize).min(ramp.len() - 1)]);
            }
        }
    }
    let ends = [shader.legend(0.0), shader.legend(0.5), shader.legend(1.0)];
    let width = usize::from(pane.area.width);
    let gaps = width.saturating_sub(ends.iter().map(|text| text.chars().count()).sum());
    let (left, right) = (gaps / 2, gaps - gaps / 2);
    pane.note(format!(
        "{}{}{}{}{}",
        ends[0],
        " ".repeat(left),
        ends[1],
        " ".repeat(right),
        ends[2]
    ));
    let dropped = shader.model.statistics.dropped_heads;
    if dropped > 0 {
        pane.note(format!("× dropped head ({dropped} of {})", shader.model.shape().heads()));
    }
    if shader.metric == Metric::Live {
        let (steps, middle) = shader.model.live_from;
        pane.note(format!("{steps} steps over {middle} middle tokens; grey: not stored"));
    }
}

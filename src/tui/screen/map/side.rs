//! The side panel of the map: what the colours mean.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use crate::mask::Width;
use crate::numbers::count;
use crate::tui::app::model::ModelView;
use crate::tui::app::shader::Shader;
use crate::tui::app::state::State;
use crate::tui::app::table::Metric;
use crate::tui::app::{side, widths};
use crate::tui::color::{Role, STEPS, Shade};
use crate::tui::fitting::best;
use crate::tui::paint::put;
use crate::tui::screen::map::state::Level;
use crate::tui::widget::Heatmap;
use crate::tui::widget::pane::Pane;

/// Draws the panel.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    side::render(state, area, buffer, legend, state.screens.map.level == Level::Layer);
}

/// What the colours mean: always with numbers, unit and scale.
fn legend(state: &State, _: &ModelView, pane: &mut Pane<'_>) {
    let Some(shader) = Shader::of(state) else { return };
    if shader.shows_widths() {
        width_legend(state, &shader, pane);
    } else {
        scale_legend(state, &shader, pane);
    }
    let dropped = shader.model.statistics.dropped_heads;
    if dropped > 0 {
        pane.note(format!("× dropped head ({dropped} of {})", shader.model.shape().heads()));
    }
    if shader.metric == Metric::Live {
        let (steps, middle) = shader.model.live_from;
        let (steps, middle) = (count(steps), count(middle));
        let forms = [
            format!("{steps} steps over {middle} middle tokens; grey: not stored"),
            format!("{steps} steps, {middle} middle tokens · grey: not stored"),
            format!("{steps} steps, {middle} tokens · grey: not stored"),
            format!("{steps} steps · grey: not stored"),
        ];
        pane.note(best(usize::from(pane.area.width), forms));
    }
}

/// The five widths, each with its shade.
fn width_legend(state: &State, shader: &Shader<'_>, pane: &mut Pane<'_>) {
    pane.title(&shader.title(), "bits");
    pane.note(shader.unit());
    let Some(area) = pane.take(2) else { return };
    let each = area.width / Width::ALL.len() as u16;
    for (index, width) in Width::ALL.into_iter().enumerate() {
        let cell = Rect { x: area.x + index as u16 * each, width: each, height: 1, ..area };
        let shade = |_: u16, _: u16| Shade::Share(widths::share_of(f32::from(width.bits())));
        Heatmap::new(&state.theme, shade).render(cell, pane.buffer);
        let text = Line::styled(width.to_string(), state.theme.style(Role::Dim));
        put(pane.buffer, Rect { y: area.y + 1, ..cell }, 0, 0, text);
    }
    if state.screens.map.level == Level::Layer {
        pane.note("below a band: bits, █ 16, ~ mixed");
    }
}

/// A scale from the smallest to the largest value.
fn scale_legend(state: &State, shader: &Shader<'_>, pane: &mut Pane<'_>) {
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
}

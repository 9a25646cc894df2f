//! The side panel of the head screen: where the attention of the head goes.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::numbers::plain;
use crate::tui::app::model::ModelView;
use crate::tui::app::side;
use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::tui::paint::put;
use crate::tui::widget::pane::Pane;
use crate::tui::widget::{BarPart, stacked};

/// Draws the panel.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    side::render(state, area, buffer, mass, true);
}

/// Attention mass of the last step per query head.
fn mass(state: &State, model: &ModelView, pane: &mut Pane<'_>) {
    pane.title("attention mass", "last step, measured");
    let detail = state
        .run
        .head
        .as_ref()
        .filter(|head| (head.layer, head.head) == (state.at.layer, state.at.head));
    let Some(detail) = detail else {
        pane.note(state.awaited("comes with the next decode steps"));
        return;
    };
    let theme = &state.theme;
    for (index, [sink, middle, recent]) in detail.mass.iter().enumerate() {
        let query = state.at.head * model.group() + index;
        let Some(area) = pane.take(1) else { return };
        let label = format!("q{query:<3}");
        put(pane.buffer, area, 0, 0, Line::styled(label, theme.style(Role::Dim)));
        let [of_sink, of_middle, of_recent] =
            [sink, middle, recent].map(|share| plain(f64::from(*share) * 100.0, 0));
        let numbers = format!("{of_sink:>3} {of_middle:>3} {of_recent:>3} %");
        let bar = Rect { x: area.x + 5, width: area.width.saturating_sub(19), ..area };
        let part = |size: &f32, glyph, role| BarPart {
            size: f64::from(*size),
            glyph,
            color: theme.color(role),
        };
        let parts = [
            part(sink, "░", Role::Window),
            part(middle, "█", Role::Attention),
            part(recent, "▒", Role::Window),
        ];
        stacked(&parts, 1.0, bar, pane.buffer);
        put(
            pane.buffer,
            area,
            area.width.saturating_sub(13),
            0,
            Line::styled(numbers, theme.style(Role::Text)),
        );
    }
    pane.line(Line::from(vec![
        Span::styled("░ sink  ", theme.style(Role::Window)),
        Span::styled("█ middle  ", theme.style(Role::Attention)),
        Span::styled("▒ recent", theme.style(Role::Window)),
    ]));
}

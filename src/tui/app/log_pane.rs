//! The log pane.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::tui::widget::pane::Pane;

/// Draws the last lines of the log.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let area = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let mut pane = Pane::new(area, &state.theme, buffer);
    pane.title("log", "newest below");
    for text in state.log.last(usize::from(pane.area.height)) {
        let role = if text.contains("ERROR") {
            Role::Bad
        } else if text.contains("WARN") {
            Role::Warn
        } else {
            Role::Dim
        };
        pane.line(Line::styled(text, state.theme.style(role)));
    }
}

//! The log pane.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::app::state::State;
use crate::tui::app::text_lines::wrap;
use crate::tui::color::Role;
use crate::tui::widget::pane::Pane;

/// Draws the last lines of the log.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let area = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let mut pane = Pane::new(area, &state.theme, buffer);
    pane.title("log", "newest below");
    let (rows, width) = (usize::from(pane.area.height), usize::from(pane.area.width));
    let mut lines = Vec::new();
    for text in state.log.last(rows) {
        let role = if text.contains("ERROR") {
            Role::Bad
        } else if text.contains("WARN") {
            Role::Warn
        } else {
            Role::Dim
        };
        let text = (text.as_str(), state.theme.style(role));
        lines.extend(wrap(std::iter::once(text), width, 4_000));
    }
    let skip = lines.len().saturating_sub(rows);
    lines.into_iter().skip(skip).for_each(|line| pane.line(line));
}

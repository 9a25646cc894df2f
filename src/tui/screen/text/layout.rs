//! Positions on the text screen.

use ratatui::layout::Rect;

use crate::tui::app::splits::Divider;
use crate::tui::app::state::State;

/// The line right of the text.
const TEXT: &str = "text.text";

/// The text with the prompt above it, and the settings with the last tokens.
pub(super) fn parts(state: &State, area: Rect) -> (Rect, Rect) {
    let area = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let side = if area.width >= 90 { 36 } else { 30 };
    let left = state.split_columns(TEXT, area.width, area.width.saturating_sub(side + 2));
    let main = Rect { width: left.min(area.width.saturating_sub(2)), ..area };
    let right = area.right().saturating_sub(main.right() + 2);
    (main, Rect { x: main.right() + 2, width: right, ..area })
}

/// The lines that can be moved.
pub fn splits(state: &State, main: Rect) -> Vec<Divider> {
    let (left, right) = parts(state, main);
    vec![Divider::upright(TEXT, left, right)]
}

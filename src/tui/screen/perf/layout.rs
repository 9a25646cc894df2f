//! Positions on the perf screen.

use ratatui::layout::Rect;

use crate::tui::app::splits::Divider;
use crate::tui::app::state::State;

/// The line between memory and speed.
const MEMORY: &str = "perf.memory";

/// Memory on the left, speed on the right.
pub(super) fn parts(state: &State, area: Rect) -> (Rect, Rect) {
    let area = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let half = state.split_columns(MEMORY, area.width, (area.width / 2).saturating_sub(1));
    let left = Rect { width: half.min(area.width.saturating_sub(2)), ..area };
    let right = area.right().saturating_sub(left.right() + 2);
    (left, Rect { x: left.right() + 2, width: right, ..area })
}

/// The lines that can be moved.
pub fn splits(state: &State, main: Rect) -> Vec<Divider> {
    let (left, right) = parts(state, main);
    vec![Divider::upright(MEMORY, left, right)]
}

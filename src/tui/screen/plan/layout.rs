//! Where the parts of the screen are, and what the mouse does there.

use std::ops::Range;

use ratatui::layout::Rect;

use crate::tui::app::action::{Command, Effect};
use crate::tui::app::areas;
use crate::tui::app::splits::Divider;
use crate::tui::app::state::State;
use crate::tui::screen::plan::state::Knob;
use crate::tui::screen::{Press, Wheel};

/// The parts of the screen.
pub(super) struct PlanAreas {
    /// The knobs.
    pub knobs: Rect,
    /// Size, fit and speed.
    pub answers: Rect,
    /// Cost and scenarios, where they have a place of their own.
    pub cost: Option<Rect>,
    /// Whether the answers leave room for what is assumed below the cost.
    pub is_wide: bool,
}

/// Rows of the knobs with their title, and of the cost with its chart below them.
const KNOB_ROWS: u16 = Knob::ALL.len() as u16 + 1;
const COST_ROWS: u16 = 14;

/// The line right of the knobs.
const KNOBS: &str = "plan.knobs";

/// The lines that can be moved.
pub fn splits(state: &State, main: Rect) -> Vec<Divider> {
    let parts = parts(state, main, state.screens.plan.more);
    let whole = Rect { width: main.right().saturating_sub(parts.answers.x + 1), ..parts.answers };
    vec![Divider::upright(KNOBS, Rect { height: main.height, ..parts.knobs }, whole)]
}

/// Two columns, or three on a wide screen. Between these, the cost stands below the knobs. With
/// `more` a small screen shows other things in the second column.
pub(super) fn parts(state: &State, area: Rect, more: bool) -> PlanAreas {
    let area = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let left = if area.width < 100 { 34 } else { 46 }.min(area.width);
    // The line is two columns wide.
    let left = (state.split_columns(KNOBS, area.width, left.saturating_sub(2)) + 2).min(area.width);
    let rest = Rect { x: area.x + left, width: area.width - left, ..area };
    let knobs = Rect { width: left.saturating_sub(2), ..area };
    if rest.width >= 110 {
        let half = rest.width / 2;
        let cost = Rect { x: rest.x + half, width: rest.width - half, ..rest };
        let answers = Rect { width: half - 2, ..rest };
        return PlanAreas { knobs, answers, cost: Some(cost), is_wide: true };
    }
    let below = area.height.saturating_sub(KNOB_ROWS + 1);
    let has_room = area.width >= 98 && below >= COST_ROWS && !more;
    let cost = has_room.then(|| Rect { y: area.y + KNOB_ROWS + 1, height: below, ..knobs });
    let knobs = Rect { height: if has_room { KNOB_ROWS } else { knobs.height }, ..knobs };
    PlanAreas { knobs, answers: rest, cost, is_wide: false }
}

/// The knobs that are shown below the title, with the selected one among them.
pub(super) fn shown(area: Rect, selected: usize) -> Range<usize> {
    let rows = usize::from(area.height.saturating_sub(1)).min(Knob::ALL.len());
    let start = (selected + 1).saturating_sub(rows);
    start..start + rows
}

/// The wheel moves through the knobs.
pub fn wheel(state: &State, wheel: Wheel) -> Option<Command> {
    let area = parts(state, areas::areas(state).main, false).knobs;
    let command = if wheel.up { Command::Up } else { Command::Down };
    area.contains((wheel.x, wheel.y).into()).then_some(command)
}

/// A press selects a knob.
pub fn press(state: &mut State, press: Press) -> Vec<Effect> {
    let area = parts(state, areas::areas(state).main, false).knobs;
    let shown = shown(area, state.screens.plan.knob as usize);
    let row = usize::from(press.y.saturating_sub(area.y + 1));
    if area.contains((press.x, press.y).into()) && press.y > area.y && row < shown.len() {
        state.screens.plan.knob = Knob::ALL[shown.start + row];
        // What was typed was for another knob.
        state.screens.plan.typing = None;
    }
    Vec::new()
}

//! Where the parts of the screen are, and what the mouse does there.

use std::ops::Range;

use ratatui::layout::Rect;

use crate::tui::app::action::{Command, Effect};
use crate::tui::app::areas;
use crate::tui::app::state::State;
use crate::tui::screen::plan::state::Knob;
use crate::tui::screen::{Press, Wheel};

/// The parts of the screen.
pub(super) struct PlanAreas {
    /// The knobs.
    pub knobs: Rect,
    /// Size, fit and speed.
    pub answers: Rect,
    /// Cost and scenarios, where there is a column for them.
    pub cost: Option<Rect>,
}

/// Two columns, or three on a wide screen.
pub(super) fn parts(area: Rect) -> PlanAreas {
    let area = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let left = if area.width < 100 { 31 } else { 42 }.min(area.width);
    let rest = Rect { x: area.x + left, width: area.width - left, ..area };
    let knobs = Rect { width: left.saturating_sub(2), ..area };
    if rest.width < 110 {
        return PlanAreas { knobs, answers: rest, cost: None };
    }
    let half = rest.width / 2;
    PlanAreas {
        knobs,
        answers: Rect { width: half - 2, ..rest },
        cost: Some(Rect { x: rest.x + half, width: rest.width - half, ..rest }),
    }
}

/// The knobs that are shown below the title, with the selected one among them.
pub(super) fn shown(area: Rect, selected: usize) -> Range<usize> {
    let rows = usize::from(area.height.saturating_sub(1)).min(Knob::ALL.len());
    let start = (selected + 1).saturating_sub(rows);
    start..start + rows
}

/// The wheel moves through the knobs.
pub fn wheel(state: &State, wheel: Wheel) -> Option<Command> {
    let area = parts(areas::areas(state).main).knobs;
    let command = if wheel.up { Command::Up } else { Command::Down };
    area.contains((wheel.x, wheel.y).into()).then_some(command)
}

/// A press selects a knob.
pub fn press(state: &mut State, press: Press) -> Vec<Effect> {
    let area = parts(areas::areas(state).main).knobs;
    let shown = shown(area, state.screens.plan.knob as usize);
    let row = usize::from(press.y.saturating_sub(area.y + 1));
    if area.contains((press.x, press.y).into()) && press.y > area.y && row < shown.len() {
        state.screens.plan.knob = Knob::ALL[shown.start + row];
    }
    Vec::new()
}

//! The keys of the plan screen. Everything is computed when it is drawn; keys only move knobs.

use crate::tui::app::action::{Command, Effect};
use crate::tui::app::state::State;
use crate::tui::screen::plan::state::{Knob, Planning};

/// Runs a command of the screen.
pub fn update(state: &mut State, command: Command) -> Option<Vec<Effect>> {
    let knob = state.screens.plan.knob;
    let (of, by) = match command {
        Command::Up => return select(state, knob.moved(-1)),
        Command::Down => return select(state, knob.moved(1)),
        Command::First => return select(state, Knob::Model),
        Command::Last => return select(state, Knob::Rate),
        Command::Reset => {
            state.screens.plan = Planning { knob, ..Planning::default() };
            return Some(Vec::new());
        }
        Command::Less => (knob, -1),
        Command::More => (knob, 1),
        Command::MuchLess => (knob, -5),
        Command::MuchMore => (knob, 5),
        Command::Metric => (Knob::Model, 1),
        Command::FindNext => (Knob::Gpu, 1),
        Command::FindPrev => (Knob::Gpu, -1),
        _ => return None,
    };
    if let Some(model) = &state.model {
        state.screens.plan.step(of, by, model);
    }
    Some(Vec::new())
}

fn select(state: &mut State, knob: Knob) -> Option<Vec<Effect>> {
    state.screens.plan.knob = knob;
    Some(Vec::new())
}

//! The keys of the plan screen. Everything is computed when it is drawn; keys only move knobs.

use tui_input::Input;

use crate::tui::app::action::{Command, Effect};
use crate::tui::app::areas;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::state::State;
use crate::tui::screen::Typed;
use crate::tui::screen::plan::layout;
use crate::tui::screen::plan::state::{Knob, Planning};

/// Most characters that are typed for a knob.
const LONGEST: usize = 40;

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
        Command::Panel => {
            let shows_all = layout::parts(state, areas::areas(state).main, false).cost.is_some();
            let planning = &mut state.screens.plan;
            planning.more = !planning.more && !shows_all;
            return Some(Vec::new());
        }
        Command::EditField => {
            state.screens.plan.typing = Some(Input::default());
            return Some(Vec::new());
        }
        Command::Submit => return submit(state),
        // The knob keeps its old value.
        Command::Back => {
            state.screens.plan.typing.take()?;
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

/// Takes what was typed, or says why not.
fn submit(state: &mut State) -> Option<Vec<Effect>> {
    let input = state.screens.plan.typing.take()?;
    let text = input.value().trim();
    let knob = state.screens.plan.knob;
    let told = match &state.model {
        Some(model) if !text.is_empty() => state.screens.plan.set_by_text(knob, text, model).err(),
        _ => None,
    };
    if let Some(sentence) = told {
        state.tell(sentence, true);
    }
    Some(Vec::new())
}

/// The focused part while a value is typed.
pub fn focus(state: &State) -> Option<KeyContext> {
    state.screens.plan.typing.as_ref().map(|_| KeyContext::Field)
}

/// Adds to what is typed.
pub fn typed(state: &mut State, typed: Typed) {
    if let Some(input) = &mut state.screens.plan.typing {
        typed.into_line(input, LONGEST);
    }
}

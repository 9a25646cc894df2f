//! The keys of the perf screen.

use crate::tui::app::action::{Command, Effect};
use crate::tui::app::state::State;

/// Runs a command of the screen.
pub fn update(state: &mut State, command: Command) -> Option<Vec<Effect>> {
    match command {
        Command::Less => state.change_target_context(false),
        Command::More => state.change_target_context(true),
        _ => return None,
    }
    Some(Vec::new())
}

//! The user's keys and commands.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseEvent, MouseEventKind};

use crate::tui::app::action::{Action, Command, Effect};
use crate::tui::app::state::State;
use crate::tui::app::update::update;

/// Presses a key.
pub fn key(state: &mut State, code: KeyCode) -> Vec<Effect> {
    update(state, Action::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

/// Types letters.
pub fn letters(state: &mut State, text: &str) {
    for letter in text.chars() {
        key(state, KeyCode::Char(letter));
    }
}

/// Runs a command.
pub fn act(state: &mut State, command: Command) -> Vec<Effect> {
    update(state, Action::Do(command))
}

/// Does something with the mouse.
pub fn mouse(state: &mut State, kind: MouseEventKind, (column, row): (u16, u16)) -> Vec<Effect> {
    update(state, Action::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }))
}

//! The user's keys and commands.

use std::collections::BTreeMap;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseEvent, MouseEventKind};

use crate::tui::app::action::{Action, Command, Effect};
use crate::tui::app::keys::KeyTable;
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

/// Binds commands to other keys: the context, the command's name, and its key.
pub fn rebind(state: &mut State, changes: &[(&str, &str, &str)]) {
    let mut sections: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for (context, command, key) in changes {
        let section = sections.entry((*context).to_owned()).or_default();
        section.insert((*command).to_owned(), vec![(*key).to_owned()]);
    }
    state.keys = KeyTable::new(&sections).expect("free keys");
}

/// The runner answers where typed paths are looked for: they are there, or what is wrong with them. Whether
/// it was asked.
pub fn looked_for(state: &mut State, effects: Vec<Effect>, trouble: Option<&str>) -> bool {
    let asked = effects.into_iter().find_map(|effect| match effect {
        Effect::LookFor(purpose, typed) => Some((purpose, typed)),
        _ => None,
    });
    let Some((purpose, typed)) = asked else { return false };
    update(state, Action::LookedFor { purpose, typed, trouble: trouble.map(str::to_owned) });
    true
}

/// Does something with the mouse.
pub fn mouse(state: &mut State, kind: MouseEventKind, (column, row): (u16, u16)) -> Vec<Effect> {
    update(state, Action::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }))
}

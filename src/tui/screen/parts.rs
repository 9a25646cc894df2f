//! What the rest of the interface needs to know about a screen. Everything else stays in its
//! folder.

use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyEvent;
use ratatui::layout::Rect;
use ratatui_textarea::TextArea;
use tui_input::Input;

use crate::tui::app::action::{Command, Effect};
use crate::tui::app::editing;
use crate::tui::app::key_rows::KeyBinding;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::model::ModelView;
use crate::tui::app::place::Place;
use crate::tui::app::splits::Divider;
use crate::tui::app::state::State;
use crate::tui::export::{PrintedTable, Sheet};

/// One screen. No field has a default, so that a new screen has to fill in each.
pub struct ScreenParts {
    /// The title of its tab.
    pub title: &'static str,
    /// The key that shows it.
    pub key: &'static str,
    /// What that key shows, for the help.
    pub about: &'static str,
    /// Its keys.
    pub table: &'static [KeyBinding],
    /// Runs a command; `None` where the screen does not claim it. A command that neither the screen
    /// nor the application claims does nothing.
    pub update: fn(&mut State, Command) -> Option<Vec<Effect>>,
    /// How text is typed on it, if it takes text.
    pub typing: Option<Typing>,
    /// The command for a turn of the mouse wheel, if any.
    pub wheel: fn(&State, Wheel) -> Option<Command>,
    /// A press of the left mouse button.
    pub press: fn(&mut State, Press) -> Vec<Effect>,
    /// The place of the model under the mouse, where a cell stands for one.
    pub hover: fn(&State, u16, u16) -> Option<Place>,
    /// The lines between its parts, within its main area, which keys and the mouse move.
    pub splits: fn(&State, Rect) -> Vec<Divider>,
    /// Questions to the engine after each action.
    pub after: Option<fn(&mut State) -> Vec<Effect>>,
    /// Draws it.
    pub render: fn(&State, Rect, &mut Buffer),
    /// Draws the side panel, if it has one.
    pub side: Option<fn(&State, Rect, &mut Buffer)>,
    /// Breadcrumbs below the model; by default the title.
    pub crumbs: Option<fn(&State) -> Vec<String>>,
    /// What the cursor is on, in about two sentences with its numbers; `None` where it is on nothing.
    pub explain: fn(&State) -> Option<String>,
    /// What `y` copies: the thing under the cursor; `None` where there is none.
    pub copy: fn(&State) -> Option<String>,
    /// Its data as a table.
    pub sheet: fn(&State, &ModelView) -> Sheet,
    /// What a table for a page, in Markdown or LaTeX, has of that data; by default all of it.
    pub printed: Option<fn(&State) -> PrintedTable>,
    /// File name of its exports; by default the name of the screen.
    pub file_stem: Option<fn(&State) -> String>,
}

/// How text is typed on a screen.
pub struct Typing {
    /// The focused part while text is typed; `None` while keys are commands.
    pub focus: fn(&State) -> Option<KeyContext>,
    /// Takes a key that is no command of that focus, or pasted text.
    pub take: fn(&mut State, Typed),
}

/// What was typed.
pub enum Typed {
    /// A key.
    Key(KeyEvent),
    /// Text that was pasted.
    Paste(String),
}

impl Typed {
    /// Takes it into a field of at most `most` characters.
    pub fn into_line(self, input: &mut Input, most: usize) {
        match self {
            Self::Key(key) => drop(editing::key_in_line(input, &key, most)),
            Self::Paste(text) => editing::paste_in_line(input, &text, most),
        }
    }

    /// Takes it into a text of several lines.
    pub fn into_text(self, area: &mut TextArea<'static>) {
        match self {
            Self::Key(key) => editing::key_in_text(area, &key),
            Self::Paste(text) => drop(area.insert_str(text)),
        }
    }
}

/// A turn of the mouse wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wheel {
    /// Column of the pointer.
    pub x: u16,
    /// Row of the pointer.
    pub y: u16,
    /// Whether it turned away from the user.
    pub up: bool,
    /// Whether Ctrl was held.
    pub ctrl: bool,
}

/// A press of the left mouse button.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Press {
    /// Column of the pointer.
    pub x: u16,
    /// Row of the pointer.
    pub y: u16,
    /// Whether it is the second one on this cell.
    pub is_double: bool,
}

//! The keys of the screen.

use crate::tui::app::action::Command as C;
use crate::tui::app::key_rows::KeyBinding;

/// Commands, their keys, a word for the footer, and what they do.
pub const TABLE: &[KeyBinding] = &[
    (C::Ask, "enter", "go on", "type another turn: the conversation goes on from here"),
    (C::EditPrompt, "p", "prompt", "edit the prompt, or begin with an empty one there"),
    (C::Up, "up k", "setting", "setting above"),
    (C::Down, "down j", "", "setting below"),
    (C::Less, "[ left h", "change", "smaller value; counts from the next run"),
    (C::More, "] right l", "", "larger value; counts from the next run"),
    (C::HalfUp, "ctrl-u pageup", "scroll", "scroll the text up"),
    (C::HalfDown, "ctrl-d pagedown", "", "scroll the text down"),
    (C::Last, "G end", "", "follow the text again"),
];

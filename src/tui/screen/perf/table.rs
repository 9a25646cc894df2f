//! The keys of the screen.

use crate::tui::app::action::Command as C;
use crate::tui::app::key_rows::KeyBinding;

/// Commands, their keys, a word for the footer, and what they do.
pub const TABLE: &[KeyBinding] = &[
    (C::Less, "[ left h", "context", "halve the target context"),
    (C::More, "] right l", "", "double the target context"),
];

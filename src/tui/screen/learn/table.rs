//! The keys of the screen.

use crate::tui::app::action::Command as C;
use crate::tui::app::key_rows::KeyBinding;

/// Commands, their keys, a word for the footer, and what they do.
pub const TABLE: &[KeyBinding] = &[
    (C::Learn, "s", "start", "learn a mask with what the form says"),
    (C::CancelLearning, "x", "cancel", "stop learning; what was learned can be gone on from"),
    (C::ResumeLearning, "R", "resume", "go on from the checkpoint beside the file of the form"),
    (
        C::ApplyLearned,
        "a",
        "apply",
        "decode with the learned mask from the next token on, and tune from it",
    ),
    (C::EditField, "enter", "type", "type the value of the selected field"),
    (C::Less, "[ left h", "change", "smaller value"),
    (C::More, "] right l", "", "larger value"),
    (C::Up, "up k", "field", "field above"),
    (C::Down, "down j", "", "field below"),
    (C::First, "g home", "", "first field"),
    (C::Last, "G end", "", "last field"),
];

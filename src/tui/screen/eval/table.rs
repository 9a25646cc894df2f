//! The keys of the screen.

use crate::tui::app::action::Command as C;
use crate::tui::app::key_rows::KeyBinding;

/// Commands, their keys, a word for the footer, and what they do.
pub const TABLE: &[KeyBinding] = &[
    (C::Evaluate, "s", "start", "evaluate the mask or plan at work, or go on in the folder"),
    (C::CancelEvaluation, "x", "cancel", "stop after the sample or chunk at hand"),
    (C::FindNext, "n", "lost", "next sample that a mask lost"),
    (C::FindPrev, "N", "", "lost sample before"),
    (C::Open, "o", "A/B", "decode the selected lost sample side by side"),
    (C::EditField, "enter", "set", "type the value of the selected field, or take the next"),
    (C::Less, "[ left h", "change", "smaller value"),
    (C::More, "] right l", "", "larger value"),
    (C::Up, "up k", "field", "field above"),
    (C::Down, "down j", "", "field below"),
    (C::First, "g home", "", "first field"),
    (C::Last, "G end", "", "last field"),
    (C::HalfDown, "ctrl-d pagedown", "", "further down in the table"),
    (C::HalfUp, "ctrl-u pageup", "", "further up in the table"),
];

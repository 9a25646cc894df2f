//! The keys of the screen.

use crate::tui::app::action::Command as C;
use crate::tui::app::key_rows::KeyBinding;

/// Commands, their keys, a word for the footer, and what they do.
pub const TABLE: &[KeyBinding] = &[
    (C::Up, "up k", "knob", "knob above"),
    (C::Down, "down j", "", "knob below"),
    (C::First, "g home", "", "first knob: the model"),
    (C::Last, "G end", "", "last knob"),
    (C::Less, "[ left h", "change", "one step less, or the model before"),
    (C::More, "] right l", "", "one step more, or the next model"),
    (C::MuchLess, "{", "five", "five steps less"),
    (C::MuchMore, "}", "", "five steps more"),
    (C::EditField, "enter", "type", "type a value, or the name of a model or GPU"),
    (C::Metric, "m", "model", "next model"),
    (C::FindNext, "n", "GPU", "next GPU"),
    (C::FindPrev, "N", "", "GPU before"),
    (C::Reset, "R", "reset", "all knobs as they were"),
];

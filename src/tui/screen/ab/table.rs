//! The keys of the screen.

use crate::tui::app::action::Command as C;
use crate::tui::app::key_rows::KeyBinding;

/// Commands, their keys, a word for the footer, and what they do.
pub const TABLE: &[KeyBinding] = &[
    (C::Left, "left h", "token", "token before"),
    (C::Right, "right l", "", "token after; past the last one the cursor follows the text"),
    (C::Up, "up k", "", "row above"),
    (C::Down, "down j", "", "row below"),
    (C::FindNext, "n", "divergence", "next token at which the sides part"),
    (C::FindPrev, "N", "", "token before at which the sides part"),
    (C::Feed, "f", "force tokens", "feed both the dense side's tokens, or each its own"),
    (C::Time, "b", "timed run", "time each side alone over the last tokens, decode waits"),
    (C::Less, "[", "query head", "query head before, within its group"),
    (C::More, "]", "", "query head after"),
    (C::Swap, "x", "swap", "the other side at the left"),
    (
        C::RewindHere,
        "backspace",
        "go on here",
        "drop everything after the cursor and go on from it",
    ),
    (C::Ask, "enter", "go on", "type another turn: the conversation goes on from here"),
    (C::EditPrompt, "p", "", "edit the prompt, or begin with an empty one there"),
    (C::First, "g home", "", "first token"),
    (C::Last, "G end", "", "follow the text again"),
    (C::HalfUp, "ctrl-u pageup", "", "sixteen tokens back"),
    (C::HalfDown, "ctrl-d pagedown", "", "sixteen tokens on"),
];

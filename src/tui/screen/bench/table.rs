//! The keys of the screen.

use crate::tui::app::action::Command as C;
use crate::tui::app::key_rows::KeyBinding;

/// Commands, their keys, a word for the footer, and what they do.
pub const TABLE: &[KeyBinding] = &[
    (C::Up, "up k", "row", "row above"),
    (C::Down, "down j", "", "row below"),
    (C::First, "g home", "", "first row"),
    (C::Last, "G end", "", "last row"),
    (C::Right, "right l", "", "columns that had no room"),
    (C::Left, "left h", "", "back to the columns before"),
    (C::Pin, "p", "pin", "pin what is set in Tune"),
    (C::PinRules, "a", "rules", "pin a mask of every rule with the bytes of what is set"),
    (C::PinNamed, "A", "named", "pin the plans that other programs offer"),
    (C::PinSweep, "P", "", "pin the points of Tune's sweep"),
    (C::Sweep, "s", "measure", "measure every row over the last 64 steps, or stop"),
    (C::Open, "enter", "use", "decode with the row: it is then on the map, in A/B and in Tune"),
    (C::Baseline, "b", "baseline", "compare with this row, or with none"),
    (C::SortNext, "o", "sort", "sort by the next column"),
    (C::SortBack, "O", "", "sort the other way round"),
    (C::EditField, "f", "filter", "show the rows that have a text in their name or rule"),
    (C::PlotAxis, "v", "axis", "plot against bytes or against time / dense"),
    (C::Unpin, "x delete", "", "take the row off"),
    (C::Reset, "R", "", "take all rows off"),
];

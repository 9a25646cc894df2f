//! The keys of the screen.

use crate::tui::app::action::Command as C;
use crate::tui::app::key_rows::KeyBinding;

/// Commands, their keys, a word for the footer, and what they do.
pub const TABLE: &[KeyBinding] = &[
    (C::Up, "up k", "control", "control above"),
    (C::Down, "down j", "", "control below"),
    (C::First, "g home", "", "first control"),
    (C::Last, "G end", "", "last control"),
    (C::Less, "[ left h", "step", "one step less"),
    (C::More, "] right l", "", "one step more"),
    (C::MuchLess, "{", "five", "five steps less"),
    (C::MuchMore, "}", "", "five steps more"),
    (
        C::Open,
        "enter",
        "apply",
        "apply and measure what is set; on a point of the plot: take its settings",
    ),
    (
        C::Sweep,
        "s",
        "sweep",
        "measure masks of every size, plans and what other programs offer, or stop",
    ),
    (C::Sense, "S", "", "measure the sensitivity that bytes needs, or stop"),
    (C::FindNext, "n", "point", "next point of the plot"),
    (C::FindPrev, "N", "", "previous point of the plot"),
    (C::PlotAxis, "v", "axis", "plot against bytes or against time per token"),
    (C::Diff, "d", "diff", "show on the map what differs from what is saved"),
    (C::Flip, "t", "", "keep or prune the channel at hand"),
    (C::FlipHead, "T", "", "keep all channels of the head at hand, or none"),
    (C::ChannelNarrower, "b", "", "one width narrower, the channel at hand (16, 8, 4, 2, 0 bits)"),
    (C::ChannelWider, "B", "", "one width wider, the channel at hand"),
    (C::KNarrower, "a", "", "one width narrower, all K channels of the head at hand"),
    (C::KWider, "A", "", "one width wider, all K channels of the head at hand"),
    (C::VNarrower, "o", "", "one width narrower, V of the head at hand"),
    (C::VWider, "O", "", "one width wider, V of the head at hand"),
    (C::LayerNarrower, "f", "", "one width narrower, everything in the layer at hand"),
    (C::LayerWider, "F", "", "one width wider, everything in the layer at hand"),
    (C::LockHead, "x", "", "lock the head at hand, or let it go"),
    (C::LockLayer, "X", "lock", "lock the layer at hand, or let it go"),
    (C::Reset, "R", "reset", "back to what is saved"),
];

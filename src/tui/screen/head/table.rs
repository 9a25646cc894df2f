//! The keys of the screen.

use crate::tui::app::action::Command as C;
use crate::tui::app::key_rows::KeyBinding;

/// Commands, their keys, a word for the footer, and what they do.
pub const TABLE: &[KeyBinding] = &[
    (C::Left, "left h", "pair", "faster pair"),
    (C::Right, "right l", "", "slower pair"),
    (C::Up, "up k", "half", "the other channel of the pair"),
    (C::Down, "down j", "", "the other channel of the pair"),
    (C::First, "g home", "", "fastest pair"),
    (C::Last, "G end", "", "slowest pair"),
    (C::HalfUp, "ctrl-u pageup", "", "eight pairs faster"),
    (C::HalfDown, "ctrl-d pagedown", "", "eight pairs slower"),
    (
        C::Open,
        "enter",
        "attention",
        "the attention of the last steps, exact and pruned; again: of the newest",
    ),
    (C::Less, "[", "", "query head before, within its group"),
    (C::More, "]", "", "query head after"),
    (C::Metric, "c", "metric", "show the next metric"),
    (C::Scale, "v", "scale", "linear, logarithmic or rank scale"),
    (C::Mark, "m", "", "remember this place"),
    (C::Jump, "'", "", "go to the remembered place and remember this one"),
    (C::Flip, "t", "flip", "keep or prune the channel at hand"),
    (C::FlipHead, "T", "head", "keep all channels of the head, or none"),
    (
        C::ChannelNarrower,
        "b",
        "bits",
        "one width narrower, the channel at hand (16, 8, 4, 2, 0 bits)",
    ),
    (C::ChannelWider, "B", "", "one width wider, the channel at hand"),
    (C::KNarrower, "a", "", "one width narrower, all K channels of the head at hand"),
    (C::KWider, "A", "", "one width wider, all K channels of the head at hand"),
    (C::VNarrower, "o", "", "one width narrower, V of the head at hand"),
    (C::VWider, "O", "", "one width wider, V of the head at hand"),
    (C::LayerNarrower, "f", "", "one width narrower, everything in the layer at hand"),
    (C::LayerWider, "F", "", "one width wider, everything in the layer at hand"),
    (C::LockHead, "x", "lock", "lock the head, or let it go"),
    (C::LockLayer, "X", "", "lock the layer, or let it go"),
    (C::Reset, "R", "", "back to what is saved"),
];

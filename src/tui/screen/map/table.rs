//! The keys of the screen.

use crate::tui::app::action::Command as C;
use crate::tui::app::key_rows::KeyBinding;

/// Commands, their keys, a word for the footer, and what they do.
pub const TABLE: &[KeyBinding] = &[
    (C::Open, "enter", "open", "open the layer, then the head"),
    (
        C::Metric,
        "c",
        "metric",
        "show the next metric: mask or width, importance, key norm, ThinK, live",
    ),
    (C::Scale, "v", "scale", "linear, logarithmic or rank scale"),
    (C::Diff, "d", "diff", "show where the mask or plan to compare with differs; D opens one"),
    (C::Find, "/", "find", "find heads: dropped, full, edited, locked, kept<32, kept>16, l3"),
    (C::FindNext, "n", "", "next head found"),
    (C::FindPrev, "N", "", "previous head found"),
    (C::Up, "up k", "", "layer up"),
    (C::Down, "down j", "", "layer down"),
    (C::Left, "left h", "", "head or pair to the left"),
    (C::Right, "right l", "", "head or pair to the right"),
    (C::First, "g home", "", "first layer, or fastest pair"),
    (C::Last, "G end", "", "last layer, or slowest pair"),
    (C::HalfUp, "ctrl-u pageup", "", "half a page up"),
    (C::HalfDown, "ctrl-d pagedown", "", "half a page down"),
    (C::ZoomIn, "+", "zoom", "fewer channels per column"),
    (C::ZoomOut, "-", "", "more channels per column"),
    (C::ZoomReset, "=", "", "the zoom that fits"),
    (C::Mark, "m", "", "remember this place"),
    (C::Jump, "'", "", "go to the remembered place and remember this one"),
    (C::Flip, "t", "flip", "keep or prune the channel at hand"),
    (C::FlipHead, "T", "", "keep all channels of the head, or none"),
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
    (C::LockHead, "x", "", "lock the head, or let it go"),
    (C::LockLayer, "X", "", "lock the layer, or let it go"),
    (C::Reset, "R", "", "back to what is saved"),
];

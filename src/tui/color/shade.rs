//! What a channel looks like on the map, before any colour.

use crate::tui::color::{DIVERGING, Rgb, Role, STEPS, Theme};

/// The shade of one pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shade {
    /// A share of the metric's scale, 0 to 1.
    Share(f32),
    /// From 0 (only the other mask keeps) over 0.5 (both agree) to 1 (only this mask keeps).
    Difference(f32),
    /// There is no number: the channel is not stored.
    Absent,
}

/// The colour of a shade in an exported picture.
pub fn paint(shade: Shade, theme: &Theme) -> Rgb {
    let step = |share: f32| ((share.clamp(0.0, 1.0) * STEPS as f32) as usize).min(STEPS - 1);
    match shade {
        Shade::Share(share) => theme.colormap.table(theme.light)[step(share)],
        Shade::Difference(share) => DIVERGING[step(share)],
        Shade::Absent => theme.palette.color(Role::Neutral),
    }
}

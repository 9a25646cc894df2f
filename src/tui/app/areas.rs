//! Where things are on the screen. The view draws there, and `update` looks up mouse positions in
//! it.

use ratatui::layout::Rect;

use crate::tui::app::state::State;
use crate::tui::app::strips::{LABEL, columns};

/// Smallest terminal that the screens support, in columns and rows.
pub const LEAST: (u16, u16) = (60, 16);
/// From this width on, the side panel is shown by default.
pub const PANEL_FROM: u16 = 100;

/// The parts of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Areas {
    /// Model and state.
    pub header: Rect,
    /// Tabs and breadcrumbs.
    pub tabs: Rect,
    /// The current screen.
    pub main: Rect,
    /// The side panel.
    pub side: Option<Rect>,
    /// The log.
    pub log: Option<Rect>,
    /// Where a recording is.
    pub timeline: Option<Rect>,
    /// Keys and toast.
    pub footer: Rect,
}

/// Divides the terminal.
pub fn areas(state: &State) -> Areas {
    let (width, height) = state.size;
    let row = |y: u16| Rect::new(0, y, width, 1);
    let log_rows = if state.log_open { (height / 4).clamp(3, 12) } else { 0 };
    let below = 1 + u16::from(state.playback.is_some());
    let body_rows = height.saturating_sub(2 + below + log_rows);
    let body = Rect::new(0, 2, width, body_rows);
    let log = (log_rows > 0).then(|| Rect::new(0, 2 + body_rows, width, log_rows));
    let (main, side) = split(state, body);
    let timeline = state.playback.map(|_| row(height.saturating_sub(2)));
    let footer = row(height.saturating_sub(1));
    Areas { header: row(0), tabs: row(1), main, side, log, timeline, footer }
}

/// Divides the body between screen and side panel. A screen without a panel has the full width.
fn split(state: &State, body: Rect) -> (Rect, Option<Rect>) {
    let has_panel = state.screen.parts().side.is_some();
    let wide = body.width >= PANEL_FROM;
    if !has_panel || !state.panel.unwrap_or(wide) {
        return (body, None);
    }
    if !wide {
        // No room for both: the panel takes the screen.
        return (Rect { width: 0, ..body }, Some(body));
    }
    let least = match body.width {
        160.. => body.width * 2 / 5,
        130.. => 46,
        _ => 40,
    };
    // The panel gets the columns that the strips cannot use.
    let strips = state.model.as_ref().map_or(body.width, |model| {
        let (strip, shown) = columns(body.width.saturating_sub(least + LABEL), model.shape(), 0);
        LABEL + shown.min(model.shape().kv_heads) as u16 * (strip + 1)
    });
    let side = (body.width - strips.min(body.width)).clamp(least, (body.width / 2).max(least));
    let main = Rect { width: body.width - side, ..body };
    (main, Some(Rect { x: main.right(), width: side, ..body }))
}

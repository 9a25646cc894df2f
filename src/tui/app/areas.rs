//! Where things are on the screen. The view draws there, and `update` looks up mouse positions in
//! it.

use ratatui::layout::Rect;

use crate::mask::Shape;
use crate::tui::app::state::State;
use crate::tui::app::strips::{LABEL, columns};
use crate::tui::app::{message, story};
use crate::tui::screen::Screen;
use crate::tui::screen::head::layout::HEAD_LABEL;

/// Smallest terminal that the screens support, in columns and rows.
pub const LEAST: (u16, u16) = (60, 16);
/// From this width on, the side panel is shown by default.
pub const PANEL_FROM: u16 = 100;

/// From these heights on, there is a row for the inspector line: on screens about places of the
/// model, and on all.
const INSPECTOR_FROM: (u16, u16) = (20, 28);

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
    /// The story of the demo.
    pub story: Option<Rect>,
    /// One line about the place of the cursor, or of the mouse.
    pub inspector: Option<Rect>,
    /// Why the run failed.
    pub reason: Option<Rect>,
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
    let is_about_places =
        matches!(state.screen, Screen::Map | Screen::Head | Screen::Ab | Screen::Tune);
    let from = if is_about_places { INSPECTOR_FROM.0 } else { INSPECTOR_FROM.1 };
    let inspected = u16::from(height >= from && state.model.is_some());
    let story_rows = story::rows(state);
    let timeline_rows = u16::from(state.playback.is_some());
    let reason_rows = message::reason_rows(state);
    let around = 3 + inspected + log_rows + story_rows + timeline_rows + reason_rows;
    let body_rows = height.saturating_sub(around);
    let body = Rect::new(0, 2, width, body_rows);
    // Each takes its rows below the one before.
    let mut below = 2 + body_rows;
    let mut rows = |count: u16| {
        let area = (count > 0).then(|| Rect::new(0, below, width, count));
        below += count;
        area
    };
    let (inspector, log, story) = (rows(inspected), rows(log_rows), rows(story_rows));
    let (main, side) = split(state, body);
    let (timeline, reason) = (rows(timeline_rows), rows(reason_rows));
    let footer = row(height.saturating_sub(1));
    let (header, tabs) = (row(0), row(1));
    Areas { header, tabs, main, side, inspector, story, reason, log, timeline, footer }
}

/// Divides the body between screen and side panel. A screen without a panel has the full width.
fn split(state: &State, body: Rect) -> (Rect, Option<Rect>) {
    let has_panel = state.screen.parts().side.is_some();
    let wide = body.width >= PANEL_FROM;
    if !has_panel || !state.shows_panel(wide) {
        return (body, None);
    }
    if !wide {
        // No room for both: the panel takes the screen.
        return (Rect { width: 0, ..body }, Some(body));
    }
    let least = match body.width {
        160.. => 50,
        130.. => 46,
        _ => 40,
    };
    // The panel gets the columns that the strips, or the bars of a head, cannot use.
    let used = state.model.as_ref().map_or(body.width, |model| {
        let shape = model.shape();
        let (label, shape) = match state.screen {
            Screen::Head => (HEAD_LABEL + 1, Shape { kv_heads: 1, ..shape }),
            _ => (LABEL, shape),
        };
        let (strip, shown) = columns(body.width.saturating_sub(least + label), shape, 0);
        label + shown.min(shape.kv_heads) as u16 * (strip + 1)
    });
    let most = (body.width * 2 / 3).max(least);
    let side = (body.width - used.min(body.width)).clamp(least, most);
    let first = state.split_columns(state.screen.side_name(), body.width, body.width - side);
    let side = body.width - first.min(body.width);
    let main = Rect { width: body.width - side, ..body };
    (main, Some(Rect { x: main.right(), width: side, ..body }))
}

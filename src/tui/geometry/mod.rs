//! Where things are on the screen: shared by the view, which draws there, and by `update`, which
//! the mouse asks.

mod ab;
mod head;
mod learn;
mod map;
mod tabs;
mod tune;

use std::ops::Range;

use ratatui::layout::Rect;

use crate::mask::Shape;
use crate::tui::state::{Screen, State};

pub use ab::{ab, ab_hit, below_title, column_of, columns_of, words};
pub use head::{HEAD_LABEL, HeadChart, head_chart};
pub use learn::learn;
pub use map::{BAND_LABEL, Bands, Grid, bands, grid, map_hit};
pub use tabs::{tab_at, tab_places};
pub use tune::{LayerRow, plot_points, tune, tune_controls, tune_layers};

/// The least that the screens need.
pub const LEAST: (u16, u16) = (60, 16);
/// From this width on the side panel is there by itself.
const PANEL_FROM: u16 = 100;
/// Columns of the layer labels.
const LABEL: u16 = 5;
/// Fewest columns of a strip before heads are scrolled.
const LEAST_STRIP: u16 = 4;

/// The parts of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Areas {
    /// Model and state.
    pub header: Rect,
    /// Tabs and breadcrumbs.
    pub tabs: Rect,
    /// The screen at hand.
    pub main: Rect,
    /// The side panel.
    pub side: Option<Rect>,
    /// The log.
    pub log: Option<Rect>,
    /// Keys and toast.
    pub footer: Rect,
}

/// Divides the terminal.
pub fn areas(state: &State) -> Areas {
    let (width, height) = state.size;
    let row = |y: u16| Rect::new(0, y, width, 1);
    let log_rows = if state.log_open { (height / 4).clamp(3, 12) } else { 0 };
    let body_rows = height.saturating_sub(3 + log_rows);
    let body = Rect::new(0, 2, width, body_rows);
    let log = (log_rows > 0).then(|| Rect::new(0, 2 + body_rows, width, log_rows));
    let (main, side) = split(state, body);
    Areas { header: row(0), tabs: row(1), main, side, log, footer: row(height.saturating_sub(1)) }
}

/// Divides the body between screen and side panel. Text and Perf use the whole width.
fn split(state: &State, body: Rect) -> (Rect, Option<Rect>) {
    let has_panel = matches!(state.screen, Screen::Map | Screen::Head);
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
    // Columns that the strips cannot use are worth more in the panel.
    let strips = state.model.as_ref().map_or(body.width, |model| {
        let (strip, shown) = columns(body.width.saturating_sub(least + LABEL), model.shape(), 0);
        LABEL + shown.min(model.shape().kv_heads) as u16 * (strip + 1)
    });
    let side = (body.width - strips.min(body.width)).clamp(least, (body.width / 2).max(least));
    let main = Rect { width: body.width - side, ..body };
    (main, Some(Rect { x: main.right(), width: side, ..body }))
}

/// Columns of a strip and how many strips fit. The columns divide the pairs, or are a multiple of
/// them.
fn columns(wide: u16, shape: Shape, zoom: i8) -> (u16, usize) {
    let (pairs, heads) = (shape.pairs().max(1) as u16, shape.kv_heads as u16);
    let natural = |room: u16| match room {
        room if room >= pairs => room / pairs * pairs,
        room => {
            let folds =
                (0..8).map(|fold| pairs.div_ceil(1 << fold)).find(|&columns| columns <= room);
            folds.unwrap_or(1)
        }
    };
    let room = (wide / heads).saturating_sub(1).max(LEAST_STRIP.min(pairs));
    let mut strip = natural(room);
    for _ in 0..zoom.max(0) {
        strip = (strip * 2).min(pairs * 8);
    }
    for _ in zoom.min(0)..0 {
        strip = strip.div_ceil(2);
    }
    let strip = strip.clamp(1, wide.saturating_sub(1).max(1));
    (strip, usize::from(((wide + 1) / (strip + 1)).max(1)))
}

/// `fit` of `all`, with `at` in the middle where it is possible.
pub fn window(at: usize, fit: usize, all: usize) -> Range<usize> {
    let fit = fit.clamp(1, all.max(1));
    let start = at.saturating_sub(fit / 2).min(all.saturating_sub(fit));
    start..(start + fit).min(all)
}

/// The pairs that a column stands for when `pairs` are spread over `columns`.
pub fn pairs_at(pairs: usize, columns: u16, column: u16) -> Range<usize> {
    let (columns, column) = (usize::from(columns.max(1)), usize::from(column));
    let start = column * pairs / columns;
    let end = ((column + 1) * pairs / columns).max(start + 1);
    start.min(pairs.saturating_sub(1))..end.min(pairs)
}

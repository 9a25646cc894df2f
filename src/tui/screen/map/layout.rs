//! Positions of strips and bands on the map and its layer level.

use std::ops::Range;

use ratatui::layout::Rect;

use crate::mask::Shape;
use crate::tui::app::areas::areas;
use crate::tui::app::state::State;
use crate::tui::app::strips::{LABEL, columns, pairs_at, window};
use crate::tui::screen::map::state::Level;

/// Most text rows of a layer. More rows would only make the same colours taller, and the selected
/// head uses the space below the strips.
const MOST_ROWS: u16 = 6;

/// The grid of strips on the map: one row per layer, one strip per KV head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// Model axes.
    pub shape: Shape,
    /// The row of head labels.
    pub labels: Rect,
    /// The strips.
    pub area: Rect,
    /// Columns of a strip.
    pub strip: u16,
    /// Layers that are shown.
    pub layers: Range<usize>,
    /// KV heads that are shown.
    pub heads: Range<usize>,
    /// Text rows of a layer.
    pub rows: u16,
    /// Layers that share a text row, one half-pixel each (2), or 1.
    pub merged: usize,
    /// Blank rows between layers.
    pub gap: u16,
}

/// Positions of the strips on the map, within the screen's main area.
pub fn grid(state: &State, main: Rect, shape: Shape) -> Grid {
    let inner =
        Rect { x: main.x, y: main.y + 1, width: main.width, height: main.height.saturating_sub(2) };
    let labels = Rect { height: 1.min(main.height), ..main };
    let wide = inner.width.saturating_sub(LABEL);
    let (strip, shown_heads) = columns(wide, shape, state.screens.map.zoom);
    let heads = window(state.at.head, shown_heads, shape.kv_heads);

    let height = inner.height.max(1);
    let layers = shape.layers as u16;
    let (rows, merged, gap) = if layers > height {
        (1, 2, 0)
    } else {
        let each = height / layers;
        let gap = u16::from(each >= 3);
        ((each - gap).clamp(1, MOST_ROWS), 1, gap)
    };
    let fit = match merged {
        2 => usize::from(height) * 2,
        _ => usize::from((height + gap) / (rows + gap)),
    };
    // Merged layers come in pairs, so the window begins with an even one.
    let layers = window(state.at.layer, fit, shape.layers);
    let start = layers.start / merged * merged;
    let layers = start..(start + fit).min(shape.layers);
    Grid {
        shape,
        labels,
        area: Rect { x: inner.x + LABEL, width: wide, ..inner },
        strip,
        layers,
        heads,
        rows,
        merged,
        gap,
    }
}

impl Grid {
    /// Rectangle of the strip of a head; `None` where it is not shown. Layers that share a row
    /// share the rectangle.
    pub fn strip_of(&self, layer: usize, head: usize) -> Option<Rect> {
        if !self.layers.contains(&layer) || !self.heads.contains(&head) {
            return None;
        }
        let line = ((layer - self.layers.start) / self.merged) as u16;
        let y = self.area.y + line * (self.rows + self.gap);
        let x = self.area.x + (head - self.heads.start) as u16 * (self.strip + 1);
        let strip = Rect { x, y, width: self.strip, height: self.rows };
        (strip.bottom() <= self.area.bottom() && strip.right() <= self.area.right())
            .then_some(strip)
    }

    /// The pairs in a column of a strip.
    pub fn pairs_at(&self, column: u16) -> Range<usize> {
        pairs_at(self.shape.pairs(), self.strip, column)
    }

    /// Layer, head and channel under a cell.
    pub fn hit(&self, x: u16, y: u16) -> Option<(usize, usize, usize)> {
        for layer in self.layers.clone() {
            for head in self.heads.clone() {
                let Some(strip) = self.strip_of(layer, head) else { continue };
                if strip.contains((x, y).into()) {
                    let pair = self.pairs_at(x - strip.x).start;
                    let lower =
                        self.merged == 1 && (y - strip.y) >= self.rows.div_ceil(2) && self.rows > 1;
                    return Some((layer, head, pair + if lower { self.shape.pairs() } else { 0 }));
                }
            }
        }
        None
    }
}

/// The bands of the layer level: one per KV head, each a picture with its mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bands {
    /// KV heads that are shown.
    pub heads: Range<usize>,
    /// Rows of a band, title included.
    pub rows: u16,
    /// Columns of the picture.
    pub columns: u16,
    /// The bands.
    pub area: Rect,
}

/// Columns left of a band's picture.
pub const BAND_LABEL: u16 = 7;

/// Positions of the bands on the layer level.
pub fn bands(state: &State, main: Rect, shape: Shape) -> Bands {
    let area = Rect { y: main.y + 1, height: main.height.saturating_sub(2), ..main };
    let least = 4;
    let fit = usize::from(area.height / least).max(1);
    let heads = window(state.at.head, fit, shape.kv_heads);
    let rows = (area.height / heads.len().max(1) as u16).clamp(1, 12);
    let (columns, _) =
        columns(area.width.saturating_sub(BAND_LABEL), Shape { kv_heads: 1, ..shape }, 0);
    Bands { heads, rows, columns, area }
}

impl Bands {
    /// The rectangle of a head's band.
    pub fn band(&self, head: usize) -> Option<Rect> {
        if !self.heads.contains(&head) {
            return None;
        }
        let y = self.area.y + (head - self.heads.start) as u16 * self.rows;
        let band = Rect { y, height: self.rows, ..self.area };
        (band.bottom() <= self.area.bottom()).then_some(band)
    }

    /// Head and channel under a cell.
    pub fn hit(&self, x: u16, y: u16, shape: Shape) -> Option<(usize, usize)> {
        let head = self
            .heads
            .clone()
            .find(|&head| self.band(head).is_some_and(|band| band.contains((x, y).into())))?;
        let column = x.checked_sub(self.area.x + BAND_LABEL)?.min(self.columns.saturating_sub(1));
        Some((head, pairs_at(shape.pairs(), self.columns, column).start))
    }
}

/// Layer, head and channel under the mouse, on either level.
pub fn map_hit(state: &State, x: u16, y: u16) -> Option<(usize, usize, usize)> {
    let shape = state.model.as_ref()?.shape();
    let main = areas(state).main;
    match state.screens.map.level {
        Level::Model => grid(state, main, shape).hit(x, y),
        Level::Layer => bands(state, main, shape)
            .hit(x, y, shape)
            .map(|(head, channel)| (state.at.layer, head, channel)),
    }
}

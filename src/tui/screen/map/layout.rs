//! Positions of strips and bands on the map and its layer level.

use std::ops::Range;

use ratatui::layout::Rect;

use crate::mask::Shape;
use crate::tui::app::areas::areas;
use crate::tui::app::place::Place;
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
    /// Layers of each text row: one, or two with a half-pixel each.
    pub lines: Vec<Range<usize>>,
    /// KV heads that are shown.
    pub heads: Range<usize>,
    /// Text rows of a layer.
    pub rows: u16,
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
    let (rows, gap) = if layers > height {
        (1, 0)
    } else {
        let each = height / layers;
        let gap = u16::from(each >= 3);
        ((each - gap).clamp(1, MOST_ROWS), gap)
    };
    let lines = lines(state, usize::from((height + gap) / (rows + gap)), shape);
    Grid {
        shape,
        labels,
        area: Rect { x: inner.x + LABEL, width: wide, ..inner },
        strip,
        lines,
        heads,
        rows,
        gap,
    }
}

/// The layers of each of `fit` text rows. Where there are more layers than rows, as few as can be
/// share one: first those whose neighbour drops the same heads. Of more than two layers a row, a part
/// is shown.
fn lines(state: &State, fit: usize, shape: Shape) -> Vec<Range<usize>> {
    let fit = fit.max(1);
    let layers = window(state.at.layer, 2 * fit, shape.layers);
    // Where all rows hold two layers, pairs begin with an even one.
    let start = if layers.len() < shape.layers { layers.start / 2 * 2 } else { layers.start };
    let layers = start..(start + 2 * fit).min(shape.layers);
    let wanted = layers.len().saturating_sub(fit);
    let model = state.model.as_ref().filter(|model| model.shape() == shape);
    let differs = |layer: usize| {
        let dropped = |layer, head| model.is_some_and(|model| model.kept(layer, head) == 0);
        (0..shape.kv_heads).filter(|&h| dropped(layer, h) != dropped(layer + 1, h)).count()
    };
    let shared = cheapest_pairs(layers.clone(), wanted, differs);
    let mut rows = Vec::new();
    let mut layer = layers.start;
    while layer < layers.end {
        let end = layer + 1 + usize::from(shared.contains(&layer));
        rows.push(layer..end);
        layer = end;
    }
    rows
}

/// The first items of `wanted` disjoint pairs of neighbours whose costs have the smallest sum; of
/// equal ones the later.
fn cheapest_pairs(items: Range<usize>, wanted: usize, cost: impl Fn(usize) -> usize) -> Vec<usize> {
    // `best[n][k]`: least cost of k pairs among the first n items.
    let mut best = vec![vec![usize::MAX; wanted + 1]; items.len() + 1];
    best[0][0] = 0;
    for n in 1..=items.len() {
        for k in 0..=wanted {
            best[n][k] = best[n - 1][k];
            if k > 0 && n > 1 && best[n - 2][k - 1] < usize::MAX {
                let paired = best[n - 2][k - 1] + cost(items.start + n - 2);
                best[n][k] = best[n][k].min(paired);
            }
        }
    }
    let (mut n, mut k) = (items.len(), wanted);
    let mut pairs = Vec::with_capacity(wanted);
    while k > 0 && n > 1 {
        let before = best[n - 2][k - 1];
        if before < usize::MAX && best[n][k] == before + cost(items.start + n - 2) {
            pairs.push(items.start + n - 2);
            (n, k) = (n - 2, k - 1);
        } else {
            n -= 1;
        }
    }
    pairs
}

impl Grid {
    /// Rectangle of the strip of a head; `None` where it is not shown. Layers that share a row
    /// share the rectangle.
    pub fn strip_of(&self, layer: usize, head: usize) -> Option<Rect> {
        if !self.heads.contains(&head) {
            return None;
        }
        let line = self.lines.iter().position(|line| line.contains(&layer))?;
        let y = self.y_of(line);
        let x = self.area.x + (head - self.heads.start) as u16 * (self.strip + 1);
        let strip = Rect { x, y, width: self.strip, height: self.rows };
        (strip.bottom() <= self.area.bottom() && strip.right() <= self.area.right())
            .then_some(strip)
    }

    /// The first screen row of a text row.
    pub fn y_of(&self, line: usize) -> u16 {
        self.area.y + line as u16 * (self.rows + self.gap)
    }

    /// Layers that are shown.
    pub fn layers(&self) -> Range<usize> {
        let start = self.lines.first().map_or(0, |line| line.start);
        start..self.lines.last().map_or(start, |line| line.end)
    }

    /// Whether layers share rows.
    pub fn is_merged(&self) -> bool {
        self.lines.iter().any(|line| line.len() > 1)
    }

    /// The pairs in a column of a strip.
    pub fn pairs_at(&self, column: u16) -> Range<usize> {
        pairs_at(self.shape.pairs(), self.strip, column)
    }

    /// Layer, head and channel under a cell.
    pub fn hit(&self, x: u16, y: u16) -> Option<(usize, usize, usize)> {
        for layers in &self.lines {
            let layer = layers.start;
            for head in self.heads.clone() {
                let Some(strip) = self.strip_of(layer, head) else { continue };
                if strip.contains((x, y).into()) {
                    let pair = self.pairs_at(x - strip.x).start;
                    let lower = layers.len() == 1
                        && (y - strip.y) >= self.rows.div_ceil(2)
                        && self.rows > 1;
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
    // One strip has no gap behind it.
    let wide = area.width.saturating_sub(BAND_LABEL) + 1;
    let (columns, _) = columns(wide, Shape { kv_heads: 1, ..shape }, 0);
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

/// The place under the mouse.
pub fn hovered(state: &State, x: u16, y: u16) -> Option<Place> {
    let (layer, head, channel) = map_hit(state, x, y)?;
    Some(Place { layer, head, channel })
}

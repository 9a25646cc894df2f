//! Where things are on the screen: shared by the view, which draws there, and by `update`, which the mouse asks.

use std::ops::Range;

use ratatui::layout::Rect;

use super::state::learn::Field;
use super::state::{Level, Screen, State};
use crate::mask::Shape;

/// The least that the screens need.
pub const LEAST: (u16, u16) = (60, 16);
/// From this width on the side panel is there by itself.
const PANEL_FROM: u16 = 100;
/// Columns of the layer labels.
const LABEL: u16 = 5;
/// Fewest columns of a strip before heads are scrolled.
const LEAST_STRIP: u16 = 4;
/// Most text rows of a layer: more only makes the same colours taller, and below the strips the selected head has a use for them.
const MOST_ROWS: u16 = 6;

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

/// The parts of the tune screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tune {
    /// A sentence about sessions without a dense side.
    pub notice: Option<Rect>,
    /// The controls, title included.
    pub controls: Rect,
    /// Kept share per layer, title included.
    pub layers: Option<Rect>,
    /// The figures of the three masks.
    pub effect: Rect,
    /// The plot, title, axes and read-out included.
    pub plot: Option<Rect>,
}

/// Rows that all figures take, and those that must do on a small screen.
const EFFECT_ROWS: (u16, u16) = (20, 12);
/// Fewest rows of a plot that is worth its place.
const LEAST_PLOT: u16 = 7;
/// Columns left of the plot's points, and rows above and below them.
const PLOT_FRAME: (u16, u16, u16) = (9, 1, 3);

/// From this width on controls, layers and figures stand side by side.
const THREE_COLUMNS_FROM: u16 = 116;

/// Where things are on the tune screen. A narrow one shows the layers in place of the plot when the panel is asked for.
pub fn tune(state: &State, main: Rect) -> Tune {
    let solo = state.model.as_ref().is_some_and(|model| model.info.solo);
    let notice = solo.then_some(Rect { x: main.x + 1, width: main.width.saturating_sub(2), height: 1.min(main.height), ..main });
    let top = u16::from(solo);
    let area =
        Rect { x: main.x + 1, y: main.y + top, width: main.width.saturating_sub(2), height: main.height.saturating_sub(top) };
    let wide = main.width >= THREE_COLUMNS_FROM;
    let left = match main.width {
        160.. => 44,
        PANEL_FROM.. => 36,
        _ => 31,
    };
    let controls = Rect { width: left.min(area.width), ..area };
    let column = |x: u16, width: u16| Rect { x, width, ..area };
    let (layers, right) = if wide {
        let width = if main.width >= 160 { 40 } else { 24 };
        let layers = column(controls.right() + 2, width);
        (Some(layers), column(layers.right() + 2, area.right().saturating_sub(layers.right() + 2)))
    } else {
        (None, column(controls.right() + 1, area.right().saturating_sub(controls.right() + 1)))
    };
    let rows = if right.height >= EFFECT_ROWS.0 + LEAST_PLOT { EFFECT_ROWS.0 } else { EFFECT_ROWS.1 };
    let effect = Rect { height: rows.min(right.height), ..right };
    let below = Rect { y: effect.bottom(), height: right.height - effect.height, ..right };
    let plot = (below.height >= LEAST_PLOT).then_some(below);
    match (layers, plot) {
        (None, Some(below)) if state.panel == Some(true) => Tune { notice, controls, layers: Some(below), effect, plot: None },
        _ => Tune { notice, controls, layers, effect, plot },
    }
}

/// Where the points of the plot are, within its part of the screen.
pub fn plot_points(plot: Rect) -> Rect {
    let (left, above, below) = PLOT_FRAME;
    Rect {
        x: plot.x + left.min(plot.width),
        y: plot.y + above,
        width: plot.width.saturating_sub(left),
        height: plot.height.saturating_sub(above + below),
    }
}

/// The controls on screen, below their title; the selected one is among them.
pub fn tune_controls(area: Rect, selected: usize, all: usize) -> Range<usize> {
    // The title, and two rows that say how things stand.
    window(selected, usize::from(area.height.saturating_sub(3)), all)
}

/// One row of the layers: a layer, or a head of one.
pub type LayerRow = (usize, Option<usize>);

/// The rows below the title of the layers: heads too where there is room for all, or at least for those of the selected layer.
pub fn tune_layers(area: Rect, shape: Shape, selected: usize) -> Vec<LayerRow> {
    let room = usize::from(area.height.saturating_sub(1));
    let heads_of = |layer: usize| (0..shape.kv_heads).map(move |head| (layer, Some(head)));
    let with_heads = |shown: &dyn Fn(usize) -> bool| -> Vec<LayerRow> {
        let rows = |layer| std::iter::once((layer, None)).chain(heads_of(layer).filter(move |_| shown(layer)));
        (0..shape.layers).flat_map(rows).collect()
    };
    if shape.layers + shape.heads() <= room {
        with_heads(&|_| true)
    } else if shape.layers + shape.kv_heads <= room {
        with_heads(&|layer| layer == selected)
    } else {
        window(selected, room, shape.layers).map(|layer| (layer, None)).collect()
    }
}

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
    /// Layers on screen.
    pub layers: Range<usize>,
    /// KV heads on screen.
    pub heads: Range<usize>,
    /// Text rows of a layer.
    pub rows: u16,
    /// Layers that share a text row, one half-pixel each (2), or 1.
    pub merged: usize,
    /// Blank rows between layers.
    pub gap: u16,
}

/// Where the strips of the map are, within the screen's main area.
pub fn grid(state: &State, main: Rect, shape: Shape) -> Grid {
    let inner = Rect { x: main.x, y: main.y + 1, width: main.width, height: main.height.saturating_sub(2) };
    let labels = Rect { height: 1.min(main.height), ..main };
    let wide = inner.width.saturating_sub(LABEL);
    let (strip, shown_heads) = columns(wide, shape, state.zoom);
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
    Grid { shape, labels, area: Rect { x: inner.x + LABEL, width: wide, ..inner }, strip, layers, heads, rows, merged, gap }
}

/// Columns of a strip and how many strips fit. The columns divide the pairs, or are a multiple of them.
fn columns(wide: u16, shape: Shape, zoom: i8) -> (u16, usize) {
    let (pairs, heads) = (shape.pairs().max(1) as u16, shape.kv_heads as u16);
    let natural = |room: u16| match room {
        room if room >= pairs => room / pairs * pairs,
        room => {
            let folds = (0..8).map(|fold| pairs.div_ceil(1 << fold)).find(|&columns| columns <= room);
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

impl Grid {
    /// Where the strip of a head is; `None` off screen. Layers that share a row share its rectangle.
    pub fn strip_of(&self, layer: usize, head: usize) -> Option<Rect> {
        if !self.layers.contains(&layer) || !self.heads.contains(&head) {
            return None;
        }
        let line = ((layer - self.layers.start) / self.merged) as u16;
        let y = self.area.y + line * (self.rows + self.gap);
        let x = self.area.x + (head - self.heads.start) as u16 * (self.strip + 1);
        let strip = Rect { x, y, width: self.strip, height: self.rows };
        (strip.bottom() <= self.area.bottom() && strip.right() <= self.area.right()).then_some(strip)
    }

    /// The pairs that a column of a strip stands for.
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
                    let lower = self.merged == 1 && (y - strip.y) >= self.rows.div_ceil(2) && self.rows > 1;
                    return Some((layer, head, pair + if lower { self.shape.pairs() } else { 0 }));
                }
            }
        }
        None
    }
}

/// The pairs that a column stands for when `pairs` are spread over `columns`.
pub fn pairs_at(pairs: usize, columns: u16, column: u16) -> Range<usize> {
    let (columns, column) = (usize::from(columns.max(1)), usize::from(column));
    let start = column * pairs / columns;
    let end = ((column + 1) * pairs / columns).max(start + 1);
    start.min(pairs.saturating_sub(1))..end.min(pairs)
}

/// The bands of the layer level: one per KV head, each a picture with its mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bands {
    /// KV heads on screen.
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

/// Where the bands of the layer level are.
pub fn bands(state: &State, main: Rect, shape: Shape) -> Bands {
    let area = Rect { y: main.y + 1, height: main.height.saturating_sub(2), ..main };
    let least = 4;
    let fit = usize::from(area.height / least).max(1);
    let heads = window(state.at.head, fit, shape.kv_heads);
    let rows = (area.height / heads.len().max(1) as u16).clamp(1, 12);
    let (columns, _) = columns(area.width.saturating_sub(BAND_LABEL), Shape { kv_heads: 1, ..shape }, 0);
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
        let head = self.heads.clone().find(|&head| self.band(head).is_some_and(|band| band.contains((x, y).into())))?;
        let column = x.checked_sub(self.area.x + BAND_LABEL)?.min(self.columns.saturating_sub(1));
        Some((head, pairs_at(shape.pairs(), self.columns, column).start))
    }
}

/// What the map's mouse position means, on either level.
pub fn map_hit(state: &State, x: u16, y: u16) -> Option<(usize, usize, usize)> {
    let shape = state.model.as_ref()?.shape();
    let main = areas(state).main;
    match state.level {
        Level::Model => grid(state, main, shape).hit(x, y),
        Level::Layer => bands(state, main, shape).hit(x, y, shape).map(|(head, channel)| (state.at.layer, head, channel)),
    }
}

/// The pair chart of the head screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadChart {
    /// The bars.
    pub bars: Rect,
    /// Columns in use, a multiple of the pairs or a fraction of them.
    pub columns: u16,
    /// Rotation pairs.
    pub pairs: usize,
    /// Rows of an energy strip; 0 where there is no room.
    pub energy: u16,
}

/// Columns left of the bars.
pub const HEAD_LABEL: u16 = 8;
/// Rows below the bars without the energies: axis, wavelengths, two rows of mask.
const HEAD_BELOW: u16 = 4;

/// Where the bars of the head screen are.
pub fn head_chart(state: &State, main: Rect, shape: Shape) -> HeadChart {
    let rest = main.height.saturating_sub(2 + HEAD_BELOW);
    let energy = match rest {
        18.. => 3,
        11.. => 2,
        _ => 0,
    };
    let wide = main.width.saturating_sub(HEAD_LABEL + 1);
    let (columns, _) = columns(wide, Shape { kv_heads: 1, ..shape }, state.zoom.min(0));
    let height = rest.saturating_sub(2 * energy + u16::from(energy > 0));
    let bars = Rect { x: main.x + HEAD_LABEL, y: main.y + 2, width: columns.min(wide), height };
    HeadChart { bars, columns: columns.min(wide), pairs: shape.pairs(), energy }
}

impl HeadChart {
    /// Columns of one pair; 1 where several pairs share a column.
    pub fn per_pair(&self) -> u16 {
        (usize::from(self.columns) / self.pairs.max(1)).max(1) as u16
    }

    /// The pairs of a column.
    pub fn pairs_of(&self, column: u16) -> Range<usize> {
        pairs_at(self.pairs, self.columns, column)
    }

    /// The first column of a pair.
    pub fn column_of(&self, pair: usize) -> u16 {
        (pair * usize::from(self.columns) / self.pairs.max(1)) as u16
    }

    /// The pair under a cell of the bars or the rows below them.
    pub fn pair_at(&self, x: u16, y: u16) -> Option<usize> {
        let column = x.checked_sub(self.bars.x).filter(|&column| column < self.columns)?;
        (y >= self.bars.y).then(|| self.pairs_of(column).start)
    }
}

/// The parts of the learn screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learn {
    /// The form, title included.
    pub form: Rect,
    /// How it goes.
    pub progress: Rect,
    /// Importance, curves and verdict.
    pub right: Rect,
}

/// Where things are on the learn screen.
pub fn learn(main: Rect) -> Learn {
    let area = Rect { x: main.x + 1, width: main.width.saturating_sub(2), ..main };
    let left = match main.width {
        PANEL_FROM.. => 40,
        _ => 32,
    };
    let left = Rect { width: left.min(area.width), ..area };
    let rows = (Field::ALL.len() as u16 + 1).min(left.height);
    let form = Rect { height: rows, ..left };
    let gap = u16::from(left.height > rows + 10);
    let progress = Rect { y: form.bottom() + gap, height: left.height - rows - gap.min(left.height - rows), ..left };
    let right = Rect { x: left.right() + 2, width: area.width.saturating_sub(left.width + 2), ..area };
    Learn { form, progress, right }
}

impl Learn {
    /// The field on a row of the form.
    pub fn field_at(&self, x: u16, y: u16) -> Option<Field> {
        let inside = self.form.contains((x, y).into());
        let row = usize::from(y.checked_sub(self.form.y + 1)?);
        Field::ALL.get(row).copied().filter(|_| inside)
    }
}

//! The map: a row per layer, a strip per KV head, fast to slow frequencies from left to right.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::Line;

use crate::model::additions::{LayerKind, Rotation};
use crate::tui::app::shader::Shader;
use crate::tui::app::state::State;
use crate::tui::app::strips::LABEL;
use crate::tui::app::widths::letter;
use crate::tui::color::Role;
use crate::tui::fitting::{best, facts};
use crate::tui::graphics;
use crate::tui::paint::{placeholder, put};
use crate::tui::screen::head;
use crate::tui::screen::map::layout::Grid;
use crate::tui::screen::map::state::Level;
use crate::tui::screen::map::{layer, layout, pixels};
use crate::tui::widget::pane::Pane;
use crate::tui::widget::{Heatmap, meter};

/// Rows below the strips from which on the selected head is drawn there.
const HEAD_ROWS: u16 = 16;

/// Draws the current level.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    match state.screens.map.level {
        Level::Model => {
            all_layers(state, area, buffer);
            layer_bars(state, area, buffer);
        }
        Level::Layer => layer::render(state, area, buffer),
    }
}

/// Breadcrumbs of the selected place.
pub fn crumbs(state: &State) -> Vec<String> {
    match state.screens.map.level {
        Level::Model => vec!["all layers".to_owned()],
        Level::Layer => vec![format!("L{}", state.at.layer), format!("h{}", state.at.head)],
    }
}

/// Draws the map of what decodes now in what is left of a pane of another screen, which has nothing
/// of its own to show there yet.
pub fn at_work(state: &State, pane: &mut Pane<'_>) {
    /// Fewest rows that show anything.
    const LEAST: u16 = 6;
    let Some(model) = &state.model else { return };
    if pane.area.height < LEAST {
        return;
    }
    let label = model.info.mask.as_ref().map_or("dense", |mask| mask.label.as_str());
    let room = usize::from(pane.area.width).saturating_sub(12);
    // The name alone is in the header as well.
    let forms =
        [format!("{label} {}", model.stored(true)), model.stored(true), model.stored(false)];
    pane.title("at work", &best(room, forms));
    let area = pane.area;
    all_layers(state, area, pane.buffer);
    layer_bars(state, area, pane.buffer);
}

/// The share of channels that every layer keeps, right of its strips, where those leave room.
fn layer_bars(state: &State, area: Rect, buffer: &mut Buffer) {
    /// Columns of the figure, and the fewest of a bar.
    const FIGURE: u16 = 6;
    const BAR: u16 = 10;
    let Some(model) = &state.model else { return };
    let shape = model.shape();
    let grid = layout::grid(state, area, shape);
    if grid.heads.len() < shape.kv_heads {
        // The strips have no room either.
        return;
    }
    let last = grid.heads.end.saturating_sub(1);
    let Some(corner) = grid.lines.first().and_then(|line| grid.strip_of(line.start, last)) else {
        return;
    };
    let x = corner.right() + 3;
    let wide = area.right().saturating_sub(x);
    if wide < FIGURE + BAR {
        return;
    }
    let dim = state.theme.style(Role::Dim);
    let head = Rect { x, y: area.y, width: wide, height: 1 };
    put(buffer, head, 0, 0, Line::styled("kept, by layer", dim));
    for layers in &grid.lines {
        let Some(strip) = grid.strip_of(layers.start, last) else { continue };
        let heads = layers.clone().flat_map(|layer| (0..shape.kv_heads).map(move |h| (layer, h)));
        let kept: usize = heads.map(|(layer, head)| model.kept(layer, head)).sum();
        let share = kept as f64 / (layers.len() * shape.kv_heads * shape.head_dim).max(1) as f64;
        let row = Rect { x, y: strip.y + (strip.height - 1) / 2, width: wide, height: 1 };
        let bar = Rect { width: wide - FIGURE, ..row };
        for column in bar.left()..bar.right() {
            buffer[(column, row.y)].set_symbol("─").set_style(state.theme.style(Role::Border));
        }
        meter(share, state.theme.style(Role::Keys), bar, buffer);
        let text = format!("{:>4.0} %", share * 100.0);
        put(buffer, row, wide - FIGURE, 0, Line::styled(text, state.theme.style(Role::Text)));
    }
}

/// Draws the map, and the selected head below it where there is space.
fn all_layers(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(shader) = Shader::of(state) else { return placeholder(state, area, buffer) };
    let grid = layout::grid(state, area, shader.model.shape());
    let picture = pixels::picture(state).filter(|picture| picture.area == grid.area);
    for (line, layers) in grid.lines.iter().enumerate() {
        label(state, &grid, line, area, buffer);
        for head in grid.heads.clone() {
            let Some(strip) = grid.strip_of(layers.start, head) else { continue };
            match picture {
                Some(picture) => graphics::place(picture.id, strip, picture.area, buffer),
                None => draw_strip(state, &shader, &grid, layers.clone(), head, strip, buffer),
            }
            value_width(state, &grid, layers.clone(), head, strip, buffer);
            hand_marks(state, &grid, layers.clone(), head, strip, buffer);
        }
    }
    head_labels(state, &grid, buffer);
    brackets(state, &grid, buffer);
    let below = below(&grid, area);
    axis(state, &grid, Rect { height: below.y - area.y, ..area }, buffer);
    if below.height >= HEAD_ROWS {
        head::view::render(
            state,
            Rect { y: below.y + 1, height: below.height - 1, ..below },
            buffer,
        );
    }
}

/// The part of the area below the strips and their axis.
fn below(grid: &Grid, area: Rect) -> Rect {
    let strips = (grid.lines.len() as u16 * (grid.rows + grid.gap)).saturating_sub(grid.gap);
    let y = (grid.area.y + strips + 1).min(area.bottom());
    let rest = area.bottom() - y;
    // Where there is too little space for the head, the axis stays below its strips.
    Rect { y, height: if rest >= HEAD_ROWS { rest } else { 0 }, ..area }
}

fn draw_strip(
    state: &State,
    shader: &Shader<'_>,
    grid: &Grid,
    layers: Range<usize>,
    head: usize,
    strip: Rect,
    buffer: &mut Buffer,
) {
    let pairs = grid.shape.pairs();
    let layer = layers.start;
    if layers.len() > 1 {
        // One half-pixel per layer: the channels of a pair are pooled.
        let pixel = |x: u16, y: u16| {
            let layer = layer + usize::from(y);
            shader.pool(layer, head, grid.pairs_at(x).flat_map(|pair| [pair, pair + pairs]))
        };
        let [top, bottom] = [layer, layer + 1].map(|layer| shader.is_dropped(layer, head));
        Heatmap::new(&state.theme, pixel).crossed_halves(top, bottom).render(strip, buffer);
        return;
    }
    let pixel = |x: u16, y: u16| {
        let offset = if y < grid.rows { 0 } else { pairs };
        shader.pool(layer, head, grid.pairs_at(x).map(|pair| pair + offset))
    };
    Heatmap::new(&state.theme, pixel).crossed(shader.is_dropped(layer, head)).render(strip, buffer);
}

/// The bits of a head's V in the gap to its right, where a plan has coded widths.
fn value_width(
    state: &State,
    grid: &Grid,
    layers: Range<usize>,
    head: usize,
    strip: Rect,
    buffer: &mut Buffer,
) {
    let Some(model) = state.model.as_ref().filter(|model| model.widths.is_some()) else { return };
    let plan = model.plan();
    let gap = (strip.right(), strip.y);
    if gap.0 < grid.area.right() {
        let letter = letter(layers.map(|layer| plan.v(layer, head)));
        buffer[gap].set_symbol(letter).set_style(state.theme.style(Role::Dim));
    }
}

/// Manual changes of a head: channels set by hand are underlined, and a locked head has a sign in
/// the gap to its right.
fn hand_marks(
    state: &State,
    grid: &Grid,
    layers: Range<usize>,
    head: usize,
    strip: Rect,
    buffer: &mut Buffer,
) {
    let Some(tuning) = &state.screens.tune else { return };
    let (draft, shape) = (tuning.draft(), grid.shape);
    if layers.clone().any(|layer| draft.pinned(shape, layer, head) > 0) {
        let pairs = shape.pairs();
        for x in 0..strip.width {
            for y in 0..strip.height {
                // The last row of a strip's upper half shows the first channels of the pairs, the
                // last row of its lower half the second ones. A single row shows both.
                let halves: &[usize] = match strip.height {
                    1 => &[0, pairs],
                    height if y + 1 == height.div_ceil(2) => &[0],
                    height if y + 1 == height => &[pairs],
                    _ => continue,
                };
                let edited = layers.clone().any(|layer| {
                    let channels = grid
                        .pairs_at(x)
                        .flat_map(|pair| halves.iter().map(move |half| pair + *half));
                    channels
                        .into_iter()
                        .any(|channel| draft.pin(shape, layer, head, channel).is_some())
                });
                if edited {
                    let cell = &mut buffer[(strip.x + x, strip.y + y)];
                    cell.modifier.insert(Modifier::UNDERLINED);
                    // A blank cell has no text colour, so its underline needs one.
                    if cell.symbol() == " " {
                        cell.set_fg(state.theme.color(Role::Bad));
                    }
                }
            }
        }
    }
    let gap = (strip.right(), strip.y);
    if layers.clone().any(|layer| draft.is_locked(shape, layer, head)) && gap.0 < grid.area.right()
    {
        buffer[gap].set_symbol("■").set_style(state.theme.style(Role::Warn));
    }
}

fn label(state: &State, grid: &Grid, line: usize, area: Rect, buffer: &mut Buffer) {
    let layers = &grid.lines[line];
    let y = grid.y_of(line) + (grid.rows - 1) / 2;
    if y >= grid.area.bottom() {
        return;
    }
    let holds = layers.contains(&state.at.layer);
    let shown = if holds { state.at.layer } else { layers.start };
    let style = if holds { state.theme.style(Role::Accent) } else { state.theme.style(Role::Dim) };
    let mark = if holds { "▸" } else { " " };
    let kind = state.model.as_ref().map(|model| model.info.kind(shown)).unwrap_or_default();
    // A layer unlike the others: a window, or no rotation.
    let sign = match kind {
        LayerKind { rotation: Rotation::None, .. } => "n",
        LayerKind { window: Some(_), .. } => "w",
        _ => "",
    };
    put(buffer, area, 0, y - area.y, Line::styled(format!("{mark}L{shown:02}{sign}"), style));
}

fn head_labels(state: &State, grid: &Grid, buffer: &mut Buffer) {
    for head in grid.heads.clone() {
        let x = grid.area.x + (head - grid.heads.start) as u16 * (grid.strip + 1);
        let selected = head == state.at.head;
        let style =
            if selected { state.theme.style(Role::Accent) } else { state.theme.style(Role::Dim) };
        let group = state.model.as_ref().map_or(1, |model| model.group());
        // The query heads that read it where there is space, and no name that is cut.
        let queries = format!("h{head}  q {}–{}", head * group, (head + 1) * group - 1);
        let forms = [queries, format!("h{head}"), head.to_string(), String::new()];
        let text = best(usize::from(grid.strip), forms.into_iter().skip(usize::from(group == 1)));
        let room = Rect { x, width: grid.strip, ..grid.labels };
        put(buffer, room, 0, 0, Line::styled(text, style));
    }
    let hidden = grid.shape.kv_heads - grid.heads.len();
    if hidden > 0 {
        let text = format!("+{hidden}");
        let x = grid.labels.width.saturating_sub(text.len() as u16);
        put(buffer, grid.labels, x, 0, Line::styled(text, state.theme.style(Role::Warn)));
    }
}

/// Brackets in the gaps around the selected strip.
fn brackets(state: &State, grid: &Grid, buffer: &mut Buffer) {
    let Some(strip) = grid.strip_of(state.at.layer, state.at.head) else { return };
    let style = state.theme.style(Role::Accent).add_modifier(Modifier::REVERSED);
    for y in strip.top()..strip.bottom() {
        for (x, symbol) in [(strip.x.checked_sub(1), "["), (Some(strip.right()), "]")] {
            let Some(x) = x.filter(|&x| x < grid.area.right()) else { continue };
            let symbol = if buffer[(x, y)].symbol() == "■" { "■" } else { symbol };
            buffer[(x, y)].set_symbol(symbol).set_style(style);
        }
    }
}

/// The axis below the strips: wavelengths under the selected one.
fn axis(state: &State, grid: &Grid, area: Rect, buffer: &mut Buffer) {
    let y = area.height.saturating_sub(1);
    let mut said = vec![vec!["fast ← frequency → slow".to_owned(), "fast → slow".to_owned()]];
    let layers = grid.layers();
    if layers.len() < grid.shape.layers {
        let shown = format!("{}–{} of {}", layers.start, layers.end - 1, grid.shape.layers);
        said.push(vec![format!("layers {shown}"), format!("L {shown}")]);
    }
    let shared = grid.lines.iter().filter(|line| line.len() > 1).count();
    said.push(match shared {
        0 => vec!["top: channel i, bottom: partner".to_owned(), "top i, bottom partner".to_owned()],
        all if all == grid.lines.len() => {
            vec!["two layers a row, ˣ ₓ one dropped".to_owned(), "two layers a row".to_owned()]
        }
        some => vec![
            format!("{some} rows of two layers, ˣ ₓ one dropped"),
            format!("{some} rows of two layers"),
        ],
    });
    match grid.shape.pairs().div_ceil(usize::from(grid.strip).max(1)) {
        0 | 1 => {}
        fold => said.push(vec![format!("{fold} pairs a column")]),
    }
    let text = facts(&said, usize::from(area.width.saturating_sub(LABEL)));
    put(buffer, area, LABEL, y, Line::styled(text, state.theme.style(Role::Dim)));
}

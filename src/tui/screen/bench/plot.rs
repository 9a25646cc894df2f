//! Loss against bytes or time: one labelled curve per rule.

use std::collections::BTreeMap;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::Line;

use crate::numbers;
use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::tui::paint::{number, put};
use crate::tui::screen::bench::rows::{BenchRow, BenchRows};
use crate::tui::screen::bench::{candidates, layout, pins};
use crate::tui::screen::tune::state::{Against, Plot, PlotPoint};
use crate::tui::widget::pane::Pane;
use crate::tui::widget::{Mark, Scatter};

/// Glyphs of curves, in turn; letters follow. No two curves have the same, so that colour is no
/// more than a help.
pub(super) const GLYPHS: [&str; 64] = [
    "●", "◆", "▲", "■", "+", "×", "○", "◇", "△", "□", "▼", "★", "a", "b", "c", "d", "e", "f", "g",
    "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z",
    "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S",
    "T", "U", "V", "W", "X", "Y", "Z",
];
/// Their colours, in turn.
const ROLES: [Role; 4] = [Role::Text, Role::Accent, Role::Loss, Role::Dim];

/// How the curve at this place looks.
pub(super) fn look(at: usize) -> (&'static str, Role) {
    (GLYPHS[at % GLYPHS.len()], ROLES[at % ROLES.len()])
}

/// The measured rows of one rule.
struct Curve<'a> {
    rule: &'a str,
    /// Number of the row, name, place.
    points: Vec<(u64, &'a str, PlotPoint)>,
}

/// Whether places have about the same x, so that a plot of them would be one stack.
fn is_stack(xs: &[f64]) -> bool {
    let (low, high) =
        xs.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), &x| (low.min(x), high.max(x)));
    xs.len() > 1 && high - low <= high * 0.02
}

/// What the x axis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Across {
    /// Bytes at the target context.
    Bytes,
    /// Time of a step over that of a dense step.
    Time,
    /// The place of the row in the table: all have the same bytes.
    Rows,
}

/// The rows that are measured over the same tokens, by rule in the order of the table.
fn curves<'a>(state: &State, rows: &BenchRows<'a>) -> (Across, Vec<Curve<'a>>) {
    let measured = || rows.rows.iter().filter_map(|row| Some((row, row.figures?)));
    let bytes = |row: &BenchRow<'_>| row.tally.bytes.total() as f64;
    let all: Vec<f64> = measured().map(|(row, _)| bytes(row)).collect();
    let across = match state.screens.bench.against {
        Against::Time => Across::Time,
        Against::Bytes if is_stack(&all) => Across::Rows,
        Against::Bytes => Across::Bytes,
    };
    let mut curves: Vec<Curve<'_>> = Vec::new();
    for (at, (row, figures)) in measured().enumerate() {
        let x = match across {
            Across::Bytes => bytes(row),
            Across::Time => match figures.beside {
                Some(beside) => beside.median,
                None => continue,
            },
            Across::Rows => at as f64,
        };
        let pin = row.pin;
        let point = (pin.id, &*pin.name, PlotPoint { x, y: Some(figures.divergence.kld.mean) });
        match curves.iter_mut().find(|curve| curve.rule == pin.rule) {
            Some(curve) => curve.points.push(point),
            None => curves.push(Curve { rule: &pin.rule, points: vec![point] }),
        }
    }
    for curve in &mut curves {
        curve.points.sort_by(|a, b| a.2.x.total_cmp(&b.2.x));
    }
    (across, curves)
}

/// Draws the plot.
pub(super) fn render(state: &State, rows: &BenchRows<'_>, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let bench = &state.screens.bench;
    let (across, curves) = curves(state, rows);
    let places: Vec<PlotPoint> =
        curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.2)).collect();
    let number_of_rows = places.len();
    // The ranges are those of a plot of Tune.
    let plot = Plot::of(places);
    let points = layout::points(area);
    let x_range = match across {
        Across::Rows => Some((-0.5, number_of_rows as f64 - 0.5)),
        Across::Bytes | Across::Time => plot.x_range(),
    };
    let Some(scatter) = Scatter::of(x_range, plot.y_range(), points) else {
        if let Some(tuning) = &state.screens.tune {
            candidates::render(state, tuning, area, buffer);
        }
        return;
    };
    let what = match across {
        Across::Bytes => "KLD against cache bytes",
        Across::Time => "KLD against time / dense",
        Across::Rows => "KLD by row",
    };
    let same = rows.rows.first().filter(|_| across == Across::Rows);
    let same = same.map(|row| format!("about {} each", numbers::bytes(row.tally.bytes.total())));
    let stacks = stacks(&scatter, &curves);
    let under: usize = stacks.values().map(|rows| rows - 1).sum();
    let under = (under > 0).then(|| {
        format!("{} under another's mark, + beside it", numbers::counted(under, "row", "rows"))
    });
    let parts = same.into_iter().chain(under).chain(plot.below());
    let note = parts.collect::<Vec<_>>().join(" · ");
    Pane::new(Rect { height: 1.min(area.height), ..area }, theme, buffer).title(what, &note);
    let mut marks = Vec::new();
    for (at, curve) in curves.iter().enumerate() {
        let (glyph, role) = look(at);
        for (id, _, place) in &curve.points {
            let is_selected = Some(*id) == bench.selected;
            let weight = if is_selected { Modifier::REVERSED } else { Modifier::empty() };
            let style = theme.style(role).add_modifier(weight);
            marks.push((is_selected, Mark { x: place.x, y: place.y, glyph, style }));
        }
    }
    // No other mark lies on that of the selected row.
    marks.sort_by_key(|(is_selected, _)| *is_selected);
    scatter.render(marks.into_iter().map(|(_, mark)| mark), theme.style(Role::Border), buffer);
    for (cell, rows) in stacks.into_iter().filter(|(_, rows)| *rows > 1) {
        beside(&format!("+{}", rows - 1), cell, 1, points, state, buffer);
    }
    // Plans of several programs are no curve, nor are rows of the same bytes.
    let joined = |curve: &Curve<'_>| across != Across::Rows && curve.rule != pins::NAMED;
    for (at, curve) in curves.iter().enumerate().filter(|(_, curve)| joined(curve)) {
        let line: Vec<(f64, f64)> =
            curve.points.iter().filter_map(|(_, _, place)| Some((place.x, place.y?))).collect();
        scatter.join(&line, "·", theme.style(look(at).1), buffer);
    }
    for curve in curves.iter().filter(|curve| !joined(curve)) {
        curve.points.iter().for_each(|(_, name, place)| {
            if let Some(cell) = scatter.cell(place.x, place.y) {
                beside(name, cell, 2, points, state, buffer);
            }
        });
    }
    axes(state, &scatter, across, points, area, buffer);
    legend(state, &curves, area, buffer);
}

/// How many rows lie in every cell that has a mark.
fn stacks(scatter: &Scatter, curves: &[Curve<'_>]) -> BTreeMap<(u16, u16), usize> {
    let mut stacks = BTreeMap::new();
    for (_, _, place) in curves.iter().flat_map(|curve| &curve.points) {
        if let Some(cell) = scatter.cell(place.x, place.y) {
            *stacks.entry(cell).or_default() += 1;
        }
    }
    stacks
}

/// A text so many columns right of a point or left of it, where it covers nothing.
fn beside(
    text: &str,
    (x, y): (u16, u16),
    after: u16,
    points: Rect,
    state: &State,
    buffer: &mut Buffer,
) {
    let wide = text.chars().count() as u16;
    let right = x + after;
    let left = x.checked_sub(wide + after - 1).filter(|left| *left >= points.x);
    let is_free = |from: u16| {
        from + wide <= points.right() && (from..from + wide).all(|x| buffer[(x, y)].symbol() == " ")
    };
    let place = Some(right).filter(|from| is_free(*from)).or(left.filter(|from| is_free(*from)));
    if let Some(from) = place {
        buffer.set_string(from, y, text, state.theme.style(Role::Dim));
    }
}

fn axes(
    state: &State,
    scatter: &Scatter,
    across: Across,
    points: Rect,
    area: Rect,
    buffer: &mut Buffer,
) {
    let down = |value: f64| number(value as f32);
    let label = |value: f64| match across {
        Across::Bytes => numbers::bytes(value as u64),
        Across::Time => format!("{value:.2}×"),
        // The rows have their names beside their points.
        Across::Rows => String::new(),
    };
    let before = points.x - area.x;
    scatter.labels(before, down, label, state.theme.style(Role::Dim), buffer);
    let style = state.theme.style(Role::Border);
    match across {
        Across::Rows => scatter.lines(style, buffer),
        Across::Bytes | Across::Time => scatter.grid(style, buffer),
    }
}

/// The curves by name in the last row, as many as fit, then how many do not.
fn legend(state: &State, curves: &[Curve<'_>], area: Rect, buffer: &mut Buffer) {
    let (mut x, y) = (0_u16, area.height.saturating_sub(1));
    for (at, curve) in curves.iter().enumerate() {
        let (glyph, role) = look(at);
        let text = match &curve.points[..] {
            // A single point is known by its own name.
            [(_, name, _)] => format!("{glyph} {name}  "),
            _ => format!("{glyph} {}  ", curve.rule),
        };
        let wide = text.chars().count() as u16;
        if x + wide > area.width.saturating_sub(10) && at + 1 < curves.len() {
            let rest = format!("and {} more", curves.len() - at);
            put(buffer, area, x, y, Line::styled(rest, state.theme.style(Role::Dim)));
            return;
        }
        put(buffer, area, x, y, Line::styled(text, state.theme.style(role)));
        x += wide;
    }
}

//! Loss against bytes or time: one labelled curve per rule.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::Line;

use crate::numbers;
use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::tui::paint::{number, put};
use crate::tui::screen::bench::{candidates, layout, pins, view};
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

/// The rows that are measured over the same tokens, by rule in the order of pinning.
fn curves(state: &State) -> Vec<Curve<'_>> {
    let (bench, generation) = (&state.screens.bench, state.run.generation);
    let Some(tuning) = &state.screens.tune else { return Vec::new() };
    let mut curves: Vec<Curve<'_>> = Vec::new();
    for pin in view::shown(state) {
        let Some(figures) = bench.figures(pin, generation) else { continue };
        let tally = tuning.tally(&pin.plan, pin.draft.window, None, state.target_context);
        let x = match bench.against {
            Against::Bytes => tally.bytes.total() as f64,
            Against::Time => figures.b_ms.p50,
        };
        let point = (pin.id, &*pin.name, PlotPoint { x, y: Some(figures.divergence.kld.mean) });
        match curves.iter_mut().find(|curve| curve.rule == pin.rule) {
            Some(curve) => curve.points.push(point),
            None => curves.push(Curve { rule: &pin.rule, points: vec![point] }),
        }
    }
    for curve in &mut curves {
        curve.points.sort_by(|a, b| a.2.x.total_cmp(&b.2.x));
    }
    curves
}

/// Draws the plot.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let bench = &state.screens.bench;
    let what = match bench.against {
        Against::Bytes => "KLD against KV bytes",
        Against::Time => "KLD against TPOT",
    };
    let curves = curves(state);
    let places: Vec<PlotPoint> =
        curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.2)).collect();
    // The ranges are those of a plot of Tune.
    let plot = Plot::of(places);
    let points = layout::points(area);
    let Some(scatter) = Scatter::of(plot.x_range(), plot.y_range(), points) else {
        if let Some(tuning) = &state.screens.tune {
            candidates::render(state, tuning, area, buffer);
        }
        return;
    };
    Pane::new(Rect { height: 1.min(area.height), ..area }, theme, buffer)
        .title(what, &plot.below().unwrap_or_default());
    let mut marks = Vec::new();
    for (at, curve) in curves.iter().enumerate() {
        let (glyph, role) = look(at);
        for (id, _, place) in &curve.points {
            let is_selected = Some(*id) == bench.selected;
            let weight = if is_selected { Modifier::REVERSED } else { Modifier::empty() };
            let style = theme.style(role).add_modifier(weight);
            marks.push(Mark { x: place.x, y: place.y, glyph, style });
        }
    }
    scatter.render(marks, theme.style(Role::Border), buffer);
    // Plans of several programs are no curve.
    for (at, curve) in curves.iter().enumerate().filter(|(_, curve)| curve.rule != pins::NAMED) {
        let line: Vec<(f64, f64)> =
            curve.points.iter().filter_map(|(_, _, place)| Some((place.x, place.y?))).collect();
        scatter.join(&line, "·", theme.style(look(at).1), buffer);
    }
    for curve in curves.iter().filter(|curve| curve.rule == pins::NAMED) {
        curve.points.iter().for_each(|(_, name, place)| {
            named(name, scatter.cell(place.x, place.y), points, state, buffer);
        });
    }
    axes(state, &scatter, points, area, buffer);
    legend(state, &curves, area, buffer);
}

/// The name of a point beside it, where it covers nothing.
fn named(name: &str, at: Option<(u16, u16)>, points: Rect, state: &State, buffer: &mut Buffer) {
    let Some((x, y)) = at else { return };
    let wide = name.chars().count() as u16;
    let right = x + 2;
    let left = x.checked_sub(wide + 1).filter(|left| *left >= points.x);
    let is_free = |from: u16| {
        from + wide <= points.right() && (from..from + wide).all(|x| buffer[(x, y)].symbol() == " ")
    };
    let place = Some(right).filter(|from| is_free(*from)).or(left.filter(|from| is_free(*from)));
    if let Some(from) = place {
        buffer.set_string(from, y, name, state.theme.style(Role::Dim));
    }
}

fn axes(state: &State, scatter: &Scatter, points: Rect, area: Rect, buffer: &mut Buffer) {
    let down = |value: f64| number(value as f32);
    let across = |value: f64| match state.screens.bench.against {
        Against::Bytes => numbers::bytes(value as u64),
        Against::Time => format!("{value:.2} ms"),
    };
    let before = points.x - area.x;
    scatter.labels(before, down, across, state.theme.style(Role::Dim), buffer);
    scatter.grid(state.theme.style(Role::Border), buffer);
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

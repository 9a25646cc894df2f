//! Loss against bytes or time: the points of the sweep as they arrive, what other programs offer by
//! name, the line of what nothing beats, and what is in use, set and saved.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::numbers;
use crate::tui::app::action::Command;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::app::steer;
use crate::tui::color::Role;
use crate::tui::paint::{number, put, ratio, roughly};
use crate::tui::screen::Screen;
use crate::tui::screen::tune::layout;
use crate::tui::screen::tune::state::{
    Against, Base, Goal, Plot, PlotPoint, Point, PointKind, Spot, Sweep, Tuning, front,
};
use crate::tui::widget::pane::Pane;
use crate::tui::widget::{Mark, Scatter};

/// Draws the plot.
pub fn render(state: &State, model: &ModelView, tuning: &Tuning, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let generation = state.run.generation;
    let plot = tuning.plot(model, state.target_context, generation);
    let (done, all) = tuning.sweep.progress();
    let key =
        state.keys.key_of(KeyContext::Screen(Screen::Tune), Command::Sweep).unwrap_or_default();
    let note = match (done, all) {
        _ if let Some(why) = steer::measures_nothing(state) => why.to_owned(),
        (_, 0) => format!("{key} sweeps{}", about(state, Sweep::length(tuning.sources()))),
        (done, all) if tuning.sweep.is_running() => {
            format!("{done} of {all}{} left · {key} stops", about(state, all - done))
        }
        _ if tuning.sweep.is_stale(generation) => {
            format!("{done} points of an earlier run · {}", tuning.sweep.rule())
        }
        _ => format!("{done} points · {}", tuning.sweep.rule()),
    };
    let note = plot.below().into_iter().chain([note]).collect::<Vec<_>>().join(" · ");
    let what = match tuning.against {
        Against::Bytes => "KLD against cache bytes",
        Against::Time => "KLD against time / dense",
    };
    Pane::new(Rect { height: 1.min(area.height), ..area }, theme, buffer).title(what, &note);
    let points = layout::plot_points(area);
    // Axes without a point would be made up.
    let scatter = Scatter::of(plot.x_range(), plot.y_range(), points)
        .filter(|_| !plot.spots.is_empty() || is_drawn(plot.now) || is_drawn(plot.saved));
    let last = Rect { y: area.bottom().saturating_sub(1), height: 1.min(area.height), ..area };
    let Some(scatter) = scatter else {
        let line = Line::styled("points come with what is measured", theme.style(Role::Dim));
        let left = area.width.saturating_sub(line.width() as u16) / 2;
        put(buffer, area, left, area.height / 2, line);
        put(buffer, last, 0, 0, readout(state, tuning, &plot, last.width));
        return;
    };
    let best = front(plot.spots.iter().map(|spot| spot.place));
    scatter.render(marks(state, tuning, &plot, &best), theme.style(Role::Border), buffer);
    scatter.join(&best, "·", theme.style(Role::Dim), buffer);
    names(state, tuning, &scatter, &plot, points, buffer);
    labels(state, tuning, &scatter, points, area, buffer);
    put(buffer, last, 0, 0, readout(state, tuning, &plot, last.width));
}

/// About how long so many points take, where that is known.
fn about(state: &State, points: usize) -> String {
    let seconds = state.run.pairs.trial_seconds().map(|seconds| seconds * points as f64);
    seconds.map_or_else(String::new, |seconds| format!(", about {}", roughly(seconds)))
}

/// The glyph of a point.
fn glyph(kind: PointKind) -> &'static str {
    match kind {
        PointKind::Mask(32) => "×",
        PointKind::Mask(_) | PointKind::Own => "+",
        PointKind::Plan => "◇",
        PointKind::Rival(_) => "▲",
    }
}

/// The role of a point's colour; points of an earlier run are dim.
fn role(kind: PointKind, stale: bool) -> Role {
    match kind {
        _ if stale => Role::Dim,
        PointKind::Mask(32) => Role::Loss,
        PointKind::Mask(_) | PointKind::Own => Role::Text,
        PointKind::Plan => Role::Accent,
        PointKind::Rival(_) => Role::Text,
    }
}

fn marks(state: &State, tuning: &Tuning, plot: &Plot, best: &[(f64, f64)]) -> Vec<Mark> {
    let theme = &state.theme;
    let stale = tuning.sweep.is_stale(state.run.generation);
    let mark = |place: PlotPoint, glyph, style| Mark { x: place.x, y: place.y, glyph, style };
    // What nothing beats is bold.
    let spots = plot.spots.iter().map(|spot| {
        let leads = spot.place.y.is_some_and(|y| best.contains(&(spot.place.x, y)));
        let weight = if leads { Modifier::BOLD } else { Modifier::empty() };
        let style = theme.style(role(spot.kind, stale)).add_modifier(weight);
        mark(spot.place, glyph(spot.kind), style)
    });
    let named = [
        (plot.saved, "■", Role::Saved),
        (plot.now, "●", Role::Good),
        (plot.proposed, "○", Role::Warn),
    ];
    let named = named
        .into_iter()
        // What is not measured over these tokens is not drawn: the legend says so.
        .filter_map(|(place, glyph, role)| {
            let place = place.filter(|place| place.y.is_some())?;
            Some(mark(place, glyph, theme.style(role)))
        });
    let cursor = plot.spots.iter().find(|spot| Some(spot.id) == tuning.cursor);
    let cursor = cursor.map(|spot| {
        let style = theme.style(Role::Accent).add_modifier(Modifier::REVERSED);
        mark(spot.place, glyph(spot.kind), style)
    });
    spots.chain(named).chain(cursor).collect()
}

/// Names beside the points that have one, and one for each curve, where they cover nothing.
fn names(
    state: &State,
    tuning: &Tuning,
    scatter: &Scatter,
    plot: &Plot,
    points: Rect,
    buffer: &mut Buffer,
) {
    let stale = tuning.sweep.is_stale(state.run.generation);
    let mut write = |spot: &Spot, name: &str| {
        let style = state.theme.style(role(spot.kind, stale));
        scatter
            .cell(spot.place.x, spot.place.y)
            .and_then(|at| free(at, name.chars().count() as u16, points, buffer))
            .map(|(x, y)| buffer.set_string(x, y, name, style))
            .is_some()
    };
    // Curves first: any of their points will do. Then names, from the least loss on, because the
    // best have the fewest places.
    for (name, own) in [("plan", PointKind::Plan), ("mask", PointKind::Mask(8))] {
        let mut of_curve = plot.spots.iter().filter(|spot| spot.kind == own);
        let _ = of_curve.any(|spot| write(spot, name));
    }
    let mut rivals: Vec<&Spot> = plot.spots.iter().collect();
    rivals.sort_by(|a, b| a.place.y.unwrap_or(0.0).total_cmp(&b.place.y.unwrap_or(0.0)));
    for spot in rivals {
        if let PointKind::Rival(name) = spot.kind {
            // The short form of the rotation, where the whole name has no place.
            let _ = write(spot, name) || write(spot, &name.replace("-hadamard", "+H"));
        }
    }
}

/// A place for a name of this many columns beside a point, where it covers nothing: right, left,
/// then the rows above and below.
fn free(at: (u16, u16), width: u16, points: Rect, buffer: &Buffer) -> Option<(u16, u16)> {
    let (x, y) = at;
    let (right, left) = (x + 1, x.checked_sub(width));
    let rows = [y.checked_sub(1), y.checked_add(1)];
    let beside = [Some((right, y)), left.map(|left| (left, y))];
    let around = rows.into_iter().flatten().flat_map(|row| {
        [Some((right, row)), left.map(|left| (left, row)), Some((x.saturating_sub(width / 2), row))]
    });
    let is_free = |&(x, y): &(u16, u16)| {
        let inside = x >= points.x
            && x + width <= points.right()
            && (points.y..points.bottom()).contains(&y);
        // A column beside the name stays free, so that it does not run into another.
        let gap = x.saturating_sub(1).max(points.x)..(x + width + 1).min(points.right());
        let blank = |x: u16| buffer[(x, y)].symbol() == " ";
        let own = |x: u16| (x, y) == at;
        inside
            && (x..x + width).all(blank)
            && gap.into_iter().all(|x| {
                blank(x) || own(x) || !buffer[(x, y)].symbol().chars().all(char::is_alphanumeric)
            })
    };
    beside.into_iter().chain(around).flatten().find(is_free)
}

/// Whether a point has a place: it is measured over the tokens of the others.
fn is_drawn(place: Option<PlotPoint>) -> bool {
    place.is_some_and(|place| place.y.is_some())
}

/// A value of the x axis.
fn across(against: Against, value: f64) -> String {
    match against {
        Against::Bytes => numbers::bytes(value as u64),
        Against::Time => format!("{value:.2}×"),
    }
}

fn labels(
    state: &State,
    tuning: &Tuning,
    scatter: &Scatter,
    points: Rect,
    area: Rect,
    buffer: &mut Buffer,
) {
    let down = |value: f64| number(value as f32);
    let across = |value: f64| across(tuning.against, value);
    let before = points.x - area.x;
    scatter.labels(before, down, across, state.theme.style(Role::Dim), buffer);
    scatter.grid(state.theme.style(Role::Border), buffer);
}

/// The values of the point under the cursor, or a legend of the signs. What does not fit is left
/// out from the end.
fn readout(state: &State, tuning: &Tuning, plot: &Plot, width: u16) -> Line<'static> {
    let theme = &state.theme;
    let mut room = usize::from(width);
    let mut fits = |text: &str| {
        let wide = text.chars().count();
        let fits = wide <= room;
        room = if fits { room - wide } else { 0 };
        fits
    };
    let chosen = tuning.sweep.measured().find(|(point, _)| Some(point.id) == tuning.cursor);
    if let Some((point, measured)) = chosen {
        let bytes =
            tuning.tally(&point.plan, point.draft.window, None, state.target_context).bytes.total();
        let kld = measured.divergence.kld;
        let facts = [
            format!("{} {}", state.key_on(Screen::Tune, Command::Open), what(point)),
            format!(" · KLD {}", number(kld.mean as f32)),
            format!(" · {}", numbers::bytes(bytes)),
            measured
                .beside
                .map_or_else(String::new, |beside| format!(" · time / dense {}", ratio(&beside))),
            format!(" · ±{} KLD", number(kld.stderr as f32)),
        ];
        let text: String = facts.into_iter().filter(|fact| fits(fact)).collect();
        return Line::styled(text, theme.style(Role::Accent));
    }
    let has = |kind: fn(PointKind) -> bool| plot.spots.iter().any(|spot| kind(spot.kind));
    let signs = [
        (is_drawn(plot.now), "● now", Role::Good),
        // The table above is over the newest tokens, the points over those of the sweep.
        (plot.over_others, "now: over other tokens", Role::Dim),
        (!is_drawn(plot.now) && !plot.over_others, "now: not measured", Role::Dim),
        (plot.proposed.is_some(), "set: not measured", Role::Dim),
        (is_drawn(plot.saved), "■ saved", Role::Saved),
        (plot.saved_over_others, "saved: over other tokens", Role::Dim),
        (!is_drawn(plot.saved) && !plot.saved_over_others, "saved: not measured", Role::Dim),
        (has(|kind| kind == PointKind::Mask(8)), "+ mask", Role::Text),
        (has(|kind| kind == PointKind::Mask(32)), "× of 32", Role::Loss),
        (has(|kind| kind == PointKind::Plan), "◇ plan", Role::Accent),
        (has(|kind| matches!(kind, PointKind::Rival(_))), "▲ named", Role::Text),
        (!plot.spots.is_empty(), "· best", Role::Dim),
    ];
    let mut spans: Vec<Span<'static>> = Vec::new();
    let mut was_words = false;
    for (_, text, role) in signs.into_iter().filter(|(shown, ..)| *shown) {
        // Words need more than a blank between them.
        let is_words = text.contains(':');
        let gap = match spans.is_empty() {
            true => "",
            false if is_words || was_words => " · ",
            false => " ",
        };
        if !fits(&format!("{gap}{text}")) {
            continue;
        }
        spans.push(Span::styled(gap, theme.style(Role::Dim)));
        spans.push(Span::styled(text, theme.style(role)));
        was_words = is_words;
    }
    Line::from(spans)
}

/// What a point is, in words.
fn what(point: &Point) -> String {
    match (point.kind, point.draft.goal) {
        (PointKind::Rival(name), _) => name.to_owned(),
        _ if point.draft.base != Base::Selection => "as it was".to_owned(),
        (_, Goal::Keep(keep)) => {
            format!("keep {:.0} % align {}", f64::from(keep) / 10.0, point.draft.align)
        }
        (_, Goal::Fit { bytes, .. }) => format!("fit {}", numbers::bytes(bytes)),
        (_, Goal::Bytes(share)) => format!("plan {:.0} %", f64::from(share) / 10.0),
    }
}

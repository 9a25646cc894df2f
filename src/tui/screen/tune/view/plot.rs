//! Loss against bytes or time: the points of the sweep as they arrive, and the masks in use, set
//! and saved.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::numbers;
use crate::tui::app::action::Command;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::tui::paint::{number, put};
use crate::tui::screen::Screen;
use crate::tui::screen::tune::layout;
use crate::tui::screen::tune::state::{Against, Base, Goal, Plot, PlotPoint, Tuning};
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
        (_, 0) => format!("{key} sweeps"),
        (done, all) if tuning.sweep.is_running() => format!("{done} of {all} · {key} stops"),
        _ if tuning.sweep.is_stale(generation) => format!("{done} points of an earlier run"),
        _ => format!("{done} points measured"),
    };
    let what = match tuning.against {
        Against::Bytes => "KLD against KV bytes",
        Against::Time => "KLD against TPOT",
    };
    Pane::new(Rect { height: 1.min(area.height), ..area }, theme, buffer).title(what, &note);
    let points = layout::plot_points(area);
    let Some(scatter) = Scatter::of(plot.x_range(), plot.y_range(), points) else {
        put(
            buffer,
            area,
            2,
            2,
            Line::styled("points come with what is measured", theme.style(Role::Dim)),
        );
        return;
    };
    scatter.render(marks(state, tuning, &plot), theme.style(Role::Border), buffer);
    labels(state, tuning, &scatter, &plot, points, area, buffer);
    let last = Rect { y: area.bottom().saturating_sub(1), height: 1.min(area.height), ..area };
    put(buffer, last, 0, 0, readout(state, tuning, &plot));
}

/// The glyph of an alignment.
fn glyph(align: usize) -> &'static str {
    if align == 32 { "×" } else { "+" }
}

fn marks(state: &State, tuning: &Tuning, plot: &Plot) -> Vec<Mark> {
    let theme = &state.theme;
    let stale = tuning.sweep.is_stale(state.run.generation);
    let mark = |place: PlotPoint, glyph, style| Mark { x: place.x, y: place.y, glyph, style };
    let spot_role = |align| match align {
        _ if stale => Role::Dim,
        32 => Role::Second,
        _ => Role::First,
    };
    let spots = plot
        .spots
        .iter()
        .map(|spot| mark(spot.place, glyph(spot.align), theme.style(spot_role(spot.align))));
    let named = [
        (plot.saved, "■", Role::Third),
        (plot.now, "●", Role::Good),
        (plot.proposed, "○", Role::Warn),
    ];
    let named = named
        .into_iter()
        .filter_map(|(place, glyph, role)| Some(mark(place?, glyph, theme.style(role))));
    let cursor = plot.spots.iter().find(|spot| Some(spot.id) == tuning.cursor);
    let cursor = cursor.map(|spot| {
        let style = theme.style(Role::Accent).add_modifier(Modifier::REVERSED);
        mark(spot.place, glyph(spot.align), style)
    });
    spots.chain(named).chain(cursor).collect()
}

/// A value of the x axis.
fn across(against: Against, value: f64) -> String {
    match against {
        Against::Bytes => numbers::bytes(value as u64),
        Against::Time => format!("{value:.2} ms"),
    }
}

fn labels(
    state: &State,
    tuning: &Tuning,
    scatter: &Scatter,
    plot: &Plot,
    points: Rect,
    area: Rect,
    buffer: &mut Buffer,
) {
    let dim = state.theme.style(Role::Dim);
    for (share, y) in [
        (1.0, points.y),
        (0.5, points.y + (points.height - 1) / 2),
        (0.0, points.bottom().saturating_sub(1)),
    ] {
        if share == 0.5 && points.height.is_multiple_of(2) {
            // There is no row exactly in the middle.
            continue;
        }
        let text = format!("{:>7}", number(scatter.y_at(share) as f32));
        put(buffer, area, 0, y - area.y, Line::styled(text, dim));
    }
    if let Some((low, high)) = plot.x_range() {
        let y = points.bottom() + 1 - area.y;
        let high = across(tuning.against, high);
        put(buffer, area, points.x - area.x, y, Line::styled(across(tuning.against, low), dim));
        put(
            buffer,
            area,
            area.width.saturating_sub(high.chars().count() as u16),
            y,
            Line::styled(high, dim),
        );
    }
}

/// The values of the point under the cursor, or a legend of the signs.
fn readout(state: &State, tuning: &Tuning, plot: &Plot) -> Line<'static> {
    let theme = &state.theme;
    let chosen = tuning.sweep.measured().find(|(point, _)| Some(point.id) == tuning.cursor);
    if let Some((point, measured)) = chosen {
        let bytes =
            tuning.tally(&point.plan, point.draft.window, None, state.target_context).bytes.total();
        let kld = measured.divergence.kld;
        let text = format!(
            "⏎ {} align {} · KLD {} ±{} · {} · {:.2} ms",
            match point.draft.goal {
                _ if point.draft.base != Base::Selection => "as it was,".to_owned(),
                Goal::Keep(keep) => format!("keep {:.0} %", f64::from(keep) / 10.0),
                Goal::Fit { bytes, .. } => format!("fit {}", numbers::bytes(bytes)),
            },
            point.draft.align,
            number(kld.mean as f32),
            number(kld.stderr as f32),
            numbers::bytes(bytes),
            measured.b_ms.p50
        );
        return Line::styled(text, theme.style(Role::Accent));
    }
    let span = |text: &'static str, role| Span::styled(text, theme.style(role));
    let mut spans = vec![span("● now ", Role::Good), span("■ saved ", Role::Third)];
    if plot.proposed.is_some() {
        spans.insert(1, span("○ proposed ", Role::Warn));
    }
    if !plot.spots.is_empty() {
        spans.extend([span("+ align 8 ", Role::First), span("× align 32", Role::Second)]);
    }
    Line::from(spans)
}

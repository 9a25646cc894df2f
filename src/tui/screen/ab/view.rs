//! Dense against masked: two texts side by side, their divergence at every token, and what one step
//! lost.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::decode::comparison::Mode;
use crate::numbers::{self, rate};
use crate::tui::app::model::ModelView;
use crate::tui::app::pairs::ComparedSide;
use crate::tui::app::state::State;
use crate::tui::app::text_lines;
use crate::tui::app::text_lines::wrap;
use crate::tui::color::Role;
use crate::tui::fitting::best;
use crate::tui::paint::{placeholder, put};
use crate::tui::screen::ab::update::at;
use crate::tui::screen::ab::{figures, layout, lost};
use crate::tui::widget::pane::Pane;

/// Draws the screen.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(model) = &state.model else { return placeholder(state, area, buffer) };
    if model.info.solo {
        return solo(state, area, buffer);
    }
    if state.run.pairs.is_empty() {
        return placeholder(state, area, buffer);
    }
    let areas = layout::ab(state, area);
    put(buffer, areas.mode, 0, 0, mode_line(state, areas.mode.width));
    let [left, right] = if state.screens.ab.swapped {
        [ComparedSide::B, ComparedSide::A]
    } else {
        [ComparedSide::A, ComparedSide::B]
    };
    side(state, model, left, areas.left, buffer);
    side(state, model, right, areas.right, buffer);
    put(buffer, areas.figures, 0, 0, figures::line(state, areas.figures.width));
    figures::strip(state, areas.strip, areas.marks, buffer);
    if areas.top.height > 0 {
        figures::likeliest(state, areas.top, buffer);
        lost::render(state, model, areas.lost, buffer);
    }
}

/// The side that runs alone: why there is no other, and its text, bytes and speed.
fn solo(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(model) = &state.model else { return };
    let inner = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let mut pane = Pane::new(inner, &state.theme, buffer);
    pane.title("A dense", "not there");
    let why = "The cache runs alone (--solo), which keeps the process small: there is no dense side to compare with. Start without --solo to see both.";
    let style = state.theme.style(Role::Dim);
    for line in wrap(std::iter::once((why, style)), usize::from(inner.width), 4_000) {
        pane.line(line);
    }
    let mut facts = vec![numbers::bytes(state.run.kv.total() as u64)];
    if let Some(now) = state.run.rate() {
        facts.extend([rate(now), format!("{:.2} ms", 1e3 / now)]);
    }
    pane.title(&format!("B {}", model.stored(true)), &facts.join(" · "));
    let (width, rows) = (usize::from(pane.area.width), usize::from(pane.area.height));
    for line in text_lines::tail(state, width, rows) {
        pane.line(line);
    }
}

/// How both sides are fed, and from which token on the figures count.
fn mode_line(state: &State, width: u16) -> Line<'static> {
    let theme = &state.theme;
    let (name, about) = match state.feed() {
        Mode::Forced => (
            "forced",
            [
                "both read A's tokens; ‹› B's own choice where it differs",
                "both read A's tokens; ‹› B would choose otherwise",
            ],
        ),
        Mode::Free => ("free", ["each reads its own; ‹› where the texts part"; 2]),
    };
    let how = state.run.sampling().map(|sampling| match sampling.temperature {
        0.0 => " · greedy".to_owned(),
        t => format!(" · temperature {t:.1}, seed {}", sampling.seed),
    });
    let how = how.unwrap_or_default();
    let room = usize::from(width).saturating_sub(name.len() + 1);
    let [long, short] = about;
    let about = best(room, [format!("{long}{how}"), format!("{short}{how}"), short.to_owned()]);
    Line::from(vec![
        Span::styled(format!("{name} "), theme.style(Role::Accent)),
        Span::styled(about, theme.style(Role::Dim)),
    ])
}

/// How the bytes of a plan's middle divide by width.
fn by_width(state: &State, model: &ModelView, side: ComparedSide) -> Option<String> {
    let widths = model.widths.as_ref().filter(|_| side == ComparedSide::B)?;
    let kv = state.run.kv;
    (kv.middle_k + kv.middle_v > 0).then(|| {
        format!("K {} │ V {}", widths.divided(0, kv.middle_k), widths.divided(1, kv.middle_v))
    })
}

/// One side: its bytes, its speed alone once that was timed, its text.
fn side(state: &State, model: &ModelView, side: ComparedSide, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let pairs = &state.run.pairs;
    let mut pane = Pane::new(area, theme, buffer);
    let name = match side {
        ComparedSide::A => "A dense".to_owned(),
        ComparedSide::B => format!("B {}", model.stored(true)),
    };
    let mut facts = Vec::new();
    if let Some(told) = pairs.kv(side) {
        let dense = pairs.kv(ComparedSide::A).unwrap_or(told);
        // B's cache may have been rebuilt since its last token.
        let kv = if side == ComparedSide::B { state.run.kv.total() } else { told };
        facts.push(match side {
            ComparedSide::B if kv < dense => {
                format!(
                    "{} −{:.0} %",
                    numbers::bytes(kv as u64),
                    100.0 * (1.0 - kv as f64 / dense as f64)
                )
            }
            _ => numbers::bytes(kv as u64),
        });
    }
    // Side by side one has the other's data out of the processor's caches, and the machine's load
    // changes: times are compared where each side had the machine to itself.
    if let Some(timed) = &pairs.timed {
        let ms = match side {
            ComparedSide::A => timed.a_ms.p50,
            ComparedSide::B => timed.b_ms.p50,
        };
        facts.push(format!("alone {ms:.2} ms"));
        facts.push(rate(1e3 / ms.max(1e-9)));
    }
    facts.extend(by_width(state, model, side));
    // The title takes the facts that fit, the most important first.
    let mut room = usize::from(area.width).saturating_sub(name.chars().count() + 2);
    facts.retain(|fact| {
        let fits = fact.chars().count() + 3 <= room;
        room = if fits { room - fact.chars().count() - 3 } else { 0 };
        fits
    });
    pane.title(&name, &facts.join(" · "));
    let (inner, cursor) = (pane.area, at(state));
    for word in layout::words(state, side, inner) {
        let mut style = match (word.parts, side) {
            (true, _) => theme.style(Role::Warn).add_modifier(Modifier::BOLD),
            (false, ComparedSide::A) => theme.style(Role::Text),
            (false, ComparedSide::B) if pairs.is_of_another(word.n) => theme.style(Role::Dim),
            (false, ComparedSide::B) => theme.style(Role::Text),
        };
        if word.asked {
            style = theme.style(Role::Accent);
        } else if word.n == cursor {
            style = style.add_modifier(Modifier::REVERSED);
        }
        put(pane.buffer, inner, word.at.1, word.at.0, Line::styled(word.text, style));
    }
}

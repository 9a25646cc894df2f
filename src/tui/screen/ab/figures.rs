//! Divergence: in figures, per step, and the likeliest tokens at the cursor.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::decode::comparison::Mode;
use crate::numbers::{count, nats, signed};
use crate::spread::p99_name;
use crate::tui::app::action::Command;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::pairs::{ComparedSide, voice, weak_steps};
use crate::tui::app::state::State;
use crate::tui::app::suffered;
use crate::tui::app::text_lines::visible;
use crate::tui::color::Role;
use crate::tui::fitting::{best, fitted};
use crate::tui::paint::put;
use crate::tui::screen::ab::layout::{column_of, columns_of};
use crate::tui::screen::ab::lost;
use crate::tui::screen::ab::update::at;
use crate::tui::widget::pane::Pane;
use crate::tui::widget::{Bar, columns};

/// Lower end of the scale of the strip, a divergence in nats.
const LOW: f64 = 1e-5;
/// Upper end of the scale, in nats.
const HIGH: f64 = 1.0;

/// Mean, spread and agreement since the current mask came into use, in nats. What does not fit is
/// left out from the end.
pub fn line(state: &State, width: u16) -> Line<'static> {
    let theme = &state.theme;
    let pairs = &state.run.pairs;
    let divergence = pairs.divergence();
    if divergence.steps == 0 {
        let why = match (pairs.since, state.is_over()) {
            (0, false) => {
                "the first token comes from the exact prefill; divergence comes with the next"
                    .to_owned()
            }
            (0, true) => "no step is compared: the run is over".to_owned(),
            (_, false) => "just retuned: divergence comes with the next token".to_owned(),
            (_, true) => format!(
                "no step under this mask: the run is over; {} goes back, Tune measures it",
                state.key(Command::StepBack)
            ),
        };
        return Line::styled(why, theme.style(Role::Dim));
    }
    let kld = &divergence.kld;
    let mut facts = vec![
        match divergence.steps {
            1 => format!("KLD {}", nats(kld.mean)),
            _ => format!("KLD {} ±{}", nats(kld.mean), nats(kld.stderr)),
        },
        format!("p50 {}", nats(kld.p50)),
        match p99_name(divergence.steps) {
            "max" => String::new(),
            name => format!("{name} {}", nats(kld.p99)),
        },
        format!("max {}", nats(kld.max)),
        format!("same top {:.1} %", divergence.top1_agreement * 100.0),
        format!("Δ log p {}", signed(divergence.mean_delta_logprob, 4)),
        format!("{} step{}", count(divergence.steps), if divergence.steps == 1 { "" } else { "s" }),
    ];
    if let Some(first) = pairs.first_parting(state.feed()) {
        facts.push(format!("texts part at token {first}"));
    }
    facts.retain(|fact| !fact.is_empty());
    facts.push(format!("RMS Δp {:.2} %", divergence.rms_delta_p * 100.0));
    if let Some(weak) = weak_steps(state, divergence.steps) {
        facts.insert(1, weak);
    }
    if let Some(timed) = &pairs.timed {
        let (a, b) = (timed.a_ms.p50, timed.b_ms.p50);
        facts.insert(1, format!("alone A {a:.2} B {b:.2} ms = {:.2}×", a / b));
    }
    let mut spans = Vec::new();
    let mut used = 0;
    for (index, fact) in facts.into_iter().enumerate() {
        let wide = fact.chars().count() + if index > 0 { 2 } else { 0 };
        if used + wide > usize::from(width) {
            break;
        }
        used += wide;
        let style = theme.style(if index == 0 { Role::Title } else { Role::Text });
        if index > 0 {
            spans.push(Span::raw("  "));
        }
        spans.push(Span::styled(fact, style));
    }
    Line::from(spans)
}

/// Divergence of every step on a logarithmic scale. Where steps share a column, the largest is
/// shown. The cursor and the changes of the mask are below.
pub fn strip(state: &State, area: Rect, marks: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let pairs = &state.run.pairs;
    let all = pairs.len();
    let shown = (all.min(usize::from(area.width))) as u16;
    columns(Rect { width: shown, ..area }, buffer, |x| {
        let steps =
            columns_of(all, area.width, x).filter_map(|n| Some((n, pairs.get(n)?.divergence?)));
        let (n, worst) = steps.max_by(|a, b| a.1.kld.total_cmp(&b.1.kld))?;
        let share = (worst.kld / LOW).ln() / (HIGH / LOW).ln();
        let role = match (pairs.is_of_another(n), worst.same_top) {
            (true, _) => Role::Border,
            (false, true) => Role::Loss,
            (false, false) => Role::Warn,
        };
        Some(Bar { share: share as f32, style: theme.style(role), shaded: pairs.is_of_another(n) })
    });
    for change in pairs.changes().filter(|&change| change < all) {
        let x = column_of(all, area.width, change + 1);
        put(buffer, marks, x, 0, Line::styled("┊", theme.style(Role::Dim)));
    }
    let cursor = column_of(all, area.width, at(state));
    let legend = Line::styled(
        format!(
            "KLD per token, log: {LOW:.0e} to {HIGH:.0} nat and above · {} lists",
            worst_key(state)
        ),
        theme.style(Role::Dim),
    );
    let width = legend.width() as u16;
    if cursor + width + 4 < area.width {
        put(buffer, marks, area.width - width, 0, legend);
    } else if cursor > width + 2 && pairs.changes().next().is_none() {
        put(buffer, marks, 0, 0, legend);
    }
    put(buffer, marks, cursor, 0, Line::styled("▲", theme.style(Role::Accent)));
}

/// The key that lists the tokens that suffered.
fn worst_key(state: &State) -> String {
    state.keys.key_of(KeyContext::Global, Command::Suffered).unwrap_or_default()
}

/// The likeliest tokens of both sides at the cursor.
pub fn likeliest(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let mut pane = Pane::new(area, theme, buffer);
    let place = place(state);
    let room = usize::from(area.width).saturating_sub("likeliest".len() + 3);
    pane.title("likeliest", &best(room, [format!("at the cursor, {place}"), place]));
    let Some(pair) = state.run.pairs.get(at(state)) else { return };
    let half = pane.area.width / 2;
    let is_of_another = state.run.pairs.is_of_another(at(state));
    let (a, b) = (voice(pair, ComparedSide::A), voice(pair, ComparedSide::B));
    if let Some(row) = pane.take(1) {
        put(pane.buffer, row, 0, 0, Line::styled("A dense", theme.style(Role::Dim)));
        let model = state.model.as_ref();
        let planned = model.is_some_and(|model| model.widths.is_some());
        let name = match planned {
            _ if is_of_another => "B then",
            _ if model.is_some_and(|model| model.plan().is_full()) => "B dense",
            true => "B planned",
            false => "B masked",
        };
        put(pane.buffer, row, half, 0, Line::styled(name, theme.style(Role::Dim)));
    }
    let rows = pane.area.height.saturating_sub(2).min(5);
    let mut has_moved = false;
    for index in 0..usize::from(rows) {
        let Some(row) = pane.take(1) else { break };
        for (voice, other, x) in [(a, b, 0), (b, a, half)] {
            let Some(likely) = voice.and_then(|voice| voice.top.get(index)) else { continue };
            // Tokens that the other side ranks differently are highlighted.
            let moved = other
                .is_some_and(|other| other.top.get(index).map(|top| top.id) != Some(likely.id));
            let role = if moved { Role::Warn } else { Role::Text };
            has_moved |= moved;
            let room = usize::from(half.saturating_sub(8));
            let text = fitted(visible(&likely.text), room);
            let spans = vec![
                Span::styled(format!("{text:<room$}"), theme.style(role)),
                Span::styled(format!(" {:>5.3}", likely.p), theme.style(Role::Dim)),
            ];
            put(pane.buffer, row, x, 0, Line::from(spans));
        }
    }
    match pair.divergence {
        Some(step) => {
            pane.line(Line::from(vec![
                Span::styled("KLD ", theme.style(Role::Dim)),
                Span::styled(nats(step.kld), theme.style(Role::Text)),
                Span::styled("  Δ log p ", theme.style(Role::Dim)),
                Span::styled(signed(step.delta_logprob, 4), theme.style(Role::Text)),
            ]));
        }
        None if at(state) <= 1 => pane.note("the exact prefill gave this one"),
        None if is_of_another => {}
        None if state.feed() == Mode::Free => pane.note("the texts differ: no divergence"),
        None => {}
    }
    if is_of_another && at(state) > 1 {
        let words = [
            "measured then, under another mask or plan",
            "measured under another mask",
            "under another mask",
        ];
        pane.line(Line::styled(
            best(usize::from(area.width), words.map(str::to_owned)),
            theme.style(Role::Warn),
        ));
    }
    let text = |voice: Option<&crate::decode::worker::event::Voice>| {
        voice.map_or("–".to_owned(), |voice| visible(voice.shown()))
    };
    if state.feed() == Mode::Free {
        pane.note(format!("said: A {}  B {}", text(a), text(b)));
    } else {
        pane.note(format!("fed: {}", text(a)));
    }
    if has_moved {
        pane.line(Line::from(vec![
            Span::styled("another rank", theme.style(Role::Warn)),
            Span::styled(" on the other side", theme.style(Role::Dim)),
        ]));
    }
    // The pane beside it lists them where it has nothing else to say.
    if lost::why_nothing(state, at(state)).is_none() {
        worst(state, &mut pane);
    }
}

/// The tokens that suffered most, as far as there are rows.
fn worst(state: &State, pane: &mut Pane<'_>) {
    if pane.area.height < 4 {
        return;
    }
    pane.title("suffered most", &format!("{} lists all", worst_key(state)));
    let theme = &state.theme;
    let all = suffered::ranked(&state.run);
    for &(n, kld) in all.iter().take(usize::from(pane.area.height)) {
        let room = usize::from(pane.area.width).saturating_sub(16);
        pane.line(Line::from(vec![
            Span::styled(format!("{:>7} ", count(n)), theme.style(Role::Dim)),
            Span::styled(format!("{:<7} ", nats(kld)), theme.style(Role::Text)),
            Span::styled(fitted(suffered::choices(state, n), room), theme.style(Role::Dim)),
        ]));
    }
}

/// The position, such as `token 211 of 512`.
pub fn place(state: &State) -> String {
    format!("token {} of {}", count(at(state)), count(state.run.pairs.len()))
}

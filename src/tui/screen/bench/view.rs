//! Draws the bench: the table of rows, and the plot below it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::eval::run::plan_fingerprint;
use crate::numbers;
use crate::spread::{P999, p999_name};
use crate::tui::app::action::Command;
use crate::tui::app::areas;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::state::State;
use crate::tui::app::text_lines::wrap;
use crate::tui::color::Role;
use crate::tui::fitting::fitted;
use crate::tui::paint::{number, placeholder, put};
use crate::tui::screen::Screen;
use crate::tui::screen::bench::layout::BenchAreas;
use crate::tui::screen::bench::state::{BenchColumn, Pinned};
use crate::tui::screen::bench::{candidates, layout, notes, plot};
use crate::tui::screen::tune::state::Tuning;
use crate::tui::widget::pane::Pane;

/// Bytes of a row at the target context.
fn bytes_of(state: &State, pin: &Pinned) -> u64 {
    let tally = |tuning: &Tuning| {
        tuning.tally(&pin.plan, pin.draft.window, None, state.target_context).bytes.total()
    };
    state.screens.tune.as_ref().map_or(0, tally)
}

/// The rows on screen, in order.
pub(super) fn shown(state: &State) -> Vec<&Pinned> {
    state.screens.bench.shown(state.run.generation, |pin| bytes_of(state, pin))
}

/// Their numbers.
pub(super) fn shown_ids(state: &State) -> Vec<u64> {
    shown(state).into_iter().map(|pin| pin.id).collect()
}

/// Mean KLD of a row minus that of the baseline, over the same tokens.
pub(super) fn over_baseline(state: &State, pin: &Pinned) -> Option<f64> {
    let (bench, generation) = (&state.screens.bench, state.run.generation);
    let mean = |pin| Some(bench.figures(pin, generation)?.divergence.kld.mean);
    Some(mean(pin)? - mean(bench.pin(bench.baseline?)?)?)
}

/// The mean score in per cent of this plan's recall tasks at the longest context, where the Eval
/// screen has one.
pub(super) fn recall(state: &State, pin: &Pinned) -> Option<f64> {
    let figures = state.screens.eval.figures.as_ref()?;
    let fingerprint = plan_fingerprint(&pin.plan);
    let mask = figures.run.masks.iter().find(|mask| mask.fingerprint == fingerprint)?;
    let own = figures.averages.iter().filter(|one| one.mask == mask.name && one.suite == "recall");
    own.max_by_key(|one| one.ctx)?.score
}

/// Whether there is a plot below the table.
pub(super) fn shows_plot(state: &State) -> bool {
    areas(state, areas::areas(state).main).plot.is_some()
}

/// The parts of the screen.
pub(super) fn areas(state: &State, area: Rect) -> BenchAreas {
    let pins = state.screens.bench.pins().len();
    let below = state.screens.tune.as_ref().filter(|_| pins > 0);
    let below =
        below.map_or(0, |tuning| below_rows(state, tuning, layout::inside(area).width).len());
    layout::parts(state, area, (pins, below), state.panel.unwrap_or(true))
}

/// The lines below the rows.
fn below_rows(state: &State, tuning: &Tuning, width: u16) -> Vec<Line<'static>> {
    let style = state.theme.style(Role::Dim);
    let width = usize::from(width.saturating_sub(2));
    let notes = notes::notes(state, tuning);
    notes
        .iter()
        .flat_map(|note| wrap(std::iter::once((note.as_str(), style)), width, 4_000))
        .collect()
}

/// Draws the screen.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(tuning) = &state.screens.tune else { return placeholder(state, area, buffer) };
    let parts = areas(state, area);
    table(state, tuning, parts.table, buffer);
    if let Some(area) = parts.plot {
        plot::render(state, area, buffer);
    }
}

fn key(state: &State, command: Command) -> String {
    state.keys.key_of(KeyContext::Screen(Screen::Bench), command).unwrap_or_default()
}

/// A column of the table: title, width, and how soon it goes where there is no room; 0 never goes.
struct Column {
    title: &'static str,
    width: usize,
    goes: u8,
}

const NAME: usize = 0;
/// The first column that is measured.
const FIGURES: usize = 5;
/// The tail of the KLD.
const TAIL: usize = 8;
/// The first column that may have nothing to show.
const OPTIONAL: usize = 10;
/// In the order of the cells of [`cells`].
const COLUMNS: [Column; 14] = [
    Column { title: "name", width: 16, goes: 0 },
    Column { title: "rule", width: 14, goes: 9 },
    Column { title: "bytes", width: 10, goes: 0 },
    Column { title: "K", width: 9, goes: 8 },
    Column { title: "V", width: 9, goes: 8 },
    Column { title: "KLD", width: 8, goes: 0 },
    Column { title: "±", width: 8, goes: 5 },
    Column { title: "median", width: 8, goes: 6 },
    Column { title: P999, width: 8, goes: 4 },
    Column { title: "same top", width: 8, goes: 1 },
    Column { title: "recall", width: 7, goes: 7 },
    Column { title: "ms", width: 7, goes: 3 },
    Column { title: "± ms", width: 6, goes: 5 },
    Column { title: "Δ KLD", width: 9, goes: 2 },
];

/// The titles of all columns.
pub fn titles() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|column| column.title)
}

/// The columns that fit, by their index; `has` tells which have anything to show.
fn columns(width: usize, has: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut chosen: Vec<usize> = (0..COLUMNS.len()).filter(|&at| has(at)).collect();
    let wide = |chosen: &[usize]| chosen.iter().map(|&at| COLUMNS[at].width + 2).sum::<usize>();
    while wide(&chosen) + 2 > width {
        let Some(&last) = chosen.iter().max_by_key(|&&at| COLUMNS[at].goes) else { break };
        if COLUMNS[last].goes == 0 {
            break;
        }
        let goes = COLUMNS[last].goes;
        chosen.retain(|&at| COLUMNS[at].goes != goes);
    }
    chosen
}

/// What a row shows in each column; empty where there is no figure over these tokens.
fn cells(state: &State, tuning: &Tuning, pin: &Pinned) -> [String; 14] {
    let bench = &state.screens.bench;
    let tally = tuning.tally(&pin.plan, pin.draft.window, None, state.target_context);
    let figures = bench.figures(pin, state.run.generation);
    let kld = figures.map(|figures| figures.divergence.kld);
    let shown = |value: Option<f64>| value.map_or(String::new(), |value| number(value as f32));
    let delta = match (over_baseline(state, pin), bench.baseline) {
        (_, Some(id)) if id == pin.id => "baseline".to_owned(),
        (Some(delta), _) if delta >= 0.0 => format!("+{}", number(delta as f32)),
        (Some(delta), _) => format!("-{}", number(-delta as f32)),
        (None, _) => String::new(),
    };
    let unequal = if notes::missing(tuning, pin).is_some() { notes::UNEQUAL } else { "" };
    [
        pin.name.clone(),
        pin.rule.clone(),
        format!("{unequal}{}", numbers::bytes(tally.bytes.total())),
        numbers::bytes(tally.bytes.k),
        numbers::bytes(tally.bytes.v),
        shown(kld.map(|kld| kld.mean)),
        shown(kld.map(|kld| kld.stderr)),
        shown(kld.map(|kld| kld.p50)),
        shown(kld.map(|kld| kld.p999)),
        figures.map_or(String::new(), |figures| {
            numbers::percent(figures.divergence.top1_agreement, 1)
        }),
        recall(state, pin).map_or(String::new(), |score| format!("{score:.1} %")),
        figures.map_or(String::new(), |figures| format!("{:.2}", figures.b_ms.p50)),
        figures.map_or(String::new(), |figures| format!("{:.2}", figures.b_ms.stderr)),
        delta,
    ]
}

fn table(state: &State, tuning: &Tuning, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let bench = &state.screens.bench;
    let mut pane = Pane::new(area, theme, buffer);
    pane.title("bench", &note(state));
    if bench.pins().is_empty() {
        return candidates::keys(state, tuning, &mut pane);
    }
    let rows = shown(state);
    let all: Vec<[String; 14]> = rows.iter().map(|pin| cells(state, tuning, pin)).collect();
    let has = |at: usize| at < OPTIONAL || all.iter().any(|row| !row[at].is_empty());
    let width = usize::from(area.width);
    let chosen = columns(width, has);
    let others: usize =
        chosen.iter().filter(|&&at| at != NAME).map(|&at| COLUMNS[at].width + 2).sum();
    // Names get what the others leave, as far as they need it.
    let longest = all.iter().map(|row| row[NAME].chars().count()).max().unwrap_or(0);
    let room = width.saturating_sub(others + 4).clamp(8, longest.max(COLUMNS[NAME].width));
    let cell = |at: usize, text: &str| match at {
        NAME => format!("{:<room$}", fitted(text.to_owned(), room)),
        1 => format!("  {:<14}", fitted(text.to_owned(), 14)),
        _ => format!("  {text:>0$}", COLUMNS[at].width),
    };
    let steps = bench.steps(state.run.generation).unwrap_or(usize::MAX);
    let title = |at: usize| match at {
        TAIL => p999_name(steps),
        _ => COLUMNS[at].title,
    };
    let titles: String = chosen.iter().map(|&at| cell(at, title(at))).collect();
    pane.line(Line::styled(format!("  {titles}"), theme.style(Role::Dim)));
    let selected = rows.iter().position(|pin| Some(pin.id) == bench.selected);
    let below = below_rows(state, tuning, area.width);
    let first = layout::first_row(area, selected.unwrap_or(0));
    for (pin, row) in rows.iter().zip(&all).skip(first) {
        let Some(line) = pane.take(1) else { break };
        let is_measured = bench.figures(pin, state.run.generation).is_some();
        let filled = chosen.iter().filter(|&&at| is_measured || at < FIGURES);
        let text: String = filled.map(|&at| cell(at, &row[at])).collect();
        let is_used = state.model.as_ref().is_some_and(|model| {
            *model.plan() == pin.plan && model.info.window == pin.draft.window
        });
        let mark = if is_used { "● " } else { "  " };
        // What is not there is said once, and every further column has its mark.
        let missing = match is_measured {
            true => String::new(),
            false => {
                let figures = || chosen.iter().copied().filter(|&at| at >= FIGURES);
                let said = figures().take(2).map(|at| COLUMNS[at].width + 2).sum::<usize>();
                let rest = figures().skip(2).map(|at| cell(at, "–"));
                format!("{:>said$}{}", "not measured", rest.collect::<String>())
            }
        };
        let shown = match Some(pin.id) == bench.selected {
            true => Line::styled(format!("{mark}{text}{missing}"), theme.selected()),
            false => Line::from(vec![
                Span::styled(mark, theme.style(Role::Good)),
                Span::styled(text, theme.style(if is_measured { Role::Text } else { Role::Dim })),
                Span::styled(missing, theme.style(Role::Dim)),
            ]),
        };
        put(pane.buffer, line, 0, 0, shown);
    }
    for line in below {
        if let Some(area) = pane.take(1) {
            put(pane.buffer, area, 2, 0, line);
        }
    }
    if rows.is_empty() {
        pane.note(format!("no row has {} in its name or rule", bench.filter));
    }
}

/// What the figures are over, what is being measured, the order and the filter.
fn note(state: &State) -> String {
    let bench = &state.screens.bench;
    let mut parts = Vec::new();
    if bench.pins().is_empty() {
        parts.push("nothing is pinned yet".to_owned());
    }
    if let Some(typed) = &bench.typing {
        parts.push(format!("filter {typed}▏"));
    } else if !bench.filter.is_empty() {
        parts.push(format!("filter {}", bench.filter));
    }
    if bench.is_running(state.run.generation) {
        let (done, all) = bench.progress(state.run.generation);
        parts.push(format!("{done} of {all} · {} stops", key(state, Command::Sweep)));
    } else if let Some(covered) = bench.covered(state.run.generation) {
        parts.push(format!("over the same {covered}"));
    } else if !bench.pins().is_empty() {
        parts.push(format!("{} measures", key(state, Command::Sweep)));
    }
    if bench.sort != BenchColumn::Pinned || bench.descending {
        let arrow = if bench.descending { "↓" } else { "↑" };
        parts.push(format!("{arrow} {}", bench.sort.name()));
    }
    parts.join(" · ")
}

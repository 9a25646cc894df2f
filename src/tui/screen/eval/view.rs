//! Evaluation: the form, the progress, the heat map of depths and lengths, the tables, and the
//! samples that a mask lost.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::eval::run::{DENSE, Depths};
use crate::numbers::count;
use crate::printable::wrapped;
use crate::tui::app::action::Command;
use crate::tui::app::editing::with_bar;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::side;
use crate::tui::app::state::State;
use crate::tui::color::{Role, Shade};
use crate::tui::fitting::{best, fitted, tail};
use crate::tui::paint::put;
use crate::tui::screen::Screen;
use crate::tui::screen::eval::results::rows;
use crate::tui::screen::eval::state::{EvalField, EvalPart, Evaluation};
use crate::tui::screen::eval::{layout, outline, results};
use crate::tui::widget::pane::Pane;
use crate::tui::widget::{Heatmap, meter};

/// Draws the screen.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let parts = layout::parts(state, area);
    form(state, parts.form, buffer);
    progress(state, parts.progress, buffer);
    let mut pane = Pane::new(parts.right, &state.theme, buffer);
    if state.screens.eval.figures.is_none() {
        pane.title("results", "");
        let forms = match state.screens.eval.runs() {
            true => ["they come with the first samples", "with the first samples"],
            false => ["recall by length and depth, losses on texts", "recall, losses on texts"],
        };
        pane.note(best(usize::from(parts.right.width), forms.map(str::to_owned)));
        outline::render(state, &mut pane);
        return;
    }
    depths(state, &mut pane);
    let lost = state.screens.eval.lost.len();
    // The lost samples get what the table leaves, and at least a third.
    let wanted = rows(&state.screens.eval).len() as u16 + 2;
    let least = if lost > 0 { (pane.area.height / 3).max(4) } else { 2 };
    let height = wanted.min(pane.area.height.saturating_sub(least));
    if let Some(area) = pane.take(height) {
        table(state, area, pane.buffer);
    }
    lost_samples(state, pane.area, pane.buffer);
}

fn key(state: &State, command: Command) -> String {
    state.keys.key_of(KeyContext::Screen(Screen::Eval), command).unwrap_or_default()
}

/// The fields and their values.
fn form(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let eval = &state.screens.eval;
    let mut pane = Pane::new(area, theme, buffer);
    let note = match eval.runs() {
        _ if state.replay => "not in a recording".to_owned(),
        true => format!("{} cancels", key(state, Command::CancelEvaluation)),
        false => format!("{} starts", key(state, Command::Evaluate)),
    };
    pane.title("evaluate", &note);
    let model = state.model.as_ref().map_or("", |model| model.info.name.as_str());
    for field in EvalField::ALL {
        let Some(line) = pane.take(1) else { return };
        let selected = field == eval.field;
        let style = if selected { theme.selected() } else { theme.style(Role::Text) };
        let room = usize::from(area.width).saturating_sub(11);
        let text = match eval.typing.as_ref().filter(|_| selected) {
            Some(input) => with_bar(input, room),
            None if field.is_text() => tail(&eval.form.value_for(field, model), room),
            None => fitted(eval.form.value(field), room),
        };
        let text = format!(" {:<9}{text:<room$} ", field.name());
        put(pane.buffer, line, 0, 0, Line::styled(text, style));
    }
}

/// A duration in minutes and seconds, and in hours where it takes any.
fn time(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours} h {} min", seconds / 60 % 60),
    }
}

/// What the run is doing, and its colour.
fn part_words(eval: &Evaluation) -> (String, Role) {
    match &eval.part {
        EvalPart::Idle => ("progress".to_owned(), Role::Dim),
        EvalPart::Preparing => ("reading texts".to_owned(), Role::Accent),
        EvalPart::Samples(done, all) => {
            (format!("{} of {}", count(*done), count(*all)), Role::Accent)
        }
        EvalPart::Done => ("done".to_owned(), Role::Good),
        EvalPart::Cancelled => ("stopped".to_owned(), Role::Warn),
        EvalPart::Failed(_) => ("failed".to_owned(), Role::Bad),
    }
}

/// Samples done, time left, the control.
fn progress(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let eval = &state.screens.eval;
    let mut pane = Pane::new(area, theme, buffer);
    let (words, role) = part_words(eval);
    if eval.part == EvalPart::Idle {
        pane.title(&words, "");
        pane.note("nothing is evaluated yet");
        side::meanings(state, &meanings_of(state), &mut pane);
        side::tail(state, &mut pane);
        return;
    }
    pane.title(&words, &time(eval.seconds(state.now_ms)));
    if let EvalPart::Failed(sentence) = &eval.part {
        for line in wrapped(sentence, usize::from(area.width)) {
            pane.line(Line::styled(line, theme.style(Role::Bad)));
        }
    }
    if eval.runs()
        && let Some(bar) = pane.take(1)
    {
        for x in bar.x..bar.right() {
            pane.buffer[(x, bar.y)].set_symbol("─").set_style(theme.style(Role::Border));
        }
        meter(eval.share(), theme.style(role), bar, pane.buffer);
        let left = eval.left_seconds(state.now_ms).map_or_else(|| "–".to_owned(), time);
        pane.row("left", left);
    }
    if !eval.newest.is_empty() {
        pane.rows("newest", &eval.newest);
    }
    if let Some(figures) = &eval.figures {
        let control = &figures.control;
        let words = match control.is_zero() {
            true => format!("0 of {} differ", count(control.n)),
            false => format!(
                "{} answers differ, KLD {:e}",
                count(control.differing_answers),
                control.largest_kld
            ),
        };
        pane.row("control", words);
        for flag in figures.run.does_not_fit.iter().chain(&figures.flags) {
            for line in wrapped(flag, usize::from(area.width)) {
                pane.line(Line::styled(line, theme.style(Role::Dim)));
            }
        }
    }
    side::meanings(state, &meanings_of(state), &mut pane);
    side::tail(state, &mut pane);
}

/// The words of the tables of recall.
pub(super) const RECALL_WORDS: [(&str, &str); 4] = [
    ("score", "per cent of the answers that are right; dense decode's is beside it"),
    ("−lost +won", "answers that dense has right and the mask wrong, and the other way round"),
    ("p", "how likely an equally good cache would lose as much by chance; red below .05"),
    (
        "depth",
        "where in the prompt the answer is hidden, in per cent of it; – is a fifth without a sample",
    ),
];

/// The words of the tables on the right, once there are tables: those of the suites that ran.
pub(super) fn meanings_of(state: &State) -> Vec<(&'static str, &'static str)> {
    let Some(figures) = &state.screens.eval.figures else { return Vec::new() };
    let recall = if figures.depths.is_empty() { &[][..] } else { &RECALL_WORDS };
    let control = ("control", "dense beside itself: what differs there is no loss");
    recall.iter().copied().chain([control]).collect()
}

/// Columns of a fifth of the depth, the fewest where there is less room, and columns of the labels
/// before them.
const FIFTH: u16 = 6;
const LEAST_FIFTH: u16 = 4;
const LABELS: u16 = 8;
/// The fifths of the depth, in per cent of the prompt, and where they end.
const FIFTHS: [&str; 5] = ["0–20", "20–40", "40–60", "60–80", "80–100"];
const FIFTHS_SHORT: [&str; 5] = ["–20", "–40", "–60", "–80", "–100"];
/// Fewest rows of the pane that leave one for the depths of the columns.
const DEPTHS_FROM: u16 = 18;
/// Rows of the table and of the lost samples that are worth more than the depths on a small screen.
const BELOW_DEPTHS: u16 = 6;
/// Columns below which the table takes its least forms.
const NARROW: u16 = 40;

/// Scores by length (rows) and depth (columns), dense and every mask.
fn depths(state: &State, pane: &mut Pane<'_>) {
    let Some(figures) = &state.screens.eval.figures else { return };
    if figures.depths.is_empty() {
        return;
    }
    let width = pane.area.width;
    let fifth = FIFTH.min(width.saturating_sub(LABELS) / 5);
    let mut masks: Vec<&str> = Vec::new();
    for one in &figures.depths {
        if !masks.contains(&one.mask.as_str()) {
            masks.push(&one.mask);
        }
    }
    masks.sort_by_key(|mask| *mask != DENSE);
    let mut lengths: Vec<usize> = figures.depths.iter().map(|one| one.ctx).collect();
    lengths.sort_unstable();
    lengths.dedup();
    let strip = 5 * fifth;
    // As many maps beside each other as fit, dense first.
    let fitting = usize::from(width.saturating_sub(LABELS) / (strip + 2)).max(1);
    // Rows without cells say nothing, and the table says what each mask lost.
    let rows = 1 + masks.len().div_ceil(fitting) * (1 + 2 * lengths.len());
    let height = usize::from(pane.area.height);
    let is_short = pane.area.height < DEPTHS_FROM && height < rows + usize::from(BELOW_DEPTHS);
    if fifth < LEAST_FIFTH || is_short {
        return;
    }
    let title = if width < NARROW { "recall by depth" } else { "recall by depth and length" };
    pane.title(title, "0 to 100 %");
    if pane.area.height >= DEPTHS_FROM
        && let Some(line) = pane.take(1)
    {
        let width = usize::from(fifth);
        let fifths = if fifth < FIFTH { FIFTHS_SHORT } else { FIFTHS };
        let strips: String = fifths.iter().map(|fifth| format!("{fifth:^width$}")).collect();
        let before = usize::from(LABELS);
        let shown = masks.len().min(fitting);
        let words = format!("{:>1$} ", "depth %", before - 1);
        let text = format!("{words}{}", vec![strips; shown].join("  "));
        put(pane.buffer, line, 0, 0, Line::styled(text, state.theme.style(Role::Dim)));
    }
    for masks in masks.chunks(fitting) {
        let Some(names) = pane.take(1) else { return };
        for (at, mask) in masks.iter().enumerate() {
            let x = LABELS + at as u16 * (strip + 2);
            let name = Line::styled(
                fitted((*mask).to_owned(), usize::from(strip)),
                state.theme.style(Role::Dim),
            );
            put(pane.buffer, names, x, 0, name);
        }
        for &ctx in &lengths {
            let Some(row) = pane.take(2) else { return };
            let label = Line::styled(format!("{:>7}", count(ctx)), state.theme.style(Role::Dim));
            put(pane.buffer, row, 0, 0, label);
            for (at, mask) in masks.iter().enumerate() {
                let own = figures.depths.iter().find(|one| one.ctx == ctx && one.mask == *mask);
                let x = LABELS + at as u16 * (strip + 2);
                if let Some(own) = own.filter(|_| x + strip <= row.width) {
                    let area = Rect { x: row.x + x, width: strip, ..row };
                    map_row(state, own, area, pane.buffer);
                }
            }
        }
    }
}

/// One length: a row of shades, and below it their numbers.
fn map_row(state: &State, own: &Depths, area: Rect, buffer: &mut Buffer) {
    let columns = (area.width / 5).max(1);
    let pixel = |x: u16, _: u16| match own.fifths[usize::from(x / columns).min(4)] {
        (0, _) => Shade::Absent,
        (_, score) => Shade::Share(score as f32 / 100.0),
    };
    Heatmap::new(&state.theme, pixel).render(Rect { height: 1, ..area }, buffer);
    for (fifth, (n, score)) in own.fifths.iter().enumerate() {
        let width = usize::from(columns);
        let text = if *n == 0 { "–".to_owned() } else { format!("{score:.0}") };
        let line = Line::styled(format!("{text:^width$}"), state.theme.style(Role::Text));
        put(buffer, area, fifth as u16 * columns, 1, line);
    }
}

/// One line per task or text, length and mask.
fn table(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let eval = &state.screens.eval;
    let rows = rows(eval);
    let mut pane = Pane::new(area, theme, buffer);
    let room = usize::from(area.height.saturating_sub(1));
    let start = eval.scroll.min(rows.len().saturating_sub(room));
    let end = (start + room).min(rows.len());
    let note = match rows.len() > room {
        true => format!("{}–{} of {}", start + 1, end, rows.len()),
        false => String::new(),
    };
    let is_narrow = area.width < NARROW;
    let title = if is_narrow { "score, lost, won, p" } else { "score of dense's · lost, won" };
    pane.title(title, &note);
    let masks = eval.figures.as_ref().map_or(0, |figures| figures.run.masks.len());
    let (name_width, ctx_width) = match area.width {
        48.. => (16, 6),
        NARROW.. => (14, 6),
        _ => (7, 4),
    };
    let room = usize::from(area.width).saturating_sub(name_width + ctx_width + 2);
    for row in &rows[start..end] {
        let (name, ctx) = match is_narrow {
            true => (results::short_name(&row.name), results::short_ctx(row.ctx)),
            false => (row.name.clone(), count(row.ctx)),
        };
        let name = fitted(name, name_width);
        let (whole, short) = match masks > 1 {
            true => {
                (format!("{} · {}", row.mask, row.figures), format!("{} · {}", row.short, row.mask))
            }
            false => (row.figures.clone(), row.short.clone()),
        };
        // Where something must be cut, the mask's name comes last.
        let figures = match whole.chars().count() <= room {
            true => whole,
            false if is_narrow => best(room, [short].into_iter().chain(row.least.clone())),
            false => short,
        };
        let text = format!("{name:<name_width$} {ctx:>ctx_width$} {figures}");
        let text = fitted(text, usize::from(area.width));
        pane.line(Line::styled(text, theme.style(row.role)));
    }
}

/// The samples that a mask lost, the selected one with its answers.
fn lost_samples(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let eval = &state.screens.eval;
    let mut pane = Pane::new(area, theme, buffer);
    if eval.lost.is_empty() {
        pane.title("lost samples", "");
        pane.note("none so far");
        return;
    }
    let note = format!("{} opens in A/B", key(state, Command::Open));
    pane.title(&format!("lost samples: {}", count(eval.lost.len())), &note);
    let details = 3.min(pane.area.height.saturating_sub(1));
    let room = usize::from(pane.area.height - details).max(1);
    let start = (eval.picked + 1).saturating_sub(room);
    for (at, lost) in eval.lost.iter().enumerate().skip(start).take(room) {
        let selected = at == eval.picked;
        let style = if selected { theme.selected() } else { theme.style(Role::Text) };
        let sign = if selected { '›' } else { ' ' };
        let text = format!(
            "{sign} {} at {} · sample {} · {}",
            lost.task,
            count(lost.ctx),
            lost.index + 1,
            lost.mask
        );
        let width = usize::from(area.width);
        let text = format!("{:<width$}", fitted(text, width));
        pane.line(Line::from(Span::styled(text, style)));
    }
    let Some(lost) = eval.lost.get(eval.picked) else { return };
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    pane.row("wanted", lost.references.join(", "));
    pane.row("dense", flat(&lost.dense));
    pane.row("mask", flat(&lost.answer));
}

//! The answers: size, fit and speed, which settings fit, and what is assumed.

use ratatui::text::{Line, Span};
use serde_json::Value;

use crate::capacity::{CapacityReport, CapacityRequest, GpuMemory, KvStore, PLAIN, plain};
use crate::numbers::{bytes, count, percent};
use crate::printable::wrapped;
use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::tui::fitting::best;
use crate::tui::paint::{number, put};
use crate::tui::widget::meter;
use crate::tui::widget::pane::Pane;

/// A labelled bar of bytes, relative to the largest.
fn bar(state: &State, pane: &mut Pane<'_>, label: &str, size: u64, whole: u64, role: Role) {
    let Some(area) = pane.take(1) else { return };
    let theme = &state.theme;
    put(pane.buffer, area, 0, 0, Line::styled(format!("{label:<11}"), theme.style(Role::Dim)));
    let share = size as f64 / whole.max(1) as f64;
    let bar =
        ratatui::layout::Rect { x: area.x + 13, width: area.width.saturating_sub(13 + 20), ..area };
    meter(share, theme.style(role), bar, pane.buffer);
    let text = format!("{:>10} {:>8}", bytes(size), percent(share, 1));
    put(
        pane.buffer,
        area,
        area.width.saturating_sub(19),
        0,
        Line::styled(text, theme.style(Role::Text)),
    );
}

/// "15 dense, 27 stored"
fn pair(dense: usize, stored: usize) -> [String; 3] {
    let word = |value| if value == 0 { "none".to_owned() } else { count(value) };
    let (dense, stored) = (word(dense), word(stored));
    [
        format!("{dense} dense, {stored} stored"),
        format!("{dense} → {stored}"),
        format!("{dense}→{stored}"),
    ]
}

/// The times of a step, dense and stored, in few columns: 39→6.6 µs, 120→31 ms, –→21 ms.
pub(super) fn least_step(dense: Option<f64>, stored: Option<f64>) -> String {
    let is_short = [dense, stored].into_iter().flatten().all(|ms| ms < 1.0);
    let (scale, unit) = if is_short { (1e3, "µs") } else { (1.0, "ms") };
    let words = |ms: Option<f64>| match ms.map(|ms| ms * scale) {
        None => "–".to_owned(),
        Some(time) if time < 9.95 => format!("{time:.1}"),
        Some(time) => format!("{time:.0}"),
    };
    format!("{}→{} {unit}", words(dense), words(stored))
}

/// Size, fit and speed.
pub(super) fn answers(state: &State, report: &CapacityReport, pane: &mut Pane<'_>) {
    let Some(row) = report.rows.first() else { return };
    let note = format!("computed · {} × {}", count(row.ctx), count(row.batch));
    let room = usize::from(pane.area.width).saturating_sub(12);
    pane.title("K/V cache", &best(room, [note, "computed".to_owned()]));
    bar(state, pane, "dense", row.kv_bytes_dense, row.kv_bytes_dense, Role::Dim);
    bar(state, pane, "stored", row.kv_bytes, row.kv_bytes_dense, Role::Text);
    for plain in &report.plainer {
        bar(state, pane, plain.cache, plain.kv_bytes, row.kv_bytes_dense, Role::Loss);
    }
    pane.title(&format!("fits {}", row.gpu), "computed");
    let word = |fits: bool| if fits { "yes" } else { "no" };
    let (dense, stored) = (word(row.fits_dense), word(row.fits));
    pane.row_of("this", [format!("dense {dense}, stored {stored}"), format!("{dense} → {stored}")]);
    pane.row_of("sequences", pair(row.max_batch_dense, row.max_batch));
    pane.row_of("context", pair(row.max_ctx_dense, row.max_ctx));
    if let Some(memory) = report.memory.first() {
        let (weights, left) = (bytes(memory.weights as u64), bytes(memory.left().max(0.0) as u64));
        pane.row_of("weights", [format!("{weights}, {left} left for K/V"), weights]);
    }
    pane.title("decode step", row.label.word());
    let ms = |ms: Option<f64>, unit: &str| {
        // Of a small model a step takes less than a tenth of a millisecond.
        let words = |ms: f64| if ms < 1.0 { number(ms as f32) } else { format!("{ms:.1}") };
        ms.map_or_else(|| "does not fit".to_owned(), |ms| format!("{}{unit}", words(ms)))
    };
    let gain = match (row.step_ms_dense, row.step_ms) {
        (Some(dense), Some(stored)) => format!(" ({:.2}×)", dense / stored),
        _ => String::new(),
    };
    let long =
        format!("dense {}, stored {}{gain}", ms(row.step_ms_dense, " ms"), ms(row.step_ms, " ms"));
    let short = format!("{} → {}{gain}", ms(row.step_ms_dense, ""), ms(row.step_ms, " ms"));
    let shorter = format!("{}→{}", ms(row.step_ms_dense, ""), ms(row.step_ms, " ms"));
    let least = least_step(row.step_ms_dense, row.step_ms);
    pane.row_of("a step", [long, short, shorter, least]);
    if let Some(at) = report.crossover.first() {
        let tokens = |ctx: Option<usize>| ctx.map_or_else(|| "beyond".to_owned(), count);
        let short = format!("{} dense, {} stored", tokens(at.dense), tokens(at.stored));
        let long = format!("{short} tokens: K/V weigh as the weights");
        let shorter = format!("{} → {}", tokens(at.dense), tokens(at.stored));
        let least = shorter.replace(' ', "");
        pane.row_of("crossover", [long, short, shorter, least]);
    }
}

/// Which contexts and batches fit.
pub(super) fn grid(state: &State, request: &CapacityRequest, pane: &mut Pane<'_>) {
    if pane.area.height < 6 {
        return;
    }
    let (model, gpu) = (&request.model, &request.gpus[0]);
    let made = KvStore::dense(model, request.dtype)
        .and_then(|dense| Ok((dense, request.stored.store(model, request.dtype, request.window)?)));
    let Ok((dense, stored)) = made else { return };
    let coded = KvStore::plain(model, PLAIN[0]);
    let memory = GpuMemory::of(request, gpu);
    let theme = &state.theme;
    const LEGEND: [&str; 2] = ["● all  ◐ stored and 8-bit", "○ stored  8 8-bit  · none"];
    let title = "context × sequences";
    let whole = LEGEND.join("  ");
    if title.chars().count() + whole.chars().count() + 3 <= usize::from(pane.area.width) {
        pane.title(title, &whole);
    } else {
        pane.title(title, "");
        LEGEND.iter().for_each(|line| pane.note(*line));
    }
    let batches = batches(request.batch[0], usize::from(pane.area.width));
    let head: String = batches.iter().map(|batch| format!("{batch:>5}")).collect();
    pane.note(format!("{:>9}{head}", ""));
    let here = request.ctx[0];
    let contexts = contexts(model.max_context);
    let rows = usize::from(pane.area.height).min(contexts.len());
    let at = contexts.iter().position(|&ctx| ctx >= here).unwrap_or(0);
    let first = at.saturating_sub(rows / 2).min(contexts.len() - rows);
    for &ctx in &contexts[first..first + rows] {
        let mut spans = vec![Span::styled(format!("{:>9}", count(ctx)), theme.style(Role::Dim))];
        for &batch in &batches {
            let fits = |store| batch <= memory.max_batch(store, ctx);
            let (glyph, role) = match (fits(&dense), fits(&stored), fits(&coded)) {
                (true, ..) => ("●", Role::Good),
                (false, true, true) => ("◐", Role::Text),
                (false, true, false) => ("○", Role::Text),
                (false, false, true) => ("8", Role::Loss),
                (false, false, false) => ("·", Role::Neutral),
            };
            let is_here = ctx == here && batch == request.batch[0];
            let style = if is_here { theme.selected() } else { theme.style(role) };
            spans.push(Span::raw("    "));
            spans.push(Span::styled(glyph, style));
        }
        pane.line(Line::from(spans));
    }
}

/// Doubled contexts from 1,024 tokens on, and the model's longest.
fn contexts(longest: usize) -> Vec<usize> {
    let doubled = (10..usize::BITS).map(|power| 1_usize << power);
    doubled.take_while(|&ctx| ctx < longest).chain([longest]).collect()
}

/// As many doubled batches as fit, the given one among them.
fn batches(given: usize, width: usize) -> Vec<usize> {
    let shown = (width.saturating_sub(9) / 5).clamp(1, 9) as u32;
    let last = given.max(1).ilog2().max(shown - 1);
    (last + 1 - shown..=last).map(|power| 1 << power).collect()
}

/// What is assumed, with the flag that changes it.
pub(super) fn assumed(report: &CapacityReport, pane: &mut Pane<'_>) {
    /// Columns of the names.
    const NAME: usize = 16;
    if pane.area.height < 4 {
        return;
    }
    let notes = ["kscope plan --assume NAME=VALUE changes it", "--assume NAME=VALUE"];
    let room = usize::from(pane.area.width).saturating_sub("assumed".len() + 3);
    pane.title("assumed", &best(room, notes.map(str::to_owned)));
    let about = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let value = |row: &Value| {
        let value = row["value"].as_f64().unwrap_or_default();
        format!("{} {}", plain(value), about(row, "unit"))
    };
    let width = usize::from(pane.area.width);
    let rows: Vec<(String, String)> = (report.assumptions.iter())
        .map(|row| {
            let name = format!("{:<NAME$}", about(row, "name"));
            (name, format!("{}: {}", value(row), about(row, "about")))
        })
        .collect();
    let tall: usize =
        rows.iter().map(|(_, words)| wrapped(words, width.saturating_sub(NAME)).len()).sum();
    if tall <= usize::from(pane.area.height) {
        return rows.iter().for_each(|(name, words)| pane.rows(name, words));
    }
    // The values alone, as running text.
    let mut lines = vec![String::new()];
    for row in &report.assumptions {
        let part = format!("{} {}", about(row, "name"), value(row));
        let last = lines.last_mut().expect("there is one");
        match last.is_empty() {
            true => last.push_str(&part),
            false if last.chars().count() + 3 + part.chars().count() <= width => {
                last.push_str(&format!(" · {part}"));
            }
            false => lines.push(part),
        }
    }
    let shown = usize::from(pane.area.height).min(lines.len());
    for (index, line) in lines[..shown].iter().enumerate() {
        let is_cut = index + 1 == shown && shown < lines.len();
        pane.note(if is_cut { format!("{line} · and others") } else { line.clone() });
    }
}

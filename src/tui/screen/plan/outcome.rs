//! The answers: size, fit and speed, cost, and which settings fit.

use ratatui::text::{Line, Span};

use crate::capacity::{CapacityReport, CapacityRequest, GpuMemory, KvStore, PLAIN, Scenario};
use crate::numbers::{bytes, count, percent};
use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::tui::paint::put;
use crate::tui::widget::pane::Pane;
use crate::tui::widget::{Chart, meter};

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

/// "15 → 27"
fn pair(dense: usize, stored: usize) -> String {
    let word = |value| if value == 0 { "none".to_owned() } else { count(value) };
    format!("{} dense, {} stored", word(dense), word(stored))
}

/// Size, fit and speed.
pub(super) fn answers(state: &State, report: &CapacityReport, pane: &mut Pane<'_>) {
    let Some(row) = report.rows.first() else { return };
    pane.title("K/V cache", &format!("computed · {} × {}", count(row.ctx), count(row.batch)));
    bar(state, pane, "dense", row.kv_bytes_dense, row.kv_bytes_dense, Role::Second);
    bar(state, pane, "stored", row.kv_bytes, row.kv_bytes_dense, Role::First);
    for plain in &report.plainer {
        bar(state, pane, plain.cache, plain.kv_bytes, row.kv_bytes_dense, Role::Third);
    }
    pane.title(&format!("fits {}", row.gpu), "computed");
    let word = |fits: bool| if fits { "yes" } else { "no" };
    pane.row("this", format!("dense {}, stored {}", word(row.fits_dense), word(row.fits)));
    pane.row("sequences", pair(row.max_batch_dense, row.max_batch));
    pane.row("context", pair(row.max_ctx_dense, row.max_ctx));
    if let Some(memory) = report.memory.first() {
        let left = bytes(memory.left().max(0.0) as u64);
        pane.row("weights", format!("{}, {left} left for K/V", bytes(memory.weights as u64)));
    }
    pane.title("decode step", row.label.word());
    let ms =
        |ms: Option<f64>| ms.map_or_else(|| "does not fit".to_owned(), |ms| format!("{ms:.1} ms"));
    let gain = match (row.step_ms_dense, row.step_ms) {
        (Some(dense), Some(stored)) => format!(" ({:.2}×)", dense / stored),
        _ => String::new(),
    };
    pane.row(
        "a step",
        format!("dense {}, stored {}{gain}", ms(row.step_ms_dense), ms(row.step_ms)),
    );
    if let Some(at) = report.crossover.first() {
        let tokens = |ctx: Option<usize>| ctx.map_or_else(|| "beyond".to_owned(), count);
        pane.row(
            "K/V = weights",
            format!(" at {} dense, {} stored", tokens(at.dense), tokens(at.stored)),
        );
    }
}

fn usd(usd: f64) -> String {
    match usd.abs() < 100.0 {
        true => format!("${usd:.2}"),
        false => format!("${}", count(usd.abs().round() as usize)),
    }
}

/// What it costs, and what is saved.
pub(super) fn cost(state: &State, report: &CapacityReport, pane: &mut Pane<'_>) {
    let (Some(row), Some(gpu)) = (report.rows.first(), report.gpus.first()) else { return };
    let Some(price) = &gpu.price else {
        pane.title("cost", "");
        return pane.note("no price of this GPU is known");
    };
    pane.title("cost", &format!("estimated · ${:.2}/h of {}", price.usd_per_hour, price.as_of));
    let million = |usd_of: Option<f64>| usd_of.map_or_else(|| "–".to_owned(), usd);
    pane.row(
        "$/M out",
        format!(
            "{} dense, {} stored",
            million(row.usd_per_million_dense),
            million(row.usd_per_million)
        ),
    );
    let serving = |index: usize| report.serving.get(index);
    if let (Some(dense), Some(stored)) =
        (serving(0).filter(|row| row.stored == "dense"), serving(1))
    {
        pane.row("GPUs", pair(dense.gpus, stored.gpus));
    }
    for scenario in &report.scenarios {
        pane.row(scenario.name, words(scenario));
    }
    let Some(mid) = report.scenarios.get(1) else {
        return pane.note("the load cannot be compared here: one side does not fit");
    };
    if pane.area.height >= 12 {
        pane.title("saved so far less the work", "by month, mid scenario");
        if let Some(area) = pane.take(4) {
            let lowest = mid.net.iter().copied().fold(0.0, f64::min);
            let raised: Vec<f64> = mid.net.iter().map(|net| net - lowest).collect();
            Chart::new(&raised, state.theme.style(Role::Good)).render(area, pane.buffer);
        }
        let last = mid.net.last().copied().unwrap_or(0.0);
        let sign = if last < 0.0 { "-" } else { "" };
        pane.note(format!(
            "from -{} to {sign}{} after {} months",
            usd(mid.net[0].abs()),
            usd(last.abs()),
            mid.net.len() - 1
        ));
    }
}

fn words(scenario: &Scenario) -> String {
    let back = match scenario.payback_months {
        Some(months) => format!("paid back after {months:.1} months"),
        None => "never paid back".to_owned(),
    };
    format!(
        "{} → {} GPUs, {} a month, {back}",
        scenario.gpus_dense,
        scenario.gpus,
        usd(scenario.saving_per_month)
    )
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
    let plain = KvStore::plain(model, PLAIN[0]);
    let memory = GpuMemory::of(request, gpu);
    let theme = &state.theme;
    pane.title("context × sequences", "● all  ◐ stored and 8-bit  ○ stored  8 8-bit  · none");
    let batches: Vec<usize> = (0..9).map(|power| 1 << power).collect();
    let head: String = batches.iter().map(|batch| format!("{batch:>5}")).collect();
    pane.note(format!("{:>9}{head}", ""));
    let mut ctx = 1 << 10;
    while ctx <= model.max_context && pane.area.height > 0 {
        let mut spans = vec![Span::styled(format!("{:>9}", count(ctx)), theme.style(Role::Dim))];
        for &batch in &batches {
            let fits = |store| batch <= memory.max_batch(store, ctx);
            let (glyph, role) = match (fits(&dense), fits(&stored), fits(&plain)) {
                (true, ..) => ("●", Role::Good),
                (false, true, true) => ("◐", Role::First),
                (false, true, false) => ("○", Role::First),
                (false, false, true) => ("8", Role::Third),
                (false, false, false) => ("·", Role::Neutral),
            };
            let is_here = ctx == request.ctx[0] && batch == request.batch[0];
            let style = if is_here { theme.selected() } else { theme.style(role) };
            spans.push(Span::raw("    "));
            spans.push(Span::styled(glyph, style));
        }
        pane.line(Line::from(spans));
        ctx *= 2;
    }
}

/// What is assumed, with the flag that changes it.
pub(super) fn assumed(report: &CapacityReport, pane: &mut Pane<'_>) {
    pane.title("assumed", "kscope plan --assume NAME=VALUE changes it");
    for row in &report.assumptions {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        pane.row(
            &format!("{:<16}", text("name")),
            format!("{} {}: {}", row["value"], text("unit"), text("about")),
        );
    }
}

//! Memory and speed. Measured, computed and forecast figures never share a label.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::mask::bytes::attention_bound;
use crate::numbers::{self, count, rate};
use crate::spread::p99_name;
use crate::tui::app::action::Command;
use crate::tui::app::memory::{bar_row, less, memory_now};
use crate::tui::app::model::ModelView;
use crate::tui::app::run::Step;
use crate::tui::app::state::State;
use crate::tui::app::{side, strips};
use crate::tui::color::Role;
use crate::tui::fitting::best;
use crate::tui::paint::{placeholder, put};
use crate::tui::screen::perf::{gauge, layout};
use crate::tui::widget::pane::Pane;
use crate::tui::widget::{BarPart, Chart, stacked};

/// Draws the screen: memory on the left and speed on the right, or one below the other.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(model) = &state.model else { return placeholder(state, area, buffer) };
    let (left, right) = layout::parts(state, area);
    let mut pane = Pane::new(left, &state.theme, buffer);
    memory_now(state, model, &mut pane);
    allocator(state, model, &mut pane);
    forecast(state, model, &mut pane);
    gauge::render(state, model, &mut pane);
    layers(state, model, &mut pane);
    side::tail(state, &mut pane);
    let mut pane = Pane::new(right, &state.theme, buffer);
    speed(state, &mut pane);
    curves(state, &mut pane);
}

/// The allocator's own figure next to the formula of the same moment, and the memory of the
/// process.
fn allocator(state: &State, model: &ModelView, pane: &mut Pane<'_>) {
    let Some(memory) = state.run.memory else {
        pane.title("memory", "measured");
        pane.note(state.awaited("comes with the next decode steps"));
        return;
    };
    // It comes less often than tokens, so that it is of a shorter cache than the one above.
    let room = usize::from(pane.area.width).saturating_sub("memory".len() + 3);
    let at = count(state.run.memory_at);
    let forms = [format!("measured at {at} tokens"), format!("at {at} tokens")];
    pane.title("memory", &best(room, forms));
    let allocated = numbers::bytes(memory.kv_allocated);
    pane.row_of("allocator", [format!("{allocated} of whole blocks"), allocated]);
    if let Some(formula) = memory.kv_stored {
        let stored = numbers::bytes(formula);
        pane.row_of("formula", [format!("{stored} of elements in them"), stored]);
        let over = memory.kv_allocated as f64 / formula.max(1) as f64 - 1.0;
        let over = format!("{} %", numbers::signed(over * 100.0, 1));
        pane.row_of("blocks", [format!("{over} over what is stored"), format!("{over} over it")]);
    }
    if let Some(resident) = memory.resident {
        let resident = numbers::bytes(resident);
        pane.row_of("resident", [format!("{resident} process"), resident]);
    }
    if let Some(device) = memory.device {
        let (used, all) = (numbers::bytes(device.used), numbers::bytes(device.total));
        pane.row_of("GPU", [format!("{used} of {all} in use"), used]);
    }
    let weights = numbers::bytes(model.info.weight_bytes);
    let kinds = model.info.dtype.split(" + ").count();
    let forms = [
        format!("{weights} {}", model.info.dtype),
        format!("{weights}, {kinds} types"),
        weights.clone(),
    ];
    pane.row_of("weights", forms);
}

/// What the formula gives for longer contexts.
fn forecast(state: &State, model: &ModelView, pane: &mut Pane<'_>) {
    let target = state.target_context;
    let (title, note) = match pane.area.width {
        ..40 => ("at context", "computed"),
        _ => ("KV cache at context", "computed, batch 1"),
    };
    pane.title(title, note);
    let (masked, dense) = model.bytes_at(target);
    let most = model.info.max_context;
    let of = format!("{} of {}", count(target), count(most));
    pane.row_of("context", [format!("{of} tokens"), of, count(target)]);
    bar_row(state, pane, "stored", masked, dense.total());
    if model.is_masked() {
        bar_row(state, pane, "dense", dense, dense.total());
        less(state, pane, masked, dense);
        let both = [("K", masked.middle_k, dense.middle_k), ("V", masked.middle_v, dense.middle_v)];
        for (what, now, full) in both {
            let (now, full) = (numbers::bytes(now as u64), numbers::bytes(full as u64));
            pane.row_of(&format!("{what} middle"), [format!("{now} of {full}"), now]);
        }
        // The bound is that of a mask.
        let bound = attention_bound(dense.total() as u64, masked.total() as u64);
        if let Some(bound) = bound.filter(|_| model.widths.is_none()) {
            let forms = [format!("attention ≤ {bound:.2}× as fast"), format!("≤ {bound:.2}×")];
            pane.row_of("bound", forms);
        }
    }
    let window = model.info.window;
    let kept = format!("{}+{}", count(window.sink), count(window.recent));
    pane.row_of("window", [format!("{kept}, chunk {}", count(window.chunk)), kept]);
}

/// K and V bytes of a middle token by layer, where there is space: stored of dense.
fn layers(state: &State, model: &ModelView, pane: &mut Pane<'_>) {
    /// Fewest layers that are worth a title.
    const LEAST: u16 = 3;
    let shape = model.shape();
    if pane.area.height < LEAST + 2 {
        return;
    }
    let rows = usize::from(pane.area.height.saturating_sub(2)).max(1);
    let shown = strips::window(state.at.layer, rows, shape.layers);
    // What has no room is said, with the keys that lead there.
    let note = match shown.len() < shape.layers {
        true => format!(
            "L{}–{} of {}, {} {} · of dense",
            shown.start,
            shown.end - 1,
            shape.layers,
            state.key(Command::NextLayer),
            state.key(Command::PrevLayer)
        ),
        false => "by layer, stored of dense".to_owned(),
    };
    pane.title("bytes of a middle token", &note);
    let shown = strips::window(state.at.layer, usize::from(pane.area.height), shape.layers);
    for layer in shown {
        let mut sums = [0.0; 3];
        for head in 0..shape.kv_heads {
            let ([k, v], dense) = model.head_bytes(layer, head);
            sums = [sums[0] + k, sums[1] + v, sums[2] + (dense.k + dense.v) as f64];
        }
        let Some(area) = pane.take(1) else { return };
        let theme = &state.theme;
        let own = layer == state.at.layer;
        let role = if own { Role::Accent } else { Role::Dim };
        put(pane.buffer, area, 0, 0, Line::styled(format!("L{layer:02}"), theme.style(role)));
        let bar = Rect { x: area.x + 8, width: area.width.saturating_sub(25), ..area };
        let part = |size, glyph, role| BarPart { size, glyph, color: theme.color(role) };
        let [k, v, dense] = sums;
        stacked(&[part(k, "█", Role::Keys), part(v, "▓", Role::Values)], dense, bar, pane.buffer);
        let text = format!("{:>7.0} of {dense:.0}", k + v);
        let width = text.chars().count() as u16;
        let x = area.width.saturating_sub(width);
        put(pane.buffer, area, x, 0, Line::styled(text, theme.style(Role::Text)));
    }
}

fn speed(state: &State, pane: &mut Pane<'_>) {
    let run = &state.run;
    pane.title("speed", "measured");
    if let (Some(started), Some(prefill)) = (&run.started, run.prefill_rate()) {
        let tokens = count(started.prompt_tokens);
        pane.row("prefill", rate(prefill));
        let kept = if started.kept { ", before this run" } else { "" };
        let (prefill, ttft) = (started.prefill_ms, format!("{:.1} ms", started.ttft_ms));
        let forms = [
            format!("{tokens} tokens in {prefill:.0} ms{kept}"),
            format!("{tokens} tokens in {prefill:.0} ms"),
            format!("{tokens} in {prefill:.0} ms"),
        ];
        pane.row_of("prompt", forms);
        pane.row_of("TTFT", [format!("{ttft}{kept}"), ttft]);
        if let Some(model) = state.model.as_ref().filter(|model| !model.info.solo) {
            // It takes no memory besides the dense side.
            let bytes = model.bytes_at(started.prompt_tokens).1.total() as u64;
            let bytes = numbers::bytes(bytes);
            let forms = [
                format!("{bytes} of the dense side, for r"),
                format!("{bytes} dense, for r"),
                format!("{bytes}, for r"),
            ];
            pane.row_of("kept", forms);
        }
    }
    let Some(now) = run.rate() else {
        pane.note(state.awaited("decode figures come with the next steps"));
        return;
    };
    let steps = run.own_steps().len();
    let over = match run.recent_steps() {
        recent if recent < steps => format!("last {recent} of {} steps", count(steps)),
        _ => format!("{} steps", count(steps)),
    };
    pane.row_of("decode", [format!("{} · {over}", rate(now)), rate(now)]);
    let tpot = |quantile, digits: usize| {
        run.tpot(quantile).map_or_else(|| "–".to_owned(), |ms| format!("{ms:.digits$}"))
    };
    let tail = p99_name(steps);
    let forms = [
        format!("p50 {} · {tail} {} ms, all steps", tpot(0.5, 2), tpot(0.99, 2)),
        format!("p50 {} · {tail} {} ms", tpot(0.5, 2), tpot(0.99, 2)),
        format!("{} · {tail} {}", tpot(0.5, 1), tpot(0.99, 1)),
    ];
    pane.row_of("TPOT", forms);
    step_parts(state, pane);
}

/// Where the time of the last steps went.
fn step_parts(state: &State, pane: &mut Pane<'_>) {
    let theme = &state.theme;
    let own = state.run.own_steps();
    if state.run.attention_share().is_none() {
        pane.row("parts", "not known");
        pane.note("a device's step is timed as a whole");
        return;
    }
    let last = &own[own.len().saturating_sub(32)..];
    let mean =
        |part: fn(&Step) -> f64| last.iter().map(part).sum::<f64>() / last.len().max(1) as f64;
    let parts = [
        ("attention", mean(|step| step.ms.attention), "█", Role::Attention),
        ("projections", mean(|step| step.ms.projections), "▓", Role::Dim),
        ("logits", mean(|step| step.ms.logits), "▒", Role::Loss),
        ("rest", mean(|step| step.ms.rest), "░", Role::Border),
    ];
    let whole: f64 = parts.iter().map(|part| part.1).sum();
    if let Some(area) = pane.take(1) {
        let bars =
            parts.map(|(_, size, glyph, role)| BarPart { size, glyph, color: theme.color(role) });
        stacked(&bars, whole, area, pane.buffer);
    }
    let legend = parts.map(|(name, size, glyph, role)| {
        let share = 100.0 * size / whole.max(1e-9);
        [
            Span::styled(glyph, theme.style(role)),
            Span::styled(format!(" {name} {share:.0} %  "), theme.style(Role::Dim)),
        ]
    });
    let each = match pane.area.width {
        0..37 => 1,
        37..60 => 2,
        _ => 4,
    };
    for line in legend.chunks(each) {
        pane.line(Line::from(line.concat()));
    }
}

/// Speed, attention share and bytes over the steps of the run.
fn curves(state: &State, pane: &mut Pane<'_>) {
    let steps = &state.run.steps;
    // A title, an axis and a blank row come with each.
    let rows = (pane.area.height / 3).saturating_sub(3).max(2);
    let rates: Vec<f64> = steps.iter().map(|step| 1e3 / step.ms.total.max(1e-6)).collect();
    curve(state, pane, rows, ("decode tok/s", Role::Speed), &rates, rate);
    if steps.is_empty() || steps.iter().any(|step| step.ms.attention > 0.0) {
        let attention: Vec<f64> = steps.iter().map(|step| step.ms.attention).collect();
        curve(state, pane, rows, ("attention ms", Role::Attention), &attention, |ms| {
            format!("{ms:.3} ms")
        });
    }
    let bytes: Vec<f64> = steps.iter().map(|step| step.kv as f64).collect();
    curve(state, pane, rows, ("KV stored", Role::Text), &bytes, |bytes| {
        numbers::bytes(bytes as u64)
    });
}

fn curve(
    state: &State,
    pane: &mut Pane<'_>,
    rows: u16,
    (name, role): (&str, Role),
    values: &[f64],
    show: impl Fn(f64) -> String,
) {
    if pane.area.height < rows + 1 {
        return;
    }
    let axis = pane.area.height > rows + 2 && !values.is_empty();
    let chart = Chart::new(values, state.theme.style(role));
    let note =
        if values.is_empty() { String::new() } else { format!("up to {}", show(chart.highest())) };
    pane.title(name, &note);
    if let Some(area) = pane.take(rows) {
        chart.render(area, pane.buffer);
    }
    if axis && let Some(area) = pane.take(1) {
        time_axis(state, area, pane.buffer);
    }
}

/// When the steps above it were made, in decode time since the first one: the charts have a step in
/// every column, or several.
fn time_axis(state: &State, area: Rect, buffer: &mut Buffer) {
    let style = state.theme.style(Role::Dim);
    let steps = &state.run.steps;
    let dots = usize::from(area.width) * 2;
    let shown = steps.len().min(dots).max(1);
    let mut sums: Vec<f64> = Vec::with_capacity(steps.len());
    for step in steps {
        sums.push(sums.last().copied().unwrap_or(0.0) + step.ms.total);
    }
    let ticks = usize::from(area.width / 20).clamp(1, 6);
    let mut free = 0;
    for tick in 0..=ticks {
        // The newest step is at the right edge.
        let dot = dots - shown + (shown - 1) * tick / ticks;
        let step = ((shown - 1) * tick / ticks + 1) * steps.len() / shown;
        let ms = sums[step.clamp(1, sums.len()) - 1];
        let text = format!("{} · {}", seconds(ms), count(steps[step.max(1) - 1].cached));
        let text = if tick == 0 { format!("{text} tokens") } else { text };
        let width = text.chars().count() as u16;
        let x = ((dot / 2) as u16).min(area.width.saturating_sub(width));
        // The last one goes before those that leave it no space.
        let last = tick == ticks;
        if x < free || !last && x + 2 * width + 2 > area.width {
            continue;
        }
        put(buffer, area, x, 0, Line::styled(text, style));
        free = x + width + 2;
    }
}

/// A time in few characters.
fn seconds(ms: f64) -> String {
    match ms / 1e3 {
        s if s < 1.0 => format!("{ms:.0} ms"),
        s if s < 100.0 => format!("{s:.1} s"),
        s => format!("{:.0}:{:02.0} min", (s / 60.0).floor(), (s % 60.0).floor()),
    }
}

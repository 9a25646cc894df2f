//! The screen's data as a table.

use serde_json::{Value, json};

use crate::decode::worker::event::{Measured, Pair};
use crate::tui::state::tune::Freshness;
use crate::tui::state::{Metric, ModelView, Screen, State};
use crate::{Error, Result};

/// A table: names of the columns and rows of values.
pub struct Sheet {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

/// What the screen at hand shows.
pub fn of_screen(state: &State, model: &ModelView) -> Sheet {
    let shape = model.shape();
    match state.screen {
        Screen::Map => {
            let heads = (0..shape.layers)
                .flat_map(|layer| (0..shape.kv_heads).map(move |head| (layer, head)));
            channels(state, model, heads)
        }
        Screen::Head => channels(state, model, [(state.at.layer, state.at.head)].into_iter()),
        Screen::Ab => pairs(state),
        Screen::Tune => masks(state, model),
        Screen::Perf => steps(state),
        Screen::Learn => updates(state),
        Screen::Text => tokens(state),
    }
}

/// One row per channel.
fn channels(
    state: &State,
    model: &ModelView,
    heads: impl Iterator<Item = (usize, usize)>,
) -> Sheet {
    let shape = model.shape();
    let metrics: Vec<Metric> =
        Metric::ALL.into_iter().filter(|metric| model.table(*metric).is_some()).collect();
    let mut columns = vec!["layer", "kv_head", "channel", "pair", "wavelength_tokens", "kept"];
    columns.extend(metrics.iter().map(|metric| match metric {
        Metric::Importance => "importance",
        Metric::KeyNorm => "key_norm",
        Metric::Think => "think",
        _ => "live",
    }));
    let other = state.other.as_ref().filter(|_| state.diff);
    columns.extend(other.map(|_| "kept_by_other"));
    let mut rows = Vec::new();
    for (layer, head) in heads {
        for (channel, &kept) in model.mask.head(layer, head).iter().enumerate() {
            let pair = channel % shape.pairs();
            let mut row = vec![
                json!(layer),
                json!(head),
                json!(channel),
                json!(pair),
                json!(model.info.wavelengths[pair]),
                json!(u8::from(kept)),
            ];
            // A channel without a number is an empty cell, null in JSON.
            row.extend(metrics.iter().filter_map(|metric| {
                Some(json!(model.table(*metric)?.head(layer, head)[channel]))
            }));
            row.extend(other.map(|other| json!(u8::from(other.mask.head(layer, head)[channel]))));
            rows.push(row);
        }
    }
    Sheet { columns, rows }
}

/// One row per mask: at work, set, saved, and every point of the sweep. What is not measured, or is
/// stale, is an empty cell.
fn masks(state: &State, model: &ModelView) -> Sheet {
    let columns = vec![
        "what",
        "sparsity_target",
        "align",
        "kept_share",
        "context_tokens",
        "kv_bytes_at_context",
        "steps",
        "kld_mean",
        "kld_stderr",
        "top1_agreement",
        "tpot_ms",
    ];
    let Some(tuning) = &state.tuning else { return Sheet { columns, rows: Vec::new() } };
    let (context, generation) = (state.target_context, state.run.generation);
    let row = |what: &str,
               mask,
               window,
               sparsity: Option<f64>,
               align: usize,
               measured: Option<&Measured>| {
        let tally = tuning.tally(mask, window, sparsity, context);
        let divergence = measured.map(|measured| &measured.divergence);
        vec![
            json!(what),
            json!(sparsity),
            json!(align),
            json!(tally.share),
            json!(context),
            json!(tally.bytes.total()),
            json!(divergence.map(|divergence| divergence.steps)),
            json!(divergence.map(|divergence| divergence.kld.mean)),
            json!(divergence.map(|divergence| divergence.kld.stderr)),
            json!(divergence.map(|divergence| divergence.top1_agreement)),
            json!(measured.map(|measured| measured.b_ms.p50)),
        ]
    };
    let now = match tuning.figures(generation) {
        Freshness::Measured(measured) => Some(measured),
        Freshness::Stale(_) | Freshness::None => None,
    };
    let info = model.info.mask.as_ref();
    let (set, saved) = (tuning.mask_info(), tuning.saved());
    let of_saved = tuning.figures_of_saved(generation);
    let of_set = now.filter(|_| tuning.is_applied(model));
    let sparsity = info.and_then(|info| info.sparsity);
    let mut rows = vec![
        row(
            "now",
            &model.mask,
            model.info.window,
            sparsity,
            info.map_or(1, |info| info.align),
            now,
        ),
        row("proposed", &set.mask, tuning.draft().window, set.sparsity, set.align, of_set),
        row(
            "saved",
            &saved.mask.mask,
            saved.window,
            saved.mask.sparsity,
            saved.mask.align,
            of_saved,
        ),
    ];
    if !tuning.sweep.is_stale(generation) {
        rows.extend(tuning.sweep.measured().map(|(point, measured)| {
            let draft = &point.draft;
            row("point", &point.mask, draft.window, draft.sparsity(), draft.align, Some(measured))
        }));
    }
    Sheet { columns, rows }
}

/// One row per decode step.
fn steps(state: &State) -> Sheet {
    let columns = vec![
        "cached_tokens",
        "step_ms",
        "attention_ms",
        "projections_ms",
        "logits_ms",
        "rest_ms",
        "kv_bytes",
    ];
    let row = |step: &crate::tui::state::Step| {
        let ms = step.ms;
        // A device's step is timed as a whole.
        let parts = [ms.attention, ms.projections, ms.logits, ms.rest]
            .map(|part| json!((ms.attention > 0.0).then_some(part)));
        [json!(step.cached), json!(ms.total)]
            .into_iter()
            .chain(parts)
            .chain([json!(step.kv)])
            .collect()
    };
    Sheet { columns, rows: state.run.steps.iter().map(row).collect() }
}

/// One row per update of the learning at hand.
fn updates(state: &State) -> Sheet {
    let columns = vec!["stage", "step", "distill", "reg", "mean_factor", "kept"];
    let row = |update: &crate::learn::train::Update| {
        let numbers =
            [update.distill, update.reg, update.mean, update.kept].map(|number| json!(number));
        [json!(update.stage), json!(update.step)].into_iter().chain(numbers).collect()
    };
    Sheet { columns, rows: state.learning.updates.iter().map(row).collect() }
}

/// One row per generated token.
fn tokens(state: &State) -> Sheet {
    let row = |(n, piece): (usize, &crate::tui::state::Piece)| {
        vec![json!(n), json!(piece.text), json!(piece.logprob)]
    };
    Sheet {
        columns: vec!["n", "text", "logprob"],
        rows: state.run.pieces.iter().enumerate().map(row).collect(),
    }
}

/// One row per token of both sides.
fn pairs(state: &State) -> Sheet {
    let columns = vec![
        "n",
        "a_text",
        "b_text",
        "b_top",
        "kld",
        "same_top",
        "delta_logprob",
        "delta_p",
        "a_ms",
        "b_ms",
        "a_kv_bytes",
        "b_kv_bytes",
    ];
    let row = |pair: &Pair| {
        let (a, b, step) = (pair.a.as_ref(), pair.b.as_ref(), pair.divergence.as_ref());
        vec![
            json!(pair.n),
            json!(a.map(|a| &a.text)),
            json!(b.map(|b| &b.text)),
            json!(b.and_then(|b| b.top.first()).map(|top| &top.text)),
            json!(step.map(|step| step.kld)),
            json!(step.map(|step| step.same_top)),
            json!(step.map(|step| step.delta_logprob)),
            json!(step.map(|step| step.delta_p)),
            json!(a.and_then(|a| a.ms)),
            json!(b.and_then(|b| b.ms)),
            json!(a.map(|a| a.kv)),
            json!(b.map(|b| b.kv)),
        ]
    };
    Sheet { columns, rows: state.run.pairs.all().iter().map(row).collect() }
}

/// The table as comma-separated values (RFC 4180).
pub fn csv(sheet: &Sheet) -> Vec<u8> {
    let mut text = sheet.columns.join(",");
    text.push('\n');
    for row in &sheet.rows {
        for (index, value) in row.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            match value {
                Value::Null => {}
                Value::String(value) if value.contains(['"', ',', '\n', '\r']) => {
                    text.push_str(&format!("\"{}\"", value.replace('"', "\"\"")));
                }
                Value::String(value) => text.push_str(value),
                other => text.push_str(&other.to_string()),
            }
        }
        text.push('\n');
    }
    text.into_bytes()
}

/// The table as JSON, one object per row, with what it belongs to.
pub fn json(state: &State, model: &ModelView) -> Result<Vec<u8>> {
    let sheet = of_screen(state, model);
    let rows: Vec<Value> = (sheet.rows.into_iter())
        .map(|row| {
            Value::Object(sheet.columns.iter().map(|name| (*name).to_owned()).zip(row).collect())
        })
        .collect();
    let whole = json!({
        "screen": state.screen.title().to_lowercase(),
        "model": model.info.name,
        "mask": model.info.mask.as_ref().map(|mask| &mask.label),
        "window": model.info.window,
        "kv_dtype": model.info.kv_dtype,
        "tokens_in_cache": state.run.cached,
        "kv_bytes": state.run.kv.total(),
        "rows": rows,
    });
    serde_json::to_vec_pretty(&whole).map_err(|cause| Error::run(format!("writing JSON: {cause}")))
}

//! The steps of the run as a table.

use serde_json::json;

use crate::numbers::{self, count, rate};
use crate::tui::app::model::ModelView;
use crate::tui::app::run::Step;
use crate::tui::app::state::{Gauge, State};
use crate::tui::export::Sheet;
use crate::tui::screen::perf::gauge;

/// What the cache takes and what a step reads, in two sentences.
pub fn explained(state: &State) -> Option<String> {
    let model = state.model.as_ref()?;
    let (now, cached) = (state.run.kv.total() as u64, state.run.cached);
    let dense = model.bytes_at(cached).1.total();
    let (stored, whole) = (numbers::bytes(now), numbers::bytes(dense as u64));
    let memory = format!("The cache of {} tokens takes {stored} of {whole} dense.", count(cached));
    let (Gauge::Known(machine) | Gauge::Again(machine)) = &state.bandwidth else {
        return Some(memory);
    };
    let Some(reached) = gauge::reached(&state.run, dense, machine) else { return Some(memory) };
    let reads = format!(
        "{memory} A step reads the weights and that cache once, {} in all",
        numbers::bytes(reached.bytes as u64)
    );
    let (Some(ceiling), Some(share)) = (reached.ceiling, reached.share) else {
        return Some(format!(
            "{reads}, faster than the {:.1} GB/s that this machine reads from memory: it stays in the processor's caches, so memory sets no ceiling.",
            machine.gbps
        ));
    };
    Some(format!(
        "{reads}; it reaches {:.1} of the {:.1} GB/s that this machine reads, which is {:.0} % of the ceiling of {}.",
        reached.gbps,
        machine.gbps,
        100.0 * share,
        rate(ceiling)
    ))
}

/// One row per decode step.
pub fn sheet(state: &State, _: &ModelView) -> Sheet {
    let columns = vec![
        "cached_tokens",
        "step_ms",
        "attention_ms",
        "projections_ms",
        "logits_ms",
        "rest_ms",
        "kv_bytes",
    ];
    let row = |step: &Step| {
        let ms = step.ms;
        // On a GPU a step is timed as a whole, so its parts are empty.
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

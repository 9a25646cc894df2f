//! The steps of the run as a table.

use serde_json::json;

use crate::tui::app::model::ModelView;
use crate::tui::app::run::Step;
use crate::tui::app::state::State;
use crate::tui::export::Sheet;

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

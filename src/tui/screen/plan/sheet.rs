//! The plan's row as a table.

use serde_json::{Value, json};

use crate::capacity;
use crate::numbers::bytes;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::export::Sheet;

/// The selected knob with its value.
pub fn copied(state: &State) -> Option<String> {
    let (planning, model) = (&state.screens.plan, state.model.as_ref()?);
    Some(format!("{} {}", planning.knob.name(), planning.value(planning.knob, model, usize::MAX)))
}

/// The selected knob in words, and what all of them come to.
pub fn explained(state: &State) -> Option<String> {
    let (planning, model) = (&state.screens.plan, state.model.as_ref()?);
    let knob = planning.knob;
    let value = planning.value(knob, model, usize::MAX);
    let own = format!("{} is {value}: {}.", knob.name(), knob.about());
    let report = planning.request(model).and_then(|request| capacity::plan(&request)).ok();
    let row = report.as_ref().and_then(|report| report.rows.first());
    Some(row.map_or(own.clone(), |row| {
        let (dense, stored) = (bytes(row.kv_bytes_dense), bytes(row.kv_bytes));
        let fits = if row.fits { "fits" } else { "does not fit" };
        format!("{own} With all knobs as they are, K/V take {stored} of {dense} dense, and that {fits} {}.", row.gpu)
    }))
}

/// One row: the setting of the knobs.
pub fn sheet(state: &State, model: &ModelView) -> Sheet {
    let columns = vec![
        "model",
        "stored",
        "ctx",
        "batch",
        "gpu",
        "weights_bytes",
        "kv_bytes_dense",
        "kv_bytes",
        "fits_dense",
        "fits",
        "max_ctx_dense",
        "max_ctx",
        "max_batch_dense",
        "max_batch",
        "step_ms_dense",
        "step_ms",
        "label",
    ];
    let report = state.screens.plan.request(model).and_then(|request| capacity::plan(&request));
    let Ok(report) = report else { return Sheet { columns, rows: Vec::new() } };
    let row = |row: &capacity::CapacityRow| {
        let values = serde_json::to_value(row).unwrap_or_default();
        let own = |column: &&str| values.get(*column).cloned().unwrap_or(Value::Null);
        [json!(report.model.name), json!(report.stored)]
            .into_iter()
            .chain(columns[2..].iter().map(own))
            .collect()
    };
    let rows = report.rows.iter().map(row).collect();
    Sheet { columns, rows }
}

//! The tokens of both sides as a table.

use serde_json::json;

use crate::decode::worker::event::Pair;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::export::Sheet;

/// One row per token of both sides.
pub fn sheet(state: &State, _: &ModelView) -> Sheet {
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

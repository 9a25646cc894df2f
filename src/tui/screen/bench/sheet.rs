//! The rows of the bench as a table.

use serde_json::json;

use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::export::Sheet;
use crate::tui::screen::bench::view;

/// One row per pinned mask or plan, in the order on screen. Figures that are missing, or over other
/// tokens, are empty cells.
pub fn sheet(state: &State, _model: &ModelView) -> Sheet {
    let columns = vec![
        "name",
        "rule",
        "is_baseline",
        "context_tokens",
        "kv_bytes",
        "k_bytes",
        "v_bytes",
        "bytes_share",
        "steps",
        "kld_mean",
        "kld_stderr",
        "kld_median",
        "kld_p999",
        "kld_minus_baseline",
        "top1_agreement",
        "recall",
        "tpot_ms",
    ];
    let Some(tuning) = &state.screens.tune else { return Sheet { columns, rows: Vec::new() } };
    let (bench, generation) = (&state.screens.bench, state.run.generation);
    let rows = view::shown(state).into_iter().map(|pin| {
        let tally = tuning.tally(&pin.plan, pin.draft.window, None, state.target_context);
        let figures = bench.figures(pin, generation);
        let divergence = figures.map(|figures| &figures.divergence);
        let kld = divergence.map(|divergence| divergence.kld);
        vec![
            json!(pin.name),
            json!(pin.rule),
            json!(bench.baseline == Some(pin.id)),
            json!(state.target_context),
            json!(tally.bytes.total()),
            json!(tally.bytes.k),
            json!(tally.bytes.v),
            json!(tally.middle),
            json!(divergence.map(|divergence| divergence.steps)),
            json!(kld.map(|kld| kld.mean)),
            json!(kld.map(|kld| kld.stderr)),
            json!(kld.map(|kld| kld.p50)),
            json!(kld.map(|kld| kld.p999)),
            json!(view::over_baseline(state, pin)),
            json!(divergence.map(|divergence| divergence.top1_agreement)),
            json!(view::recall(state, pin)),
            json!(figures.map(|figures| figures.b_ms.p50)),
        ]
    });
    Sheet { columns, rows: rows.collect() }
}

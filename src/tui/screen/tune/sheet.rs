//! The masks and the points of the sweep as a table.

use serde_json::json;

use crate::decode::worker::event::Measured;
use crate::numbers::count;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::export::{PrintedColumn, PrintedTable, Sheet, ShownAs};
use crate::tui::screen::tune::state::Freshness;

/// One row per mask: in use, set, saved, and every point of the sweep. Figures that are missing or
/// stale are empty cells.
pub fn sheet(state: &State, model: &ModelView) -> Sheet {
    let columns = vec![
        "what",
        "sparsity_target",
        "align",
        "kept_share",
        "middle_bytes_share",
        "cache_bytes_share",
        "context_tokens",
        "kv_bytes_at_context",
        "steps",
        "kld_mean",
        "kld_stderr",
        "top1_agreement",
        "steps_with_middle",
        "steps_in_loop",
        "time_of_dense",
        "time_of_dense_low",
        "time_of_dense_high",
    ];
    let Some(tuning) = &state.screens.tune else { return Sheet { columns, rows: Vec::new() } };
    let (context, generation) = (state.target_context, state.run.generation);
    let row = |what: &str,
               mask,
               window,
               sparsity: Option<f64>,
               align: usize,
               measured: Option<&Measured>| {
        let tally = tuning.tally(mask, window, sparsity, context);
        let divergence = measured.map(|measured| &measured.divergence);
        let beside = measured.and_then(|measured| measured.beside);
        vec![
            json!(what),
            json!(sparsity),
            json!(align),
            json!(tally.share),
            json!(tally.middle),
            json!(1.0 - tally.saved),
            json!(context),
            json!(tally.bytes.total()),
            json!(divergence.map(|divergence| divergence.steps)),
            json!(divergence.map(|divergence| divergence.kld.mean)),
            json!(divergence.map(|divergence| divergence.kld.stderr)),
            json!(divergence.map(|divergence| divergence.top1_agreement)),
            json!(measured.and_then(|measured| measured.with_middle)),
            json!(measured.map(|measured| measured.repeats)),
            json!(beside.map(|beside| beside.median)),
            json!(beside.map(|beside| beside.low)),
            json!(beside.map(|beside| beside.high)),
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
            model.plan(),
            model.info.window,
            sparsity,
            info.map_or(1, |info| info.align),
            now,
        ),
        row("set", &set.plan, tuning.draft().window, set.sparsity, set.align, of_set),
        row(
            "saved",
            &saved.mask.plan,
            saved.window,
            saved.mask.sparsity,
            saved.mask.align,
            of_saved,
        ),
    ];
    if !tuning.sweep.is_stale(generation) {
        rows.extend(tuning.sweep.measured().map(|(point, measured)| {
            let draft = &point.draft;
            row(
                &point.kind.name(),
                &point.plan,
                draft.window,
                draft.sparsity(),
                draft.align,
                Some(measured),
            )
        }));
    }
    Sheet { columns, rows }
}

/// The columns for a page: the others are in the CSV.
pub fn printed(state: &State) -> PrintedTable {
    let column = PrintedColumn::new;
    PrintedTable {
        columns: vec![
            column("what", "mask", ShownAs::Plain),
            column("kept_share", "K kept", ShownAs::Percent),
            column("kv_bytes_at_context", "KV", ShownAs::Bytes),
            column("steps", "steps", ShownAs::Plain),
            column("kld_mean", "KLD", ShownAs::Figure),
            column("kld_stderr", "±", ShownAs::Figure),
            column("top1_agreement", "same top", ShownAs::Percent),
            column("time_of_dense", "time", ShownAs::Ratio),
        ],
        note: format!(
            "KLD in nats, mean and standard error over the steps; bytes at {} tokens; time of a step over that of a dense step beside it.",
            count(state.target_context)
        ),
    }
}

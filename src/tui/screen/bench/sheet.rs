//! The rows of the bench as a table.

use serde_json::json;

use crate::numbers;
use crate::numbers::count;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::export::Sheet;
use crate::tui::paint::number;
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
        "tpot_stderr_ms",
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
            json!(figures.map(|figures| figures.b_ms.stderr)),
        ]
    });
    Sheet { columns, rows: rows.collect() }
}

/// The selected row in words.
pub fn copied(state: &State) -> Option<String> {
    let (bench, tuning) = (&state.screens.bench, state.screens.tune.as_ref()?);
    let pin = bench.pin(bench.selected?)?;
    let tokens = state.target_context;
    let bytes = tuning.tally(&pin.plan, pin.draft.window, None, tokens).bytes.total();
    let size = format!("{}: {} at {} tokens", pin.name, numbers::bytes(bytes), count(tokens));
    Some(match bench.figures(pin, state.run.generation) {
        None => format!("{size}, not measured"),
        Some(figures) => {
            let kld = figures.divergence.kld;
            format!(
                "{size}, mean KLD {} ± {} over {} steps",
                number(kld.mean as f32),
                number(kld.stderr as f32),
                count(figures.divergence.steps)
            )
        }
    })
}

/// What the selected row is and lost, in two sentences.
pub fn explained(state: &State) -> Option<String> {
    let (bench, tuning) = (&state.screens.bench, state.screens.tune.as_ref()?);
    let pin = bench.pin(bench.selected?)?;
    let tokens = state.target_context;
    let tally = tuning.tally(&pin.plan, pin.draft.window, None, tokens);
    let size = format!(
        "{}, made by {}, takes {} at {} tokens: {} of K, {} of V, {} less than dense.",
        pin.name,
        pin.rule,
        numbers::bytes(tally.bytes.total()),
        count(tokens),
        numbers::bytes(tally.bytes.k),
        numbers::bytes(tally.bytes.v),
        numbers::percent(tally.saved, 1)
    );
    let loss = match bench.figures(pin, state.run.generation) {
        None => "It is not measured over the tokens of the other rows.".to_owned(),
        Some(figures) => {
            let divergence = &figures.divergence;
            format!(
                "Over {} steps its mean KLD from dense is {} ± {} nats, half of the steps lie under {}, and {} have the same likeliest token.",
                count(divergence.steps),
                number(divergence.kld.mean as f32),
                number(divergence.kld.stderr as f32),
                number(divergence.kld.p50 as f32),
                numbers::percent(divergence.top1_agreement, 1)
            )
        }
    };
    Some(format!("{size} {loss}"))
}

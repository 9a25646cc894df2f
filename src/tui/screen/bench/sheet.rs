//! The rows of the bench as a table.

use serde_json::json;

use crate::decode::worker::event::Measured;
use crate::numbers;
use crate::numbers::count;
use crate::spread::{P999, p999_name};
use crate::tui::app::action::Command;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::export::{PrintedColumn, PrintedTable, Sheet, ShownAs};
use crate::tui::paint::number;
use crate::tui::screen::Screen;
use crate::tui::screen::bench::recall::{PARTIAL, recall, sentence};
use crate::tui::screen::bench::rows::ALIKE;
use crate::tui::screen::bench::{notes, rows};

/// Whether a measurement is over too few steps for a 99.9th percentile.
fn is_few(over: Option<&Measured>) -> bool {
    over.is_some_and(|over| p999_name(over.divergence.steps) != P999)
}

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
        "middle_bytes_share",
        "cache_bytes_share",
        "steps",
        "kld_mean",
        "kld_stderr",
        "kld_median",
        "kld_p999",
        "kld_max",
        "kld_not_told_apart",
        "kld_minus_baseline",
        "top1_agreement",
        "recall",
        "time_of_dense",
        "time_of_dense_low",
        "time_of_dense_high",
        "steps_with_middle",
        "steps_in_loop",
        "of_current_run",
        "time_not_told_apart",
        "recall_answers",
        "recall_is_partial",
    ];
    let Some(tuning) = &state.screens.tune else { return Sheet { columns, rows: Vec::new() } };
    let bench = &state.screens.bench;
    let is_current = !bench.is_of_earlier(state.run.generation);
    let all = rows::rows(state, tuning);
    let rows = all.rows.iter().map(|row| {
        let (pin, tally, figures) = (row.pin, row.tally, row.figures);
        // Of a row in whose steps nothing was pruned the file says that, and no loss.
        let over = bench.measured_beside(pin);
        let divergence = figures.map(|figures| &figures.divergence);
        let kld = divergence.map(|divergence| divergence.kld);
        let beside = figures.and_then(|figures| figures.beside);
        let recall = recall(state, pin);
        vec![
            json!(pin.name),
            json!(pin.rule),
            json!(bench.baseline == Some(pin.id)),
            json!(state.target_context),
            json!(tally.bytes.total()),
            json!(tally.bytes.k),
            json!(tally.bytes.v),
            json!(tally.middle),
            json!(1.0 - tally.saved),
            json!(over.map(|over| over.divergence.steps)),
            json!(kld.map(|kld| kld.mean)),
            json!(kld.map(|kld| kld.stderr)),
            json!(kld.map(|kld| kld.p50)),
            // Of fewer steps the 99.9th percentile is the largest, which has a column of its own.
            json!(kld.filter(|_| !is_few(over)).map(|kld| kld.p999)),
            json!(kld.map(|kld| kld.max)),
            json!(kld.map(|_| row.is_alike)),
            json!(rows::over_baseline(state, pin)),
            json!(divergence.map(|divergence| divergence.top1_agreement)),
            json!(recall.as_ref().map(|recall| recall.score)),
            json!(beside.map(|beside| beside.median)),
            json!(beside.map(|beside| beside.low)),
            json!(beside.map(|beside| beside.high)),
            json!(over.and_then(|over| over.with_middle)),
            json!(over.map(|over| over.repeats)),
            json!(over.map(|_| is_current)),
            json!(beside.map(|beside| beside.holds(1.0))),
            json!(recall.as_ref().map(|recall| recall.answers)),
            json!(recall.as_ref().map(|recall| recall.partial.is_some())),
        ]
    });
    Sheet { columns, rows: rows.collect() }
}

/// The columns for a page, those of the screen with the same numbers: the others are in the CSV.
pub fn printed(state: &State) -> PrintedTable {
    let column = PrintedColumn::new;
    let over = state.screens.bench.over();
    let rows = state.screens.tune.as_ref().map(|tuning| rows::rows(state, tuning));
    let sentence = |text: String| if text.is_empty() { text } else { format!(" {text}.") };
    let alike = sentence(rows.as_ref().map_or_else(String::new, |rows| notes::alike(state, rows)));
    let recall = rows.as_ref().and_then(|rows| notes::recalls(state, rows, "empty"));
    let recall = sentence(recall.map_or_else(String::new, |(text, _)| text));
    let tail = if is_few(over) { "kld_max" } else { "kld_p999" };
    let note = match over {
        None => {
            format!("Bytes at {} tokens; no loss is measured.{recall}", count(state.target_context))
        }
        Some(over) => format!(
            "KLD in nats, mean and standard error over {}{}; bytes at {} tokens; time of a step over that of a dense step beside it, with its 95 % interval.{alike}{recall}",
            over.covered(),
            over.weakness().map_or_else(String::new, |weak| format!(" ({weak})")),
            count(state.target_context)
        ),
    };
    PrintedTable {
        columns: vec![
            column("name", "mask", ShownAs::Plain),
            column("rule", "rule", ShownAs::Plain),
            column("kv_bytes", "KV", ShownAs::Bytes),
            column("k_bytes", "K", ShownAs::Bytes),
            column("v_bytes", "V", ShownAs::Bytes),
            column("kld_mean", "KLD", ShownAs::Figure).marked("kld_not_told_apart", ALIKE),
            column("kld_stderr", "±", ShownAs::Figure),
            column("kld_median", "median", ShownAs::Figure),
            column(
                tail,
                p999_name(over.map_or(usize::MAX, |over| over.divergence.steps)),
                ShownAs::Figure,
            ),
            column("top1_agreement", "same top", ShownAs::Percent),
            column("recall", "recall", ShownAs::Score).marked("recall_is_partial", PARTIAL),
            column("time_of_dense", "time", ShownAs::Ratio).marked("time_not_told_apart", ALIKE),
            column("time_of_dense_low", "low", ShownAs::Ratio),
            column("time_of_dense_high", "high", ShownAs::Ratio),
            column("kld_minus_baseline", "Δ KLD", ShownAs::Change),
        ],
        note,
    }
}

/// The selected row in words.
pub fn copied(state: &State) -> Option<String> {
    let (bench, tuning) = (&state.screens.bench, state.screens.tune.as_ref()?);
    let pin = bench.pin(bench.selected?)?;
    let tokens = state.target_context;
    let bytes = tuning.tally(&pin.plan, pin.draft.window, None, tokens).bytes.total();
    let size = format!("{}: {} at {} tokens", pin.name, numbers::bytes(bytes), count(tokens));
    Some(match bench.figures(pin) {
        None if bench.is_unpruned(pin) => format!("{size}, nothing pruned in the steps so far"),
        None => format!("{size}, not measured"),
        Some(figures) => {
            let kld = figures.divergence.kld;
            format!(
                "{size}, mean KLD {} ± {} over {}{}",
                number(kld.mean as f32),
                number(kld.stderr as f32),
                numbers::counted(figures.divergence.steps, "step", "steps"),
                figures.weakness().map_or_else(String::new, |weak| format!(", {weak}"))
            )
        }
    })
}

/// What the selected row is and lost, in two sentences; on an empty bench, what it is for.
pub fn explained(state: &State) -> Option<String> {
    let (bench, tuning) = (&state.screens.bench, state.screens.tune.as_ref()?);
    let Some(pin) = bench.selected.and_then(|id| bench.pin(id)) else {
        let own = KeyContext::Screen(Screen::Bench);
        let key = |command| state.keys.key_of(own, command).unwrap_or_default();
        return Some(format!(
            "The bench compares masks and plans over the same tokens; nothing is pinned. {} pins what is set ({}), {} a mask of every rule with as many bytes, and {} then measures all of them over the last tokens of the run.",
            key(Command::Pin),
            tuning.mask_info().label,
            key(Command::PinRules),
            key(Command::Sweep)
        ));
    };
    let tokens = state.target_context;
    let tally = tuning.tally(&pin.plan, pin.draft.window, None, tokens);
    let size = format!(
        "{}, made by {}, takes {} at {} tokens: {} of K, {} of V, {} less than the dense cache.",
        pin.name,
        pin.rule,
        numbers::bytes(tally.bytes.total()),
        count(tokens),
        numbers::bytes(tally.bytes.k),
        numbers::bytes(tally.bytes.v),
        numbers::percent(tally.saved, 1)
    );
    let loss = match bench.figures(pin) {
        None if bench.is_unpruned(pin) => {
            "In the steps that it was measured over nothing was pruned yet.".to_owned()
        }
        None => "It is not measured over the tokens of the other rows.".to_owned(),
        Some(figures) => {
            let divergence = &figures.divergence;
            let few = match (notes::too_few(state), figures.weakness()) {
                (Some(_), _) => " That is too few to rank masks.".to_owned(),
                (None, Some(weak)) => format!(" Of them: {weak}."),
                (None, None) => String::new(),
            };
            format!(
                "Over {} its mean KLD from dense is {} ± {} nats, half of the steps lie under {}, and {} have the same likeliest token.{few}",
                numbers::counted(divergence.steps, "step", "steps"),
                number(divergence.kld.mean as f32),
                number(divergence.kld.stderr as f32),
                number(divergence.kld.p50 as f32),
                numbers::percent(divergence.top1_agreement, 1)
            )
        }
    };
    let recall = sentence(state, pin).map_or_else(String::new, |recall| format!(" {recall}"));
    Some(format!("{size} {loss}{recall}"))
}

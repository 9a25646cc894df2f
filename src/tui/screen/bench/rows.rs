//! The rows on screen with their figures, worked out once for a frame.

use std::collections::BTreeMap;

use crate::decode::worker::event::Measured;
use crate::numbers;
use crate::tui::app::state::State;
use crate::tui::paint::{number, ratio};
use crate::tui::screen::bench::columns::COUNT;
use crate::tui::screen::bench::recall::recall;
use crate::tui::screen::bench::state::Pinned;
use crate::tui::screen::bench::{notes, pins};
use crate::tui::screen::tune::state::{Tally, Tuning};

/// Before a figure that is not told apart from another one.
pub(super) const ALIKE: &str = "≈";

/// A row with its figures.
pub(super) struct BenchRow<'a> {
    pub pin: &'a Pinned,
    pub tally: Tally,
    /// What was measured, where it may stand beside the other rows.
    pub figures: Option<&'a Measured>,
    /// Whether its KLD is not told apart from that of the row that others are compared with.
    pub is_alike: bool,
    /// How much less than it was made to take it takes, 0..=1; `None` where that is too little to
    /// matter, and for rows that were made to take nothing in particular.
    pub missing: Option<f64>,
}

/// The rows that the filter leaves, in the order on screen.
pub(super) struct BenchRows<'a> {
    pub rows: Vec<BenchRow<'a>>,
    /// The row that the others are compared with: the baseline, or the one that loses least.
    pub reference: Option<&'a Pinned>,
    /// What is said below them.
    pub notes: Vec<notes::BenchNote>,
}

/// The rows on screen.
pub(super) fn rows<'a>(state: &'a State, tuning: &Tuning) -> BenchRows<'a> {
    let bench = &state.screens.bench;
    let at = |pin: &Pinned, tokens| tuning.tally(&pin.plan, pin.draft.window, None, tokens);
    let tally = |pin: &Pinned| at(pin, state.target_context);
    let missing = |pin: &Pinned, shown: &Tally| {
        let aim = pin.aim?;
        let bytes = match aim.tokens == state.target_context {
            true => shown.bytes.total(),
            false => at(pin, aim.tokens).bytes.total(),
        };
        (!pins::is_equal(bytes, aim)).then(|| 1.0 - bytes as f64 / aim.bytes.max(1) as f64)
    };
    let tallies: BTreeMap<u64, Tally> =
        bench.pins().iter().map(|pin| (pin.id, tally(pin))).collect();
    let shown = bench.shown(|pin| tallies[&pin.id].bytes.total());
    let kld = |pin: &Pinned| bench.figures(pin).map(|figures| figures.divergence.kld.mean);
    let best = || {
        let measured = shown.iter().copied().filter(|pin| kld(pin).is_some());
        measured.min_by(|a, b| kld(a).unwrap_or(0.0).total_cmp(&kld(b).unwrap_or(0.0)))
    };
    let baseline = bench.baseline.and_then(|id| bench.pin(id)).filter(|pin| kld(pin).is_some());
    let reference = baseline.or_else(best);
    let of_reference = reference.and_then(|pin| bench.figures(pin));
    let rows = shown.into_iter().map(|pin| {
        let figures = bench.figures(pin);
        let is_other = reference.is_some_and(|reference| reference.id != pin.id);
        let is_alike = is_other
            && figures.zip(of_reference).is_some_and(|(own, other)| !own.is_told_apart(other));
        let tally = tallies[&pin.id];
        BenchRow { pin, tally, figures, is_alike, missing: missing(pin, &tally) }
    });
    let mut rows = BenchRows { rows: rows.collect(), reference, notes: Vec::new() };
    rows.notes = notes::notes(state, &rows);
    rows
}

/// Mean KLD of a row minus that of the baseline, over the same tokens.
pub(super) fn over_baseline(state: &State, pin: &Pinned) -> Option<f64> {
    let bench = &state.screens.bench;
    let mean = |pin| Some(bench.figures(pin)?.divergence.kld.mean);
    Some(mean(pin)? - mean(bench.pin(bench.baseline?)?)?)
}

/// What a row shows in each column; empty where there is no figure over these tokens.
pub(super) fn cells(state: &State, row: &BenchRow<'_>) -> [String; COUNT] {
    let (bench, pin, figures) = (&state.screens.bench, row.pin, row.figures);
    let kld = figures.map(|figures| figures.divergence.kld);
    let shown = |value: Option<f64>| value.map_or(String::new(), |value| number(value as f32));
    let delta = match (over_baseline(state, pin), bench.baseline) {
        (_, Some(id)) if id == pin.id => "baseline".to_owned(),
        (Some(delta), _) if delta >= 0.0 => format!("+{}", number(delta as f32)),
        (Some(delta), _) => format!("-{}", number(-delta as f32)),
        (None, _) => String::new(),
    };
    let unequal = if row.missing.is_some() { notes::UNEQUAL } else { "" };
    let alike = if row.is_alike { ALIKE } else { "" };
    [
        pin.name.clone(),
        pin.rule.clone(),
        format!("{unequal}{}", numbers::bytes(row.tally.bytes.total())),
        numbers::bytes(row.tally.bytes.k),
        numbers::bytes(row.tally.bytes.v),
        kld.map_or(String::new(), |kld| format!("{alike}{}", number(kld.mean as f32))),
        shown(kld.map(|kld| kld.stderr)),
        shown(kld.map(|kld| kld.p50)),
        shown(kld.map(|kld| kld.p999)),
        figures.map_or(String::new(), |figures| {
            numbers::percent(figures.divergence.top1_agreement, 1)
        }),
        recall(state, pin).map_or(String::new(), |recall| recall.shown()),
        figures.and_then(|figures| figures.beside).map_or(String::new(), |beside| ratio(&beside)),
        delta,
    ]
}

//! What is said below the rows: which are not at equal bytes, and which rules have none.

use crate::numbers;
use crate::numbers::count;
use crate::tui::app::state::State;
use crate::tui::screen::bench::pins;
use crate::tui::screen::bench::state::{LeftOut, Pinned};
use crate::tui::screen::tune::state::Tuning;

/// Before the bytes of a row that missed those that it was made to take.
pub(super) const UNEQUAL: &str = "≠";

/// How much less than it was made to take a row takes, 0..=1; `None` where that is too little to
/// matter, and for rows that were made to take nothing in particular.
pub(super) fn missing(tuning: &Tuning, pin: &Pinned) -> Option<f64> {
    let aim = pin.aim?;
    let bytes = tuning.tally(&pin.plan, pin.draft.window, None, aim.tokens).bytes.total();
    (!pins::is_equal(bytes, aim)).then(|| 1.0 - bytes as f64 / aim.bytes.max(1) as f64)
}

/// The sentences, each a paragraph.
pub(super) fn notes(state: &State, tuning: &Tuning) -> Vec<String> {
    let bench = &state.screens.bench;
    let mut notes = Vec::new();
    let unequal: Vec<_> = bench
        .pins()
        .iter()
        .filter_map(|pin| Some((pin, pin.aim?, missing(tuning, pin)?)))
        .collect();
    if let Some((_, aim, _)) = unequal.first() {
        let rows: Vec<String> = unequal
            .iter()
            .map(|(pin, _, less)| format!("{} {} less", pin.name, numbers::percent(*less, 1)))
            .collect();
        notes.push(format!(
            "{UNEQUAL} not at equal bytes ({} at {} tokens): {}; the next larger mask of the rule takes more",
            numbers::bytes(aim.bytes),
            count(aim.tokens),
            rows.join(", ")
        ));
    }
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for LeftOut { rule, why } in &bench.left_out {
        match reasons.iter_mut().find(|(known, _)| known == why) {
            Some((_, rules)) => rules.push(*rule),
            None => reasons.push((why.as_str(), vec![*rule])),
        }
    }
    let reasons: Vec<String> =
        reasons.iter().map(|(why, rules)| format!("{}: {why}", rules.join(", "))).collect();
    if !reasons.is_empty() {
        notes.push(format!("without a row · {}", reasons.join(" · ")));
    }
    notes
}

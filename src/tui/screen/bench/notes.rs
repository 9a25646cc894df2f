//! What is said below the rows: whether the tokens are too few to rank them, whether nothing was
//! pruned or the text looped, what is not told apart, which rows are not at equal bytes or have
//! locked heads, and which rules have none.

use crate::decode::session::Finish;
use crate::numbers;
use crate::numbers::count;
use crate::tui::app::action::Command;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::run::Phase;
use crate::tui::app::state::State;
use crate::tui::app::steer;
use crate::tui::color::Role;
use crate::tui::screen::Screen;
use crate::tui::screen::bench::recall::{PARTIAL, recall};
use crate::tui::screen::bench::rows::{ALIKE, BenchRow, BenchRows};
use crate::tui::screen::bench::state::{LeftOut, Pinned};

/// Before the bytes of a row that missed those that it was made to take.
pub(super) const UNEQUAL: &str = "≠";

/// Fewest steps that masks are ranked by. The KLD of single steps spreads over decades, so the order
/// of means over fewer of them is that of one or two tokens.
pub const LEAST_STEPS: usize = 32;

/// A paragraph below the rows.
pub(super) struct BenchNote {
    pub text: String,
    pub role: Role,
}

/// Steps that rows are, or would be, measured over, where those are too few to rank them.
pub(super) fn too_few(state: &State) -> Option<usize> {
    let bench = &state.screens.bench;
    let stands = matches!(state.phase, Phase::Paused | Phase::Finished(_));
    // While text is generated more steps come by themselves.
    let so_far = || stands.then(|| state.run.pairs.len().saturating_sub(1));
    bench.steps().or_else(so_far).filter(|&steps| steps < LEAST_STEPS)
}

/// The key that makes more tokens, and what it does.
pub(super) fn more_tokens(state: &State) -> String {
    let key = |command| state.keys.key_of(KeyContext::Global, command).unwrap_or_default();
    match state.phase {
        Phase::Finished(Finish::EndToken) => {
            format!("{} goes on past the end of the text", key(Command::GoOn))
        }
        Phase::Finished(_) | Phase::Failed(_) => {
            let new_tokens = key(Command::Show(Screen::Text));
            format!("{new_tokens} sets more new tokens, {} runs it again", key(Command::Rerun))
        }
        Phase::Paused => format!("{} goes on", key(Command::Pause)),
        _ => "more come".to_owned(),
    }
}

/// What is said of too few tokens.
pub(super) fn few_words(state: &State, steps: usize) -> String {
    let own = KeyContext::Screen(Screen::Bench);
    let measures = state.keys.key_of(own, Command::Sweep).unwrap_or_default();
    format!(
        "{} too few to rank masks ({LEAST_STEPS} or more do): {}, then {measures} measures",
        numbers::counted(steps, "step is", "steps are"),
        more_tokens(state)
    )
}

/// What is said of rows that were measured before anything was pruned.
fn unpruned(state: &State) -> Option<String> {
    let bench = &state.screens.bench;
    let rows: Vec<&Pinned> = bench.pins().iter().filter(|pin| bench.is_unpruned(pin)).collect();
    let first = rows.iter().map(|pin| pin.draft.window.first_middle()).min()?;
    let cached = bench.over()?.cached;
    let more = match state.replay {
        true => String::new(),
        false => {
            let own = KeyContext::Screen(Screen::Bench);
            let measures = state.keys.key_of(own, Command::Sweep).unwrap_or_default();
            format!(": {}, then {measures} measures", more_tokens(state))
        }
    };
    let which = match rows.len() == bench.pins().len() {
        true => "in any row".to_owned(),
        false => format!("in {}", numbers::counted(rows.len(), "row", "rows")),
    };
    Some(format!(
        "nothing was pruned {which}: a middle begins with {} tokens, and these steps end at {}{more}",
        count(first),
        count(cached)
    ))
}

/// What is said of steps that repeat a loop of the text.
fn loop_words(state: &State, repeats: usize) -> String {
    let said = format!(
        "{} of these steps repeat a loop of the text, the same few steps again and again: their KLD ranks no mask",
        count(repeats)
    );
    let own = KeyContext::Screen(Screen::Bench);
    let measures = state.keys.key_of(own, Command::Sweep).unwrap_or_default();
    match steer::key_out_of_loop(state) {
        Some(key) => format!("{said}; {key} samples, then {measures} measures"),
        None => said,
    }
}

/// What the recall of the rows rests on, where any has one; `without` stands for it in the others.
pub(super) fn recalls(
    state: &State,
    rows: &BenchRows<'_>,
    without: &str,
) -> Option<(String, Role)> {
    let of_rows: Vec<_> = rows.rows.iter().map(|row| recall(state, row.pin)).collect();
    let found = of_rows.iter().flatten().next()?;
    let part = match found.partial {
        Some(_) => format!("; {PARTIAL} is partial"),
        None => String::new(),
    };
    let without = match of_rows.iter().any(Option::is_none) {
        true => format!("; {without} is not measured"),
        false => String::new(),
    };
    let role = if found.partial.is_some() { Role::Warn } else { Role::Dim };
    Some((format!("recall, of Eval: {}{part}{without}", found.basis()), role))
}

/// What is not told apart, and by what; empty where nothing is.
pub(super) fn alike(state: &State, rows: &BenchRows<'_>) -> String {
    let bench = &state.screens.bench;
    let mut alike = Vec::new();
    if let Some(reference) = rows.reference.filter(|_| rows.rows.iter().any(|row| row.is_alike)) {
        let name = &reference.name;
        let why = match bench.baseline == Some(reference.id) {
            true => "the baseline",
            false => "the least",
        };
        alike.push(format!(
            "KLD from {name}'s ({why}), step by step, within the 95 % interval of the difference"
        ));
    }
    let beside = |row: &BenchRow<'_>| row.figures?.beside;
    if rows.rows.iter().filter_map(beside).any(|beside| beside.holds(1.0)) {
        alike.push("× dense from 1, within its 95 % interval".to_owned());
    }
    match alike.is_empty() {
        true => String::new(),
        false => format!("{ALIKE} not told apart: {}", alike.join("; ")),
    }
}

/// The sentences, each a paragraph.
pub(super) fn notes(state: &State, rows: &BenchRows<'_>) -> Vec<BenchNote> {
    let bench = &state.screens.bench;
    let mut notes = Vec::new();
    let mut say = |text: String, role: Role| notes.push(BenchNote { text, role });
    if let Some(steps) = too_few(state).filter(|_| steer::measures_nothing(state).is_none()) {
        say(few_words(state, steps), Role::Warn);
    }
    if let Some(unpruned) = unpruned(state) {
        say(unpruned, Role::Warn);
    }
    if let Some(repeats) = bench.over().map(|over| over.repeats).filter(|repeats| *repeats > 0) {
        say(loop_words(state, repeats), Role::Warn);
    }
    if let Some((text, role)) = recalls(state, rows, "–") {
        say(text, role);
    }
    if bench.over().is_some() {
        say("± is a standard error of KLD, and a 95 % interval of × dense".to_owned(), Role::Dim);
    }
    let alike = alike(state, rows);
    if !alike.is_empty() {
        say(alike, Role::Dim);
    }
    let unequal: Vec<_> =
        rows.rows.iter().filter_map(|row| Some((row.pin, row.pin.aim?, row.missing?))).collect();
    if let Some((_, aim, _)) = unequal.first() {
        let rows: Vec<String> = unequal
            .iter()
            .map(|(pin, _, less)| format!("{} {} less", pin.name, numbers::percent(*less, 1)))
            .collect();
        let text = format!(
            "{UNEQUAL} not at equal bytes ({} at {} tokens): {}; the next larger mask of the rule takes more",
            numbers::bytes(aim.bytes),
            count(aim.tokens),
            rows.join(", ")
        );
        say(text, Role::Dim);
    }
    let locked = rows.rows.iter().filter(|row| !row.pin.draft.locks.is_empty());
    let locked: Vec<String> =
        locked.map(|row| format!("{} {}", row.pin.name, row.pin.draft.locks.len())).collect();
    if !locked.is_empty() {
        say(format!("heads locked in Tune stay as they are: {}", locked.join(", ")), Role::Dim);
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
        say(format!("without a row · {}", reasons.join(" · ")), Role::Dim);
    }
    notes
}

//! The keys of the bench.

use tui_input::Input;

use crate::decode::worker::EngineOrder as Order;
use crate::numbers;
use crate::tui::app::action::{Command, Effect};
use crate::tui::app::keys::KeyContext;
use crate::tui::app::run::Phase;
use crate::tui::app::state::Holds;
use crate::tui::app::state::State;
use crate::tui::app::steer;
use crate::tui::screen::bench::notes::LEAST_STEPS;
use crate::tui::screen::bench::state::{BenchColumn, MOST};
use crate::tui::screen::bench::{pins, view};
use crate::tui::screen::tune::edit::change;
use crate::tui::screen::tune::state::Against;
use crate::tui::screen::{Screen, Typed};

/// Most characters of the filter.
pub const LONGEST_FILTER: usize = 40;

/// Runs a command of the screen.
pub fn update(state: &mut State, command: Command) -> Option<Vec<Effect>> {
    let effects = match command {
        Command::Up => select(state, |at, _| at.saturating_sub(1)),
        Command::Down => select(state, |at, last| (at + 1).min(last)),
        Command::First => select(state, |_, _| 0),
        Command::Last => select(state, |_, last| last),
        Command::Right => {
            let last = view::page_count(state).saturating_sub(1);
            state.screens.bench.page = (state.screens.bench.page + 1).min(last);
            Vec::new()
        }
        Command::Left => {
            state.screens.bench.page = state.screens.bench.page.saturating_sub(1);
            Vec::new()
        }
        Command::Pin | Command::PinRules | Command::PinNamed | Command::PinSweep => {
            pin(state, command)
        }
        Command::Sweep => measure(state),
        Command::Open => open(state),
        Command::Baseline => {
            let bench = &mut state.screens.bench;
            bench.baseline = bench.selected.filter(|_| bench.baseline != bench.selected);
            Vec::new()
        }
        Command::SortNext => {
            let bench = &mut state.screens.bench;
            let at = BenchColumn::ALL.iter().position(|column| *column == bench.sort);
            let next = at.map_or(0, |at| (at + 1) % BenchColumn::ALL.len());
            bench.sort = BenchColumn::ALL[next];
            Vec::new()
        }
        Command::SortBack => {
            state.screens.bench.descending = !state.screens.bench.descending;
            Vec::new()
        }
        Command::EditField => {
            let bench = &mut state.screens.bench;
            bench.typing = Some(Input::from(bench.filter.clone()));
            Vec::new()
        }
        Command::Submit => {
            let bench = &mut state.screens.bench;
            bench.filter = bench.typing.take()?.value().to_owned();
            Vec::new()
        }
        Command::Back => {
            let bench = &mut state.screens.bench;
            // Leaves the field, then the filter, then the screen.
            if bench.typing.take().is_none() && std::mem::take(&mut bench.filter).is_empty() {
                return None;
            }
            Vec::new()
        }
        Command::PlotAxis => {
            let bench = &mut state.screens.bench;
            bench.against = match bench.against {
                Against::Bytes => Against::Time,
                Against::Time => Against::Bytes,
            };
            Vec::new()
        }
        Command::Unpin => {
            if let Some(id) = state.screens.bench.selected {
                state.screens.bench.remove(id);
            }
            Vec::new()
        }
        Command::Reset => {
            let was_running = state.screens.bench.is_running(state.run.generation);
            state.screens.bench.clear();
            state.tell("the bench is empty", false);
            was_running.then(|| Effect::Engine(Order::Sweep(Vec::new()))).into_iter().collect()
        }
        Command::Panel => {
            state.show_panel(!view::shows_plot(state));
            Vec::new()
        }
        _ => return None,
    };
    Some(effects)
}

/// Selects a row by its place among those shown, from the present one and the last.
fn select(state: &mut State, of: impl Fn(usize, usize) -> usize) -> Vec<Effect> {
    let ids = view::shown_ids(state);
    let bench = &mut state.screens.bench;
    let at = ids.iter().position(|id| Some(*id) == bench.selected);
    let next = of(at.unwrap_or(0), ids.len().saturating_sub(1));
    bench.selected = ids.get(next).copied();
    Vec::new()
}

fn pin(state: &mut State, command: Command) -> Vec<Effect> {
    let context = state.target_context;
    let [sense, sweep] =
        [Command::Sense, Command::Sweep].map(|command| state.key_on(Screen::Tune, command));
    let (Some(model), Some(tuning)) = (&state.model, &state.screens.tune) else {
        return Vec::new();
    };
    let bench = &mut state.screens.bench;
    let before = bench.pins().len();
    let mut known = 0;
    let added = match command {
        Command::Pin => pins::set(bench, tuning),
        Command::PinRules => pins::rules(bench, tuning, context, &sense),
        Command::PinNamed => pins::named(bench, tuning, model),
        _ => {
            let swept = pins::swept(bench, tuning);
            known = swept.known;
            swept.added
        }
    };
    let sentence = match (added, command) {
        (0, _) if before >= MOST => format!("the bench is full: {MOST} rows"),
        (0, Command::PinSweep) if tuning.sweep.progress().0 == 0 => {
            format!("no sweep yet: {sweep} in Tune makes one")
        }
        (0, _) => "pinned already".to_owned(),
        // Rows of before are in the table as well.
        (added, _) if before > 0 => {
            let rows = numbers::counted(added, "row", "rows");
            format!("{rows} pinned, {} in all", before + added)
        }
        (added, _) => format!("{} pinned", numbers::counted(added, "row", "rows")),
    };
    // Of an importance that reaches few channels most sizes are one mask.
    let same = match known {
        0 => String::new(),
        1 => "; 1 more point is one of these masks".to_owned(),
        n => format!("; {n} more points are the same masks as others"),
    };
    let left_out = match (command, bench.left_out.len()) {
        (Command::PinRules, 1) => "; the rule below the rows has none".to_owned(),
        (Command::PinRules, n) if n > 1 => format!("; the {n} rules below the rows have none"),
        _ => String::new(),
    };
    state.tell(format!("{sentence}{same}{left_out}"), false);
    Vec::new()
}

/// Measures all rows over the last steps so far, or stops. While text is generated no two rows would see
/// the same tokens, so the run is paused.
fn measure(state: &mut State) -> Vec<Effect> {
    if state.replay {
        state.tell(steer::no_model("measure with"), false);
        return Vec::new();
    }
    if let Some(why) = steer::measures_nothing(state) {
        state.tell(format!("nothing is measured here: {why}"), false);
        return Vec::new();
    }
    let bench = &mut state.screens.bench;
    if bench.is_running(state.run.generation) {
        bench.stop();
        state.tell("the measurement is given up; what it measured stays", false);
        return vec![Effect::Engine(Order::Sweep(Vec::new()))];
    }
    if bench.pins().is_empty() {
        let [pin, rules] =
            [Command::Pin, Command::PinRules].map(|command| state.key_on(Screen::Bench, command));
        let sentence =
            format!("nothing is pinned: {pin} pins what is set, {rules} a mask of every rule");
        state.tell(sentence, false);
        return Vec::new();
    }
    let mut effects = Vec::new();
    match state.phase {
        Phase::Running => {
            effects.push(Effect::Engine(Order::Pause));
            let key = state.keys.key_of(KeyContext::Global, Command::Pause).unwrap_or_default();
            let steps = state.run.pairs.len().saturating_sub(1);
            let few = match steps < LEAST_STEPS {
                true => {
                    let steps = numbers::counted(steps, "step", "steps");
                    format!(" after {steps}, too few to rank masks")
                }
                false => String::new(),
            };
            let sentence =
                format!("paused{few}, so that all rows see the same tokens; {key} goes on");
            state.tell_while(Holds::Standing, sentence);
        }
        Phase::Paused | Phase::Finished(_) => {}
        _ => {
            state.tell("there are no tokens to measure over yet", false);
            return Vec::new();
        }
    }
    if let Some(tuning) = &mut state.screens.tune {
        // The engine has one list of trials.
        tuning.sweep.stop();
    }
    effects.push(Effect::Engine(Order::Sweep(state.screens.bench.begin(state.run.generation))));
    effects
}

/// Decodes with the selected row.
fn open(state: &mut State) -> Vec<Effect> {
    let bench = &state.screens.bench;
    let Some(pin) = bench.selected.and_then(|id| bench.pin(id)) else { return Vec::new() };
    let (name, draft) = (pin.name.clone(), pin.draft.clone());
    let undo = state.keys.key_of(KeyContext::Global, Command::Undo).unwrap_or_default();
    let locked = match draft.locks.len() {
        0 => String::new(),
        heads => format!(" with {} locked", numbers::counted(heads, "head", "heads")),
    };
    let shown = match state.phase {
        Phase::Paused => {
            let key = state.keys.key_of(KeyContext::Global, Command::Pause).unwrap_or_default();
            format!("; paused: {key} decodes with it, for A/B")
        }
        _ => String::new(),
    };
    state.tell(format!("{name} is set{locked}; {undo} takes it back{shown}"), false);
    change(state, draft)
}

/// The focused part while the filter is typed.
pub fn focus(state: &State) -> Option<KeyContext> {
    state.screens.bench.typing.as_ref().map(|_| KeyContext::Field)
}

/// Adds to the filter.
pub fn typed(state: &mut State, typed: Typed) {
    if let Some(input) = &mut state.screens.bench.typing {
        typed.into_line(input, LONGEST_FILTER);
    }
}

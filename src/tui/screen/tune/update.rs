//! The keys of the tune screen.

use crate::decode::worker::EngineOrder as Order;
use crate::mask::CachePlan;
use crate::tui::app::action::{Command, Effect};
use crate::tui::app::areas;
use crate::tui::app::state::{OtherMask, State};
use crate::tui::app::steer;
use crate::tui::app::text_lines;
use crate::tui::screen::Screen;
use crate::tui::screen::tune::edit::{apply, change, edit};
use crate::tui::screen::tune::layout;
use crate::tui::screen::tune::state::{Against, Base, Control};

/// Runs a command of the screen.
pub fn update(state: &mut State, command: Command) -> Option<Vec<Effect>> {
    let effects = match command {
        Command::Up => select(state, |control| control.moved(-1)),
        Command::Down => select(state, |control| control.moved(1)),
        Command::First => select(state, |_| Control::ALL[0]),
        Command::Last => select(state, |_| Control::Hold),
        Command::Less => step(state, -1),
        Command::More => step(state, 1),
        Command::MuchLess => step(state, -5),
        Command::MuchMore => step(state, 5),
        Command::Open => open(state),
        Command::Sweep => sweep(state),
        Command::Sense => sense(state),
        Command::FindNext => point(state, 1),
        Command::FindPrev => point(state, -1),
        Command::PlotAxis => other_axis(state),
        Command::Diff => show_difference(state),
        Command::Flip
        | Command::FlipHead
        | Command::ChannelNarrower
        | Command::ChannelWider
        | Command::KNarrower
        | Command::KWider
        | Command::VNarrower
        | Command::VWider
        | Command::LayerNarrower
        | Command::LayerWider
        | Command::LockHead
        | Command::LockLayer
        | Command::Reset => edit(state, command),
        // On a narrow screen the panel shows the layers in place of the plot.
        Command::Panel => {
            let shown = layout::tune(state, areas::areas(state).main).layers.is_some();
            state.show_panel(!shown);
            Vec::new()
        }
        // Leaves the plot before the screen.
        Command::Back => {
            state.screens.tune.as_mut()?.cursor.take()?;
            Vec::new()
        }
        _ => return None,
    };
    Some(effects)
}

/// Selects a control, relative to the selected one.
fn select(state: &mut State, of: impl Fn(Control) -> Control) -> Vec<Effect> {
    if let Some(tuning) = &mut state.screens.tune {
        (tuning.control, tuning.cursor) = (of(tuning.control), None);
    }
    Vec::new()
}

/// Switches the x axis of the plot between bytes and time.
fn other_axis(state: &mut State) -> Vec<Effect> {
    if let Some(tuning) = &mut state.screens.tune {
        tuning.against = match tuning.against {
            Against::Bytes => Against::Time,
            Against::Time => Against::Bytes,
        };
    }
    Vec::new()
}

/// Changes the selected control by `by` steps.
fn step(state: &mut State, by: i32) -> Vec<Effect> {
    let (Some(model), Some(tuning)) = (&state.model, &mut state.screens.tune) else {
        return Vec::new();
    };
    match tuning.control {
        Control::Context => {
            state.change_target_context(by > 0);
            Vec::new()
        }
        Control::Hold => {
            tuning.hold = !tuning.hold;
            let due = !tuning.hold && !tuning.is_applied(model);
            if due { apply(state) } else { Vec::new() }
        }
        control => {
            let mut draft = tuning.draft().clone();
            let verbatim = Base::Verbatim(tuning.saved().mask.clone());
            control.step(
                &mut draft,
                by,
                &tuning.around(&verbatim, model, &state.keys, state.at.layer, state.target_context),
            );
            let before = (control == Control::Keep && draft != *tuning.draft())
                .then(|| tuning.proposal().plan.clone());
            let effects = change(state, draft);
            say_unmoved(state, before);
            effects
        }
    }
}

/// Says that another share to keep gave the same channels as before, and why.
fn say_unmoved(state: &mut State, before: Option<CachePlan>) {
    let Some(tuning) = &state.screens.tune else { return };
    if before.is_none_or(|before| before != tuning.proposal().plan) {
        return;
    }
    let sentence = match tuning.reach() {
        Some(reach) => format!(
            "the same channels as before: importance is above 0 for {:.1} %, and no others are kept",
            reach * 100.0
        ),
        None => format!(
            "the same channels as before: heads keep multiples of {} (align), and what is locked or set by hand stays",
            tuning.draft().align
        ),
    };
    state.tell(sentence, false);
}

/// Enter: takes the point under the plot's cursor, or applies the set mask.
fn open(state: &mut State) -> Vec<Effect> {
    let Some(tuning) = &mut state.screens.tune else { return Vec::new() };
    let Some(id) = tuning.cursor.take() else { return apply(state) };
    let taken = tuning
        .sweep
        .measured()
        .find(|(point, _)| point.id == id)
        .map(|(point, _)| point.draft.clone());
    taken.map_or_else(Vec::new, |draft| change(state, draft))
}

/// Begins a sweep, or cancels the current one.
fn sweep(state: &mut State) -> Vec<Effect> {
    if state.replay {
        state.tell(steer::no_model("measure with"), false);
        return Vec::new();
    }
    if let Some(why) = steer::measures_nothing(state) {
        state.tell(format!("nothing is measured here: {why}"), false);
        return Vec::new();
    }
    let generation = state.run.generation;
    let (Some(model), Some(tuning)) = (&state.model, &mut state.screens.tune) else {
        return Vec::new();
    };
    if tuning.sweep.is_running() {
        tuning.sweep.stop();
        state.tell("the sweep is given up; what it measured stays", false);
        return vec![Effect::Engine(Order::Sweep(Vec::new()))];
    }
    tuning.cursor = None;
    let trials = tuning.begin_sweep(model, generation);
    if trials.is_empty() {
        state.tell("floors and locks leave nothing to sweep", true);
        return Vec::new();
    }
    vec![Effect::Engine(Order::Sweep(trials))]
}

/// Moves the plot's cursor along its points.
fn point(state: &mut State, by: isize) -> Vec<Effect> {
    let generation = state.run.generation;
    let (Some(model), Some(tuning)) = (&state.model, &mut state.screens.tune) else {
        return Vec::new();
    };
    let spots = tuning.plot(model, state.target_context, generation).spots;
    let at = tuning.cursor.and_then(|id| spots.iter().position(|spot| spot.id == id));
    let next = match at {
        None if by > 0 => spots.first(),
        None => spots.last(),
        Some(at) => spots.get((at as isize + by).rem_euclid(spots.len() as isize) as usize),
    };
    tuning.cursor = next.map(|spot| spot.id);
    if spots.is_empty() {
        let sweep = state.key_on(Screen::Tune, Command::Sweep);
        state.tell(format!("no points yet: {sweep} begins a sweep"), false);
    }
    Vec::new()
}

/// Begins to measure the sensitivity that plans are chosen by, or stops. The texts are those that
/// learning reads; where there are none, what is on screen.
fn sense(state: &mut State) -> Vec<Effect> {
    if state.replay {
        state.tell(steer::no_model("measure"), false);
        return Vec::new();
    }
    let text = text_lines::whole(state);
    let Some(tuning) = &mut state.screens.tune else { return Vec::new() };
    if tuning.measuring.take().is_some() {
        state.tell("the measurement of sensitivity is given up", false);
        return vec![Effect::CancelSensing];
    }
    tuning.measuring = Some(0.0);
    let stops = state.key_on(Screen::Tune, Command::Sense);
    state.tell(format!("measuring sensitivity in the background; {stops} stops it"), false);
    vec![Effect::Sense(text)]
}

/// Shows the difference to what is saved on the map.
fn show_difference(state: &mut State) -> Vec<Effect> {
    let Some(tuning) = &state.screens.tune else { return Vec::new() };
    let saved = &tuning.saved().mask;
    state.other =
        Some(OtherMask { label: format!("{} (saved)", saved.label), plan: saved.plan.clone() });
    (state.diff, state.screen) = (true, Screen::Map);
    Vec::new()
}

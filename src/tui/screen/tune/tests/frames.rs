//! The screen as text and colours.

use crate::decode::worker::EngineOrder as Order;
use crate::decode::worker::event::Subject;
use crate::tui::app::action::{Action, Command, Effect};
use crate::tui::app::state::State;
use crate::tui::app::update::update;
use crate::tui::color::ColorDepth;
use crate::tui::screen::Screen;
use crate::tui::screen::tune::state::Control;
use crate::tui::testing::{
    LARGE, SMALL, act, answer, draw, frames, measured, send, sensitivity, session, text,
};

/// Half a sweep, a retuned and measured mask, a lock, a floor, channels set by hand, and a proposal
/// that waits.
fn tuned(state: &mut State) {
    act(state, Command::Show(Screen::Tune));
    send(state, measured(Subject::Now(0), 0.021, 0));
    let effects = update(state, Action::Do(Command::Sweep));
    let [Effect::Engine(Order::Sweep(trials))] = effects.as_slice() else { panic!("{effects:?}") };
    for (index, trial) in trials.iter().enumerate().take(14) {
        send(
            state,
            measured(Subject::Trial(trial.id), 2e-5 * 3.0_f64.powi(index as i32 % 10), 19 - index),
        );
    }
    for command in [
        Command::NextLayer,
        Command::LockLayer,
        Command::NextLayer,
        Command::LockHead,
        Command::Flip,
    ] {
        let effects = update(state, Action::Do(command));
        answer(state, &effects);
    }
    for _ in 0..4 {
        act(state, Command::Down);
    }
    act(state, Command::Down);
    act(state, Command::Down);
    let effects = update(state, Action::Do(Command::MuchMore));
    answer(state, &effects);
    send(state, measured(Subject::Now(2), 0.0173, 0));
    let tuning = state.screens.tune.as_mut().expect("loaded");
    (tuning.hold, tuning.control) = (true, Control::Keep);
    act(state, Command::MuchLess);
    state.toast = None;
}

#[test]
fn tuning() {
    for (name, dump) in frames("tune", SMALL, tuned) {
        insta::assert_snapshot!(name, dump);
    }
}

#[test]
fn tuning_a_large_model() {
    for size in [(80, 24), (120, 40), (200, 60)] {
        let mut state = session(LARGE, ColorDepth::None);
        tuned(&mut state);
        state.size = size;
        insta::assert_snapshot!(format!("tune_large_{}x{}", size.0, size.1), text(&draw(&state)));
    }
}

/// A plan chosen by bytes, with a whole sweep: masks, plans and named plans.
fn planned(state: &mut State) {
    act(state, Command::Show(Screen::Tune));
    send(state, measured(Subject::Now(0), 0.021, 0));
    state.screens.tune.as_mut().expect("loaded").control = Control::Bytes;
    let effects = update(state, Action::Do(Command::MuchLess));
    answer(state, &effects);
    let effects = update(state, Action::Do(Command::Sweep));
    let [Effect::Engine(Order::Sweep(trials))] = effects.as_slice() else { panic!("{effects:?}") };
    for trial in trials {
        // Less is worse; plans are better than what has a name, which is better than masks.
        let share = trial.plan.bytes_share(trial.window.chunk);
        let kind = if trial.plan.is_mask() {
            0.3
        } else if trial.plan.k_counts().0.iter().filter(|count| **count > 0).count() > 1 {
            0.002
        } else {
            0.01
        };
        send(state, measured(Subject::Trial(trial.id), kind * (-9.0 * share).exp(), 0));
    }
    for command in [Command::NextLayer, Command::KNarrower, Command::VWider] {
        let effects = update(state, Action::Do(command));
        answer(state, &effects);
    }
    state.toast = None;
}

#[test]
fn tuning_a_plan() {
    for (name, dump) in frames("tune_plan", SMALL, |state| {
        state.screens.tune.as_mut().expect("loaded").take_sensitivity(sensitivity(SMALL));
        planned(state);
    }) {
        insta::assert_snapshot!(name, dump);
    }
}

#[test]
fn names_on_the_plot_are_whole_or_absent() {
    for size in [(80, 24), (120, 40), (200, 60)] {
        let mut state = session(SMALL, ColorDepth::None);
        state.screens.tune.as_mut().expect("loaded").take_sensitivity(sensitivity(SMALL));
        planned(&mut state);
        state.size = size;
        let frame = text(&draw(&state));
        let known = ["k8v8", "k8v4", "k4v8", "k4v4", "q8_0", "q4_0", "q4_0+H", "plan", "mask"];
        let found = known.iter().filter(|name| frame.contains(**name)).count();
        // Five rows of points have no place for more.
        let least = if size.0 == 80 { 3 } else { 7 };
        assert!(found >= least, "{found} of {known:?} at {size:?}: {frame}");
        for word in frame.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            let starts = ["k8", "k4", "q8", "q4"].iter().any(|start| word.starts_with(start));
            assert!(!starts || known.contains(&word), "{word} at {size:?}: {frame}");
        }
    }
}

/// At 60x16 they once read "29.929.929.9%".
#[test]
fn figures_do_not_touch_on_the_smallest_terminal() {
    for shape in [SMALL, LARGE] {
        let mut state = session(shape, ColorDepth::None);
        (state.size, state.screen) = ((60, 16), Screen::Tune);
        let frame = text(&draw(&state));
        let (_, kept) = frame.split_once("K kept").expect("the table");
        let line = kept.lines().next().unwrap_or_default().trim();
        let figures: Vec<&str> =
            line.split("  ").map(str::trim).filter(|x| !x.is_empty()).collect();
        assert!(figures.len() >= 2, "{frame}");
        for figure in figures {
            assert_eq!(figure.matches('.').count(), 1, "{figure}: {frame}");
            assert_eq!(figure.matches('%').count(), 1, "{figure}: {frame}");
        }
    }
}

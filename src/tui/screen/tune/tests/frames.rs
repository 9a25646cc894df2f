//! The screen as text and colours.

use crate::decode::worker::EngineOrder as Order;
use crate::decode::worker::event::Subject;
use crate::tui::app::action::{Action, Command, Effect};
use crate::tui::app::state::State;
use crate::tui::app::update::update;
use crate::tui::color::ColorDepth;
use crate::tui::screen::Screen;
use crate::tui::screen::tune::state::Control;
use crate::tui::testing::{LARGE, SMALL, act, answer, draw, frames, measured, send, session, text};

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

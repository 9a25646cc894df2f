//! Properties of all screens: each does what its keys say, and nothing else.

use std::collections::HashSet;

use ratatui::crossterm::event::MouseEventKind;

use crate::decode::worker::EngineOrder as Order;
use crate::tui::app::action::{Action, Command, Effect};
use crate::tui::app::keys::KeyContext;
use crate::tui::app::state::{Dirty, State};
use crate::tui::app::update::update;
use crate::tui::color::ColorDepth;
use crate::tui::screen::{Screen, Wheel};
use crate::tui::testing::{SMALL, act, mouse, session};

fn on(screen: Screen) -> State {
    let mut state = session(SMALL, ColorDepth::True);
    state.screen = screen;
    // In the middle of the model, so that every move has an effect.
    (state.at.layer, state.at.head, state.at.channel) = (2, 1, 20);
    // The screen's own questions to the engine are asked before the test begins.
    update(&mut state, Action::Tick(0.0));
    state.dirty = Dirty::Clean;
    state
}

/// The whole state except what has to be drawn.
fn told(state: &State) -> String {
    format!("{:?}", State { dirty: Dirty::Clean, ..state.clone() })
}

fn bound_in(state: &State, context: KeyContext) -> HashSet<Command> {
    let rows = state.keys.rows().iter().filter(|row| row.context == context);
    rows.map(|row| row.command).collect()
}

#[test]
fn every_screen_claims_the_commands_of_its_table() {
    for screen in Screen::ALL {
        for (command, ..) in screen.parts().table {
            let mut state = on(screen);
            let claimed = (screen.parts().update)(&mut state, *command).is_some();
            assert!(claimed, "{screen:?}: {command:?}");
        }
    }
}

#[test]
fn a_command_that_a_screen_does_not_claim_changes_nothing() {
    for screen in Screen::ALL {
        let state = on(screen);
        let own = bound_in(&state, KeyContext::Screen(screen));
        let everywhere = bound_in(&state, KeyContext::Global);
        // Only active while something is typed, which no screen does here.
        let of_typing = screen.parts().typing.is_some().then_some(Command::Submit);
        for command in Command::all() {
            if own.contains(&command) || everywhere.contains(&command) {
                continue;
            }
            if of_typing == Some(command) {
                continue;
            }
            let mut after = state.clone();
            assert_eq!(act(&mut after, command), [], "{screen:?}: {command:?}");
            assert!(told(&after) == told(&state), "{screen:?}: {command:?} changed something");
        }
    }
}

#[test]
fn the_wheel_stands_for_a_command_that_its_screen_has_a_key_for() {
    for screen in Screen::ALL {
        let before = on(screen);
        for kind in [MouseEventKind::ScrollUp, MouseEventKind::ScrollDown] {
            for x in (0..before.size.0).step_by(7) {
                for y in 2..before.size.1 - 1 {
                    let wheel = Wheel { x, y, up: kind == MouseEventKind::ScrollUp, ctrl: false };
                    let Some(command) = (screen.parts().wheel)(&before, wheel) else { continue };
                    assert!(
                        before
                            .keys
                            .of(KeyContext::Screen(screen))
                            .any(|row| row.command == command),
                        "{screen:?} at {x}, {y}: {command:?}"
                    );
                }
            }
        }
    }
}

/// The wheel over Perf once moved the watched head.
#[test]
fn the_wheel_over_perf_changes_nothing() {
    let before = on(Screen::Perf);
    for kind in [MouseEventKind::ScrollUp, MouseEventKind::ScrollDown] {
        let mut state = before.clone();
        assert_eq!(mouse(&mut state, kind, (30, 10)), []);
        assert!(told(&state) == told(&before));
    }
}

/// The wheel over Tune once changed the selected control, and with it the mask in use.
#[test]
fn the_wheel_over_tune_sends_no_mask() {
    let before = on(Screen::Tune);
    let set = |state: &State| state.screens.tune.as_ref().map(|tuning| tuning.draft().clone());
    for kind in [MouseEventKind::ScrollUp, MouseEventKind::ScrollDown] {
        for x in (0..before.size.0).step_by(3) {
            for y in 2..before.size.1 - 1 {
                let mut state = before.clone();
                let effects = mouse(&mut state, kind, (x, y));
                let is_retune =
                    |effect: &Effect| matches!(effect, Effect::Engine(Order::Retune(_)));
                assert!(!effects.iter().any(is_retune), "{x}, {y}");
                assert!(set(&state) == set(&before), "{x}, {y}");
            }
        }
    }
}

#[test]
fn names_and_keys_of_screens_differ() {
    let mut seen = HashSet::new();
    for screen in Screen::ALL {
        assert!(seen.insert(screen.name()) && seen.insert(screen.parts().key), "{screen:?}");
        assert_eq!(Command::from_name(screen.command_name()), Some(Command::Show(screen)));
    }
}

//! The perf screen.

use crate::decode::worker::event::StepMs;
use crate::tui::app::action::Command;
use crate::tui::color::ColorDepth;
use crate::tui::screen::Screen;
use crate::tui::testing::{SMALL, act, draw, frames, session, text};

#[test]
fn memory_and_speed() {
    for (name, dump) in frames("perf", SMALL, |state| drop(act(state, Command::Show(Screen::Perf))))
    {
        insta::assert_snapshot!(name, dump);
    }
}

#[test]
fn parts_of_a_step_that_nobody_timed_are_not_shown_as_nothing() {
    let mut state = session(SMALL, ColorDepth::None);
    state.size = (120, 40);
    for step in &mut state.run.steps {
        step.ms = StepMs { total: step.ms.total, rest: step.ms.total, ..StepMs::default() };
    }
    let map = text(&draw(&state));
    assert!(map.contains("TPOT") && !map.contains("of a step"), "{map}");
    state.screen = Screen::Perf;
    let perf = text(&draw(&state));
    assert!(
        perf.contains("a device's step is timed as a whole") && !perf.contains("attention ms"),
        "{perf}"
    );
}

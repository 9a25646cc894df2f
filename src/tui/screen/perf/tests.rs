//! The perf screen.

use crate::decode::worker::event::{Event, Memory, StepMs};
use crate::tui::app::action::Command;
use crate::tui::color::ColorDepth;
use crate::tui::screen::Screen;
use crate::tui::testing::{LARGE, SMALL, act, draw, frames, send, session, text};

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

#[test]
fn what_is_allocated_stands_beside_what_was_stored_at_the_same_moment() {
    let perf = |kv_stored| {
        let mut state = session(SMALL, ColorDepth::None);
        (state.size, state.screen) = ((120, 40), Screen::Perf);
        let memory = Memory { resident: None, device: None, kv_allocated: 2_200_000, kv_stored };
        send(&mut state, Event::Memory(memory));
        text(&draw(&state))
    };
    let both = perf(Some(2_000_000));
    assert!(
        both.contains("+10.0 % over what is stored") && both.contains("1.91 MiB of elements"),
        "{both}"
    );
    let older = perf(None);
    assert!(
        older.contains("2.10 MiB of whole blocks") && !older.contains("of elements"),
        "{older}"
    );
}

/// Perf once gave the bound of endless contexts, 14.55, in a panel titled with a context; Tune said
/// 7.88 of the same mask there.
#[test]
fn the_bound_is_that_of_the_context_and_the_same_on_tune() {
    let mut state = session(SMALL, ColorDepth::None);
    state.size = (120, 40);
    for tokens in [512, 2_560, 32_768] {
        state.target_context = tokens;
        let tuning = state.screens.tune.as_ref().expect("loaded");
        let bound = tuning.proposed_tally(tokens).bound.expect("bytes are read");
        state.screen = Screen::Perf;
        let perf = text(&draw(&state));
        assert!(perf.contains(&format!("attention ≤ {bound:.2}×")), "{bound}: {perf}");
        state.screen = Screen::Tune;
        let tune = text(&draw(&state));
        assert!(tune.contains(&format!("≤{bound:.2}×")), "{bound}: {tune}");
    }
}

/// Two rows called `stored` once differed by what was decoded between them.
#[test]
fn what_is_allocated_says_at_how_many_tokens() {
    let mut state = session(SMALL, ColorDepth::None);
    (state.size, state.screen) = ((120, 40), Screen::Perf);
    let at = state.run.cached;
    let memory =
        Memory { resident: None, device: None, kv_allocated: 9, kv_stored: Some(1_064_000) };
    send(&mut state, Event::Memory(memory));
    let info = state.model.as_ref().expect("loaded").info.clone();
    for n in 121..=130 {
        send(&mut state, crate::tui::testing::pair(&info, n, 399 + n));
        send(&mut state, crate::tui::testing::token(&info, n, 399 + n));
    }
    let frame = text(&draw(&state));
    assert!(frame.contains(&format!("measured at {at} tokens")), "{frame}");
    assert!(frame.contains(&format!("{} tokens", at + 10)), "the cache now: {frame}");
    assert!(frame.contains("last 32 of 129 steps") && frame.contains("all steps"), "{frame}");
}

/// At 120x40 the list once ended at L28 of 32 layers without a word.
#[test]
fn layers_without_room_are_counted() {
    let mut state = session(LARGE, ColorDepth::None);
    state.screen = Screen::Perf;
    for size in [(80, 24), (120, 40), (200, 60)] {
        state.size = size;
        let frame = text(&draw(&state));
        let Some(title) = frame.lines().find(|line| line.contains("bytes of a middle token"))
        else {
            continue;
        };
        let rows = (0..32).filter(|layer| frame.contains(&format!(" L{layer:02} "))).count();
        let is_marked = title.contains(&format!("L0–{} of 32, J K", rows - 1));
        assert!(is_marked || rows == 32 && title.contains("by layer"), "{rows}: {frame}");
    }
}

//! Every screen, as text and colours.

use crate::decode::worker::Command as Order;
use crate::decode::worker::event::{Event, StepMs, Subject};
use crate::mask::Shape;
use crate::tui::action::{Action, Command, Effect};
use crate::tui::color::Depth;
use crate::tui::geometry;
use crate::tui::state::tune::Control;
use crate::tui::state::{Level, Screen, State};
use crate::tui::testing::{
    LARGE, SMALL, answer, blank, draw, head_detail, learned, learning, measured, send, session,
    styled, text,
};
use crate::tui::update::update;

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 60)];
const DEPTHS: [Depth; 3] = [Depth::True, Depth::Ansi256, Depth::None];

fn snapshots(name: &str, shape: Shape, prepare: impl Fn(&mut State)) {
    for depth in DEPTHS {
        for size in SIZES {
            let mut state = session(shape, depth);
            prepare(&mut state);
            state.size = size;
            let frame = draw(&state);
            let dump = if depth == Depth::None { text(&frame) } else { styled(&frame) };
            insta::assert_snapshot!(format!("{name}_{}x{}_{}", size.0, size.1, depth.name()), dump);
        }
    }
}

fn run(state: &mut State, command: Command) {
    update(state, Action::Do(command));
}

#[test]
fn the_map() {
    snapshots("map", LARGE, |state| {
        for _ in 0..14 {
            run(state, Command::Down);
        }
        run(state, Command::Right);
    });
}

#[test]
fn a_layer() {
    snapshots("layer", SMALL, |state| {
        run(state, Command::Open);
        run(state, Command::Right);
        state.metric = crate::tui::state::Metric::Live;
    });
}

#[test]
fn a_head() {
    snapshots("head", SMALL, |state| {
        run(state, Command::NextLayer);
        run(state, Command::ShowHead);
        send(state, head_detail(SMALL, 1, 0));
    });
}

#[test]
fn memory_and_speed() {
    snapshots("perf", SMALL, |state| run(state, Command::ShowPerf));
}

/// Half a sweep, a retuned mask that is measured, a lock, a floor and channels set by hand, and a
/// proposal that waits.
fn tuned(state: &mut State) {
    run(state, Command::ShowTune);
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
        run(state, Command::Down);
    }
    run(state, Command::Down);
    let effects = update(state, Action::Do(Command::MuchMore));
    answer(state, &effects);
    send(state, measured(Subject::Now(2), 0.0173, 0));
    let tuning = state.tuning.as_mut().expect("loaded");
    (tuning.hold, tuning.control) = (true, Control::Keep);
    run(state, Command::MuchLess);
    state.toast = None;
}

#[test]
fn tuning() {
    snapshots("tune", SMALL, tuned);
}

#[test]
fn tuning_a_large_model() {
    for size in SIZES {
        let mut state = session(LARGE, Depth::None);
        tuned(&mut state);
        state.size = size;
        insta::assert_snapshot!(format!("tune_large_{}x{}", size.0, size.1), text(&draw(&state)));
    }
}

#[test]
fn a_learning_and_its_end() {
    snapshots("learn", SMALL, |state| learning(state, 90));
    snapshots("learned", LARGE, |state| {
        learning(state, 250);
        learned(state);
    });
}

#[test]
fn the_help_and_the_palette() {
    for (name, command) in [("help", Command::Help), ("palette", Command::Palette)] {
        let mut state = session(SMALL, Depth::None);
        run(&mut state, command);
        insta::assert_snapshot!(name, text(&draw(&state)));
    }
}

#[test]
fn the_colour_maps() {
    use crate::tui::color::{Colormap, DIVERGING};
    let line = |name: &str, table: &[u32]| {
        format!(
            "{name}: {}",
            table.iter().map(|c| format!("{c:06x}")).collect::<Vec<_>>().join(" ")
        )
    };
    let mut lines: Vec<String> =
        Colormap::ALL.into_iter().map(|map| line(map.name(), &map.table(false))).collect();
    lines.push(line("difference", &DIVERGING));
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn dense_against_masked() {
    snapshots("ab", SMALL, |state| {
        run(state, Command::ShowAb);
        run(state, Command::FindPrev);
        let asked = state.ab.asked.expect("the engine is asked about the token under the cursor");
        send(state, crate::tui::testing::lost(asked));
    });
}

#[test]
fn the_text() {
    snapshots("text", SMALL, |state| run(state, Command::ShowText));
}

#[test]
fn small_models_fill_the_screen_as_well_as_large_ones() {
    for shape in [
        SMALL,
        Shape { layers: 30, kv_heads: 3, head_dim: 64 },
        LARGE,
        Shape { layers: 4, kv_heads: 1, head_dim: 32 },
    ] {
        let mut state = session(shape, Depth::True);
        state.size = (120, 40);
        let main = geometry::areas(&state).main;
        let grid = geometry::grid(&state, main, shape);
        let (first, last) = (
            grid.strip_of(0, 0).expect("shown"),
            grid.strip_of(shape.layers - 1, shape.kv_heads - 1).expect("shown"),
        );
        let share = f32::from(last.right() - first.left()) * f32::from(last.bottom() - first.top())
            / (f32::from(main.width) * f32::from(main.height));
        assert!(share > 0.6, "{shape}: {share}");
    }
}

#[test]
fn the_first_frame_says_what_is_loading() {
    let frame = text(&draw(&blank(Depth::True)));
    assert!(frame.contains("loading demo") && frame.contains("loading 0 %"), "{frame}");
}

#[test]
fn too_small_a_terminal_says_what_is_needed() {
    let mut state = session(SMALL, Depth::True);
    state.size = (50, 20);
    assert_eq!(text(&draw(&state)).lines().next(), Some("kscope needs 60x16, this is 50x20"));
}

#[test]
fn every_screen_draws_at_every_size_and_depth() {
    for shape in [
        SMALL,
        LARGE,
        Shape { layers: 80, kv_heads: 32, head_dim: 128 },
        Shape { layers: 1, kv_heads: 1, head_dim: 16 },
    ] {
        for depth in [Depth::True, Depth::Ascii] {
            for size in
                [(1, 1), (59, 16), (60, 16), (80, 24), (99, 17), (100, 30), (131, 41), (300, 100)]
            {
                let mut state = session(shape, depth);
                state.size = size;
                for screen in Screen::ALL {
                    for level in [Level::Model, Level::Layer] {
                        (state.screen, state.level) = (screen, level);
                        for command in [
                            Command::Help,
                            Command::Palette,
                            Command::Find,
                            Command::Log,
                            Command::Panel,
                        ] {
                            run(&mut state, command);
                            draw(&state);
                            state.overlay = None;
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_dropped_head_is_told_by_shape_on_every_depth() {
    for depth in Depth::ALL {
        let mut state = session(LARGE, depth);
        state.size = (200, 60);
        let mark = if depth == Depth::Ascii { 'x' } else { '×' };
        let frame = text(&draw(&state));
        // One head in seven, in every row of it a mark in every second cell; the legend explains it
        // once.
        assert!(frame.matches(mark).count() > 30, "{depth:?}");
        assert!(frame.contains("dropped head (36 of 256)"), "{frame}");
    }
}

#[test]
fn plain_terminals_get_plain_characters() {
    for screen in Screen::ALL {
        let mut state = session(SMALL, Depth::Ascii);
        state.screen = screen;
        let frame = text(&draw(&state));
        assert!(
            frame.is_ascii(),
            "{screen:?}: {:?}",
            frame.chars().filter(|c| !c.is_ascii()).collect::<Vec<_>>()
        );
        assert!(
            !frame.contains('?') || screen != Screen::Map || frame.matches('?').count() == 1,
            "only the help key: {frame}"
        );
    }
}

#[test]
fn parts_of_a_step_that_nobody_timed_are_not_shown_as_nothing() {
    let mut state = session(SMALL, Depth::None);
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
fn why_a_run_failed_stays_in_sight() {
    let mut state = session(SMALL, Depth::None);
    state.size = (80, 24);
    let sentence = "the card's memory is full";
    send(&mut state, Event::Failed { sentence: sentence.to_owned(), code: 1 });
    assert!(state.toast.take().is_some_and(|toast| toast.failed));
    let frame = text(&draw(&state));
    assert!(
        frame.contains("FAILED") && frame.contains(sentence) && frame.contains("help"),
        "{frame}"
    );
}

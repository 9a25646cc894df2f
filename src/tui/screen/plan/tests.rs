//! The plan screen.

use crate::tui::app::action::Command;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::color::ColorDepth;
use crate::tui::screen::Screen;
use crate::tui::screen::plan::state::{Knob, Planning};
use crate::tui::testing::{SMALL, act, draw, frames, session, text};

fn shown(commands: &[Command]) -> (State, String) {
    let mut state = session(SMALL, ColorDepth::None);
    (state.size, state.screen) = ((120, 40), Screen::Plan);
    commands.iter().for_each(|command| drop(act(&mut state, *command)));
    let drawn = text(&draw(&state));
    (state, drawn)
}

#[test]
fn what_fits_and_what_it_costs() {
    let set_up = |state: &mut State| {
        act(state, Command::Show(Screen::Plan));
        act(state, Command::Metric);
    };
    for (name, dump) in frames("plan", SMALL, set_up) {
        insta::assert_snapshot!(name, dump);
    }
}

#[test]
fn the_question_about_llama_takes_two_keys() {
    // 8 shows the screen, m takes the first published shape; 32k and 16 sequences are set already.
    let (state, drawn) = shown(&[Command::Metric]);
    let planning = &state.screens.plan;
    assert_eq!((planning.ctx, planning.batch), (32_768, 16));
    assert!(drawn.contains("llama-3.1-8b") && drawn.contains("32,768 × 16"), "{drawn}");
    // 128 KiB a token.
    assert!(drawn.contains("64.0 GiB"), "{drawn}");
    assert!(drawn.contains("dense no, stored yes"), "{drawn}");
}

#[test]
fn every_knob_moves_its_figure_and_stays_in_its_range() {
    for knob in Knob::ALL {
        let mut state = shown(&[Command::Metric]).0;
        let model = state.model.take().unwrap();
        let before = state.screens.plan.value(knob, &model);
        state.screens.plan.step(knob, 1, &model);
        assert_ne!(state.screens.plan.value(knob, &model), before, "{knob:?}");
        for by in [100, -200, 3] {
            state.screens.plan.step(knob, by, &model);
            let request = state.screens.plan.request(&model);
            request.unwrap_or_else(|error| panic!("{knob:?}: {error}"));
        }
    }
}

#[test]
fn every_model_gives_a_plan_or_says_why_not() {
    let mut state = session(SMALL, ColorDepth::None);
    (state.size, state.screen) = ((120, 40), Screen::Plan);
    for _ in 0..super::knobs::models().len() + 1 {
        let drawn = text(&draw(&state));
        let name = state.screens.plan.value(Knob::Model, state.model.as_ref().unwrap());
        assert!(drawn.contains(&name), "{name}");
        if name.starts_with("deepseek") {
            assert!(drawn.contains("no plan") && drawn.contains("latent"), "{drawn}");
        } else {
            assert!(drawn.contains("decode step"), "{name}: {drawn}");
        }
        act(&mut state, Command::Metric);
    }
    assert_eq!(state.screens.plan.model, 0);
}

#[test]
fn the_loaded_model_is_planned_with_its_own_mask() {
    let (state, drawn) = shown(&[]);
    let model: &ModelView = state.model.as_ref().unwrap();
    let request = state.screens.plan.request(model).unwrap();
    let report = crate::capacity::plan(&request).unwrap();
    let stored = model.spec.bytes_at(request.ctx[0]).total() * request.batch[0];
    assert_eq!(report.rows[0].kv_bytes, stored as u64);
    assert!(drawn.contains("learned-50"), "{drawn}");
    let mut state = state;
    act(&mut state, Command::MuchMore);
    act(&mut state, Command::Reset);
    assert_eq!(state.screens.plan, Planning::default());
}

//! The plan screen.

use ratatui::crossterm::event::KeyCode;

use crate::capacity::GPUS;
use crate::tui::app::action::Command;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::color::ColorDepth;
use crate::tui::screen::Screen;
use crate::tui::screen::plan::state::{Knob, Planning};
use crate::tui::testing::{SMALL, act, draw, frames, key, letters, session, text};

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

/// "How much at 32k × 16 on Llama-3.1-8B?"
#[test]
fn the_question_about_llama_takes_two_keys_and_never_more_than_six() {
    let answer = |typed: &[KeyCode], size| {
        let mut state = session(SMALL, ColorDepth::None);
        state.size = size;
        typed.iter().for_each(|&code| drop(key(&mut state, code)));
        let drawn = text(&draw(&state));
        assert!(drawn.contains("llama-3.1-8b") && drawn.contains("32,768 × 16"), "{drawn}");
        // 128 KiB a token.
        assert!(drawn.contains("64.0 GiB") && drawn.contains("41.6 GiB"), "{drawn}");
        assert!(drawn.contains("dense no, stored yes"), "{drawn}");
    };
    let c = KeyCode::Char;
    for size in [(80, 24), (120, 40), (200, 60)] {
        answer(&[c('8'), c('m')], size);
        // From anywhere: R puts the knobs back, whatever they are set to.
        answer(&[c('8'), c('n'), c('}'), c('G'), c('R'), c('m')], size);
    }
}

#[test]
fn every_value_is_whole_on_a_small_screen() {
    let mut state = session(SMALL, ColorDepth::None);
    (state.size, state.screen) = ((80, 24), Screen::Plan);
    for index in 0..=super::knobs::models().len().max(GPUS.len()) {
        state.screens.plan.model = index.min(super::knobs::models().len());
        state.screens.plan.gpu = index.min(GPUS.len() - 1);
        state.screens.plan.stored = index;
        let drawn = text(&draw(&state));
        for line in drawn.lines().skip(3).take(13) {
            let knob: String = line.chars().take(34).collect();
            assert!(!knob.contains('…'), "{index}: {line}");
            assert!(knob.chars().nth(33).is_none_or(|c| c == ' '), "{index}: {line}");
        }
    }
}

/// Two times were once cut to one number that is neither: 0.0387…0066ms.
#[test]
fn the_times_of_a_step_are_whole_on_the_smallest_terminal() {
    let mut state = session(SMALL, ColorDepth::None);
    (state.size, state.screen) = ((60, 16), Screen::Plan);
    state.screens.plan.knob = Knob::Reach;
    let mut seen = 0;
    for index in 0..=super::knobs::models().len().max(GPUS.len()) {
        state.screens.plan.model = index.min(super::knobs::models().len());
        state.screens.plan.gpu = index.min(GPUS.len() - 1);
        let drawn = text(&draw(&state));
        for line in drawn.lines().filter(|line| line.contains("a step ")) {
            let (_, value) = line.split_once("a step ").expect("found");
            assert!(!value.contains('…'), "{index}: {line}");
            seen += 1;
        }
    }
    assert!(seen > 0, "the pane is on screen");
    let least = super::outcome::least_step;
    assert_eq!(least(Some(0.0387), Some(0.0066)), "39→6.6 µs");
    assert_eq!(least(Some(1234.5), Some(123.4)), "1234→123 ms");
    assert_eq!(least(None, Some(21.0)), "–→21 ms");
}

/// The last knob once left `a step` as the bottom row, and no key led to the cost.
#[test]
fn the_cost_is_in_sight_at_its_knobs_on_the_smallest_terminal() {
    let mut state = session(SMALL, ColorDepth::None);
    (state.size, state.screen) = ((60, 16), Screen::Plan);
    act(&mut state, Command::Metric);
    key(&mut state, KeyCode::Char('g'));
    let top = text(&draw(&state));
    assert!(top.contains("K/V cache") && top.contains("▾ cost: $/hour and below"), "{top}");
    for knob in Knob::ALL.into_iter().skip(Knob::Price as usize) {
        state.screens.plan.knob = knob;
        let end = text(&draw(&state));
        assert!(end.contains("▲ size and fit") && end.contains("cost ─"), "{end}");
        for words in ["a step ", "$/M out", "low ", "mid ", "high "] {
            let line = end.lines().find(|line| line.contains(words));
            let line = line.unwrap_or_else(|| panic!("{knob:?}, {words}: {end}"));
            assert!(!line.contains('…'), "{line}");
        }
    }
    // Where both fit, no row is lost to say so.
    state.size = (80, 24);
    let both = text(&draw(&state));
    assert!(both.contains("K/V cache") && both.contains("high ") && !both.contains('▲'), "{both}");
}

/// "dense no" and no price once stood above "1 → 1 GPU" without a word that those are of other
/// requests.
#[test]
fn costs_say_which_context_and_which_load_they_are_of() {
    let (mut state, _) = shown(&[Command::Metric]);
    state.size = (200, 60);
    let drawn = text(&draw(&state));
    let line = |words: &str| {
        let found = drawn.lines().find(|line| line.contains(words));
        found.unwrap_or_else(|| panic!("{words}: {drawn}")).to_owned()
    };
    let price = line("$/M out");
    assert!(price.contains("dense does not fit") && price.contains("at 32,768 × 16"), "{price}");
    let plan = &state.screens.plan;
    let load = line("requests a day of");
    let requests = crate::numbers::count(plan.requests);
    assert!(load.contains(&requests), "{load}");
}

#[test]
fn work_that_nothing_pays_back_is_said_and_not_drawn() {
    // A load that one GPU serves either way: nothing is ever paid back.
    for size in [(120, 40), (200, 60)] {
        let (mut state, _) = shown(&[Command::Metric]);
        state.size = size;
        state.screens.plan.requests = 1000;
        let drawn = text(&draw(&state));
        let flat = drawn.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("the work costs $9,600"), "{drawn}");
        assert!(!drawn.contains("-$9,600") && !drawn.contains('⣀'), "{drawn}");
        // Without work to pay back there is nothing to draw.
        state.screens.plan.hours = 0;
        let drawn = text(&draw(&state));
        assert!(drawn.contains("no work, and nothing is gained"), "{drawn}");
    }
}

#[test]
fn a_small_screen_has_the_rest_behind_a_key() {
    let mut state = session(SMALL, ColorDepth::None);
    (state.size, state.screen) = ((80, 24), Screen::Plan);
    act(&mut state, Command::Metric);
    let answers = text(&draw(&state));
    for words in ["K/V cache", "decode step", "low ", "mid ", "high "] {
        assert!(answers.contains(words), "{words}: {answers}");
    }
    assert!(!answers.contains("context × sequences"));
    key(&mut state, KeyCode::Tab);
    let more = text(&draw(&state));
    assert!(more.contains("context × sequences") && more.contains("assumed"), "{more}");
    assert!(more.contains("131,072") && more.contains("8 8-bit"), "{more}");
    key(&mut state, KeyCode::Tab);
    assert_eq!(text(&draw(&state)), answers);
    // Where all of it is shown, the key changes nothing.
    state.size = (120, 40);
    let all = text(&draw(&state));
    assert!(all.contains("context × sequences") && all.contains("gained so far"), "{all}");
    key(&mut state, KeyCode::Tab);
    assert_eq!(text(&draw(&state)), all);
}

#[test]
fn values_and_names_can_be_typed() {
    let mut state = shown(&[Command::Metric]).0;
    let mut type_for = |knob: Knob, typed: &str| {
        state.screens.plan.knob = knob;
        key(&mut state, KeyCode::Enter);
        letters(&mut state, typed);
        assert!(text(&draw(&state)).contains(&format!("{typed}▏")), "{typed}");
        key(&mut state, KeyCode::Enter);
        assert!(state.screens.plan.typing.is_none());
        let told = state.toast.take().map(|toast| toast.sentence);
        let model = state.model.take().unwrap();
        let value = state.screens.plan.value(knob, &model, 40);
        state.model = Some(model);
        (value, told)
    };
    for (knob, typed, value) in [
        (Knob::Context, "24k", "24,576"),
        (Knob::Batch, "12", "12"),
        (Knob::Gpu, "l40", "l40s"),
        (Knob::Price, "1.25", "1.25"),
        (Knob::Model, "GEMMA-3-27B", "gemma-3-27b"),
        (Knob::Stored, "k8v4", "k8v4"),
        (Knob::Reach, "77", "77 %"),
        (Knob::TokensIn, "100k", "102,400"),
        (Knob::Hours, "0", "0"),
    ] {
        assert_eq!(type_for(knob, typed), (value.to_owned(), None), "{knob:?} {typed}");
    }
    for (knob, typed, part) in [
        (Knob::Context, "256k", "1 to 131,072, not `256k`"),
        (Knob::Batch, "0", "1 to 1,048,576, not `0`"),
        (Knob::Gpu, "h100", "`h100` may be h100-sxm, h100-pcie or more"),
        (Knob::Model, "gpt-9", "no name begins with `gpt-9`"),
        (Knob::Price, "-1", "expected dollars"),
        (Knob::Price, "NaN", "expected dollars"),
        (Knob::Reach, "200", "5 to 100"),
    ] {
        let before = type_for(knob, " ").0;
        let (value, told) = type_for(knob, typed);
        assert_eq!(value, before, "{knob:?} {typed}");
        assert!(told.as_ref().is_some_and(|told| told.contains(part)), "{typed}: {told:?}");
    }
    // Escape leaves the value as it was, and then the screen as usual.
    key(&mut state, KeyCode::Enter);
    letters(&mut state, "5");
    key(&mut state, KeyCode::Esc);
    assert!(state.screens.plan.typing.is_none() && state.screen == Screen::Plan);
}

#[test]
fn help_begins_with_the_keys_that_work_here() {
    let mut state = shown(&[]).0;
    act(&mut state, Command::Help);
    let drawn = text(&draw(&state));
    let first = drawn.lines().find(|line| line.contains("knob above"));
    assert!(first.is_some_and(|line| line.contains("plan")), "{drawn}");
    let row = |words: &str| drawn.lines().position(|line| line.contains(words));
    assert!(row("all knobs as they were") < row("pause or go on"), "{drawn}");
    assert!(!drawn.contains("open the layer"), "the map's keys are further down: {drawn}");
}

#[test]
fn every_knob_moves_its_figure_and_stays_in_its_range() {
    for knob in Knob::ALL {
        let mut state = shown(&[Command::Metric]).0;
        let model = state.model.take().unwrap();
        let before = state.screens.plan.value(knob, &model, 40);
        state.screens.plan.step(knob, 1, &model);
        assert_ne!(state.screens.plan.value(knob, &model, 40), before, "{knob:?}");
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
        let name = state.screens.plan.value(Knob::Model, state.model.as_ref().unwrap(), 40);
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
    let as_at_first = format!("{:?}", Planning::default());
    assert_eq!(format!("{:?}", state.screens.plan), as_at_first);
}

/// The demo's context of 2,560 once stood beside prompts of 8,192 tokens, and work that nothing pays
/// back as an amount "gained".
#[test]
fn tokens_fit_the_context_and_what_is_not_gained_is_no_saving() {
    let mut info = crate::tui::testing::info(SMALL);
    (info.max_context, info.context) = (2_560, 2_560);
    let mut state = crate::tui::testing::session_of(info, ColorDepth::None);
    (state.screen, state.size) = (Screen::Plan, (200, 60));
    let frame = text(&draw(&state));
    let knob =
        |name: &str| frame.lines().find(|line| line.contains(name)).expect("a knob").to_owned();
    assert!(knob("tokens in").contains(" 2,048"), "{frame}");
    assert!(knob("tokens out").contains(" 512"), "{frame}");
    assert!(frame.contains("the work costs $9,600, and nothing is gained in 24 months"), "{frame}");
    assert!(!frame.contains("-$9,600") && frame.contains("1 → 1 GPU,"), "{frame}");
    // The text of the run stands there once.
    assert_eq!(frame.matches("text ──").count(), 1, "{frame}");
}

//! Evaluating from the screen: the keys, the order, the effect of news, and what is drawn.

use std::sync::Arc;

use ratatui::crossterm::event::KeyCode;

use crate::decode::worker::{EngineOrder, Prompt};
use crate::eval::prompt::Protocol;
use crate::eval::recall::RecallTask;
use crate::eval::run::{Figures, Suite};
use crate::eval::worker::{EvalNews, EvalOrder, EvalTold, LostSample};
use crate::tui::app::action::{Action, Command, Effect};
use crate::tui::app::keys::KeyContext;
use crate::tui::app::state::State;
use crate::tui::app::update::update;
use crate::tui::color::ColorDepth;
use crate::tui::export::{ExportFormat, make};
use crate::tui::screen::Screen;
use crate::tui::screen::eval::layout;
use crate::tui::screen::eval::state::{EvalField, EvalPart};
use crate::tui::screen::eval::view::meanings_of;
use crate::tui::testing::{
    EVALUATED, LARGE, SMALL, act, draw, evaluated, frames, key, letters, looked_for, session, text,
};

fn on_screen() -> State {
    let mut state = session(SMALL, ColorDepth::None);
    letters(&mut state, "9");
    assert_eq!((state.screen, state.context()), (Screen::Eval, KeyContext::Screen(Screen::Eval)));
    state
}

fn ordered(effects: &[Effect]) -> &EvalOrder {
    match effects {
        [Effect::Evaluate(order)] => order,
        other => panic!("{other:?}"),
    }
}

fn tell(state: &mut State, told: EvalTold) {
    let generation = state.screens.eval.generation;
    update(state, Action::Evaluating(Box::new(EvalNews { generation, told })));
}

fn lost(index: usize) -> LostSample {
    LostSample {
        task: "niah_multikey_1".to_owned(),
        ctx: 1024,
        index,
        mask: EVALUATED.to_owned(),
        references: vec!["4417".to_owned()],
        dense: " 4417.".to_owned(),
        answer: " 7714.\nThe".to_owned(),
        prompt: vec![3, 1, 4, 1, 5],
    }
}

/// A run in its middle: 61 of 120 samples after two minutes, the first of which read texts.
fn evaluating(state: &mut State) {
    act(state, Command::Show(Screen::Eval));
    let began = state.now_ms;
    act(state, Command::Evaluate);
    update(state, Action::Tick(began + 60_000.0));
    tell(state, EvalTold::Going(1, 120, String::new()));
    update(state, Action::Tick(began + 120_000.0));
    tell(state, EvalTold::Going(61, 120, "recall vt at 1,024".to_owned()));
    tell(state, EvalTold::Figures(Arc::new(Figures::of(&evaluated()))));
    (0..6).for_each(|index| tell(state, EvalTold::Lost(Box::new(lost(index)))));
    state.toast = None;
}

#[test]
fn the_form_is_set_by_keys_and_ordered_as_set() {
    let mut state = on_screen();
    for (field, keys) in [
        (EvalField::Suite, "]]]"),
        (EvalField::Task, "]"),
        (EvalField::Context, "]"),
        (EvalField::Lengths, "]"),
        (EvalField::Samples, "["),
        (EvalField::Chunks, "]"),
        (EvalField::Question, "]"),
        (EvalField::Seed, "["),
    ] {
        assert_eq!(state.screens.eval.field, field);
        letters(&mut state, keys);
        letters(&mut state, "j");
    }
    key(&mut state, KeyCode::Enter);
    assert_eq!(state.context(), KeyContext::List, "a path is typed");
    // Letters are text now, whatever they do elsewhere.
    letters(&mut state, "a.txt, sx9");
    let effects = key(&mut state, KeyCode::Enter);
    assert!(looked_for(&mut state, effects, None));
    letters(&mut state, "G");
    key(&mut state, KeyCode::Enter);
    letters(&mut state, "out");
    // The folder of results is made, so that nothing can be wrong with it.
    let effects = key(&mut state, KeyCode::Enter);
    assert!(looked_for(&mut state, effects, None));
    let effects = act(&mut state, Command::Evaluate);
    let order = ordered(&effects);
    let model = state.model.as_ref().unwrap();
    assert_eq!(
        *order,
        EvalOrder {
            generation: 1,
            suite: Suite::All,
            tasks: vec![RecallTask::ALL[0]],
            ctx: vec![512, 1024, 2048],
            samples: 5,
            chunks: 3,
            protocol: Protocol::Prompt,
            seed: 41,
            masks: vec![
                (model.info.mask.as_ref().unwrap().label.clone(), model.plan().clone()),
                ("slowest".to_owned(), state.other.as_ref().unwrap().plan.clone()),
            ],
            window: model.info.window,
            kv_dtype: model.info.kv_dtype,
            texts: vec!["a.txt".to_owned(), "sx9".to_owned()],
            out: Some("out".into()),
        }
    );
    assert_eq!(state.screens.eval.part, EvalPart::Preparing);
    assert_eq!(act(&mut state, Command::Evaluate), [], "one run at a time");
    assert_eq!(act(&mut state, Command::CancelEvaluation), [Effect::CancelEvaluation]);
}

#[test]
fn every_value_stays_within_what_can_be_evaluated() {
    let mut state = on_screen();
    for field in EvalField::ALL {
        for keys in ["[", "]"] {
            state.screens.eval.field = field;
            (0..40).for_each(|_| letters(&mut state, keys));
            let form = &state.screens.eval.form;
            let ctx = form.ctx(32_768);
            assert!(!ctx.is_empty() && ctx.is_sorted(), "{form:?}");
            assert!((128..=32_768).contains(&ctx[0]), "{form:?}");
            assert!(form.samples > 0 && form.chunks > 0, "{form:?}");
            state.screens.eval.form = Default::default();
        }
    }
    // Leaving a typed field keeps its value.
    letters(&mut state, "Gizzz");
    key(&mut state, KeyCode::Esc);
    assert_eq!(state.screens.eval.form.out, "");
}

#[test]
fn news_fill_the_screen_and_stale_ones_change_nothing() {
    let mut state = on_screen();
    evaluating(&mut state);
    let eval = &state.screens.eval;
    // 60 samples in 60 seconds; the first was here from an earlier run.
    assert_eq!((eval.held, eval.left_seconds(state.now_ms)), (1, Some(59.0)));
    let before = format!("{:?}", state.screens.eval);
    let stale = EvalNews { generation: 0, told: EvalTold::Cancelled };
    update(&mut state, Action::Evaluating(Box::new(stale)));
    assert_eq!(format!("{:?}", state.screens.eval), before);
    tell(&mut state, EvalTold::Done(Arc::new(Figures::of(&evaluated()))));
    assert!(!state.screens.eval.runs() && state.screens.eval.share() == 1.0);
    tell(&mut state, EvalTold::Failed("no text".to_owned()));
    state.size = (80, 24);
    assert!(text(&draw(&state)).contains("no text"));
}

#[test]
fn a_lost_sample_opens_in_ab() {
    let mut state = on_screen();
    assert_eq!(act(&mut state, Command::Open), [], "nothing was lost yet");
    evaluating(&mut state);
    letters(&mut state, "nnN");
    assert_eq!(state.screens.eval.picked, 1);
    let effects = act(&mut state, Command::Open);
    let [Effect::Engine(EngineOrder::Start(start))] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(start.prompt, Prompt::Tokens(vec![3, 1, 4, 1, 5]));
    assert_eq!(state.screen, Screen::Ab);
}

#[test]
fn a_sample_opens_under_the_mask_that_lost_it() {
    let mut state = on_screen();
    evaluating(&mut state);
    let other = state.other.as_ref().unwrap().clone();
    tell(&mut state, EvalTold::Lost(Box::new(LostSample { mask: other.label, ..lost(6) })));
    state.screens.eval.picked = 6;
    let effects = act(&mut state, Command::Open);
    let [Effect::Engine(EngineOrder::Retune(retune)), Effect::Engine(EngineOrder::Start(start))] =
        &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(retune.mask.plan, other.plan);
    assert_eq!(start.prompt, Prompt::Tokens(vec![3, 1, 4, 1, 5]));
}

#[test]
fn numbers_are_typed_and_other_values_go_round() {
    let mut state = on_screen();
    for (field, typed, value) in [
        (EvalField::Context, "2k", "2,048"),
        (EvalField::Samples, "33", "33"),
        (EvalField::Seed, "7", "7"),
        (EvalField::Chunks, "0", "1 of a text"),
        (EvalField::Lengths, "9", "4"),
        (EvalField::Samples, "many", "33"),
    ] {
        state.screens.eval.field = field;
        act(&mut state, Command::EditField);
        (0..9).for_each(|_| drop(key(&mut state, KeyCode::Backspace)));
        letters(&mut state, typed);
        key(&mut state, KeyCode::Enter);
        assert_eq!(state.screens.eval.form.value(field), value);
    }
    assert!(state.toast.as_ref().is_some_and(|toast| toast.sentence.contains("samples")));
    state.screens.eval.field = EvalField::Suite;
    let mut seen = Vec::new();
    for _ in 0..4 {
        act(&mut state, Command::EditField);
        seen.push(state.screens.eval.form.value(EvalField::Suite));
    }
    assert_eq!(seen, ["text", "stability", "all", "recall"]);
}

#[test]
fn the_mouse_selects_fields() {
    let mut state = on_screen();
    let form = layout::parts(&state, crate::tui::app::areas::areas(&state).main).form;
    let press = |is_double| crate::tui::screen::Press { x: form.x + 3, y: form.y + 5, is_double };
    super::update::press(&mut state, press(false));
    assert_eq!(state.screens.eval.field, EvalField::ALL[4]);
    super::update::press(&mut state, press(true));
    assert_eq!(state.context(), KeyContext::Field, "its number can be typed");
}

#[test]
fn a_run_in_its_middle() {
    for (name, dump) in frames("eval", SMALL, evaluating) {
        insta::assert_snapshot!(name, dump);
    }
}

#[test]
fn before_a_run_and_with_many_rows() {
    let idle = |state: &mut State| drop(act(state, Command::Show(Screen::Eval)));
    for (name, dump) in frames("eval_idle", LARGE, idle) {
        if name.ends_with("none") {
            insta::assert_snapshot!(name, dump);
        }
    }
    let mut state = on_screen();
    evaluating(&mut state);
    state.size = (60, 16);
    let small = text(&draw(&state));
    assert!(small.contains("61 of 120") || small.contains("evaluate"), "{small}");
    let csv = String::from_utf8(make(&state, ExportFormat::Csv).unwrap()).unwrap();
    assert!(csv.starts_with("suite,task,ctx,mask") && csv.lines().count() > 6, "{csv}");
}

/// Before there is anything to show, it once showed the map again.
#[test]
fn what_a_run_does_is_said_before_there_is_one() {
    let mut state = session(SMALL, ColorDepth::None);
    (state.screen, state.size) = (Screen::Eval, (200, 60));
    let frame = text(&draw(&state));
    for words in [
        "what an evaluation does",
        "asks for facts hidden in prompts of 512 and 1,024 tokens",
        "recall tasks",
        "niah_single_1",
    ] {
        assert!(frame.contains(words), "{words}: {frame}");
    }
    assert!(!frame.contains("at work ──"), "{frame}");
}

/// Words of recall once stood below an evaluation of texts.
#[test]
fn only_words_of_tables_that_are_there_are_explained() {
    let mut state = on_screen();
    assert!(meanings_of(&state).is_empty(), "there is no table yet");
    evaluating(&mut state);
    let explains =
        |state: &State, word: &str| meanings_of(state).iter().any(|(one, _)| *one == word);
    assert!(explains(&state, "depth") && explains(&state, "control"));
    let mut of_texts = evaluated();
    of_texts.records.retain(|record| record.suite == "text");
    tell(&mut state, EvalTold::Figures(Arc::new(Figures::of(&of_texts))));
    assert!(!explains(&state, "depth") && explains(&state, "control"));
}

/// "no sample was lost" once stood there before anything was evaluated, as if it were a result.
#[test]
fn no_lost_sample_is_a_result_only_where_something_was_evaluated() {
    let mut state = on_screen();
    for command in [Command::FindNext, Command::FindPrev, Command::Open] {
        state.toast = None;
        act(&mut state, command);
        let told = state.toast.as_ref().map(|toast| toast.sentence.clone()).expect("told");
        assert_eq!(told, "nothing is evaluated yet: s starts", "{command:?}");
    }
}

/// "30.0 of 0.0 · dense fails" once hid the three answers that the mask had won.
#[test]
fn what_a_mask_wins_where_dense_fails_is_counted() {
    let mut state = on_screen();
    evaluating(&mut state);
    let mut failed = evaluated();
    for record in failed.records.iter_mut().filter(|record| record.task == "vt") {
        let is_won = record.index < 3;
        for answer in &mut record.answers {
            answer.score = f64::from(u8::from(answer.mask == EVALUATED && is_won));
        }
    }
    tell(&mut state, EvalTold::Figures(Arc::new(Figures::of(&failed))));
    for (size, words) in [
        ((120, 40), "30.0 of   0.0 · −0 +3 of 10 · dense fails"),
        ((80, 24), "30/0 −0 +3 dense fails"),
    ] {
        state.size = size;
        assert!(text(&draw(&state)).contains(words), "{words}: {}", text(&draw(&state)));
    }
}

/// The smallest terminal once had rows of depths without a cell, and "33/0…" in place of what was lost.
#[test]
fn what_is_lost_is_whole_on_the_smallest_terminal() {
    let mut state = on_screen();
    evaluating(&mut state);
    state.size = (60, 16);
    let frame = text(&draw(&state));
    for words in [
        "score, lost, won, p",
        "single1  512 60/100 −4+0 .062",
        "mkey1    512 70/90 −2+0 .250",
        "vt        1k ",
        "lost samples: 6",
    ] {
        assert!(frame.contains(words), "{words}: {frame}");
    }
    assert!(!frame.contains("recall by depth"), "there is no room for its cells: {frame}");
    // With one length, and with more rows, there is: the cells are narrower.
    let mut one = evaluated();
    one.records.retain(|record| record.ctx == 512);
    tell(&mut state, EvalTold::Figures(Arc::new(Figures::of(&one))));
    for height in [16, 24] {
        state.size = (60, height);
        let frame = text(&draw(&state));
        assert!(frame.contains("recall by depth ") && frame.contains(" 0 to 100 %"), "{frame}");
        assert!(frame.contains("83 100 100 100 100"), "{frame}");
        assert!(frame.contains("60/100 −4+0 .062"), "{frame}");
    }
    assert!(text(&draw(&state)).contains("depth % –20 –40 –60 –80 –100"));
}

/// Percentages once stood under columns of which nothing said where in the prompt they are.
#[test]
fn the_depths_of_the_columns_are_said_above_them() {
    let mut state = on_screen();
    evaluating(&mut state);
    for size in [(80, 24), (120, 40), (200, 60)] {
        state.size = size;
        let frame = text(&draw(&state));
        let labels = frame.lines().find(|line| line.contains("depth %")).expect("labels");
        let all = ["0–20", "20–40", "40–60", "60–80", "80–100"];
        let place = |line: &str, word: &str| {
            line.find(word).map(|at| line[..at].chars().count()).unwrap_or_else(|| panic!("{line}"))
        };
        let places = all.map(|fifth| place(labels, &format!(" {fifth}")));
        assert!(places.is_sorted(), "{labels}");
        // A label begins within the column of its figure.
        let figures = frame.lines().find(|line| line.contains("83   100   100   100   100"));
        let first = place(figures.expect("figures of dense"), "83   100");
        assert!(places[0].abs_diff(first) < 6, "{frame}");
    }
}

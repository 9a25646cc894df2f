//! Learning from the screen: every key, the orders, and the effect of notices.

use ratatui::crossterm::event::{
    KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use crate::decode::worker::EngineOrder as Order;
use crate::learn::run::{LearnEvent, LearnMethod};
use crate::learn::train::{Settings, Stage, Update};
use crate::learn::worker::{Notice, Order as Learn, Told};
use crate::mask::select;
use crate::tui::app::action::{Action, Command, Effect};
use crate::tui::app::areas;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::state::State;
use crate::tui::app::update::update;
use crate::tui::color::ColorDepth;
use crate::tui::export::{ExportFormat, make};
use crate::tui::screen::Screen;
use crate::tui::screen::learn::form::Field;
use crate::tui::screen::learn::layout;
use crate::tui::screen::learn::state::LearningPart;
use crate::tui::testing::{
    LARGE, SMALL, answer, blank, draw, factors, frames, learned, learning, looked_for, session,
    tell_learning, text,
};

fn key(state: &mut State, code: KeyCode) -> Vec<Effect> {
    update(state, Action::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn press(state: &mut State, text: &str) -> Vec<Effect> {
    text.chars().flat_map(|c| key(state, KeyCode::Char(c))).collect()
}

/// A session on the learn screen, reached by its key.
fn on_screen() -> State {
    let mut state = session(SMALL, ColorDepth::None);
    press(&mut state, "6");
    assert_eq!((state.screen, state.context()), (Screen::Learn, KeyContext::Screen(Screen::Learn)));
    state
}

fn ordered(effects: &[Effect]) -> &Learn {
    match effects {
        [Effect::Learn(order)] => order,
        other => panic!("{other:?}"),
    }
}

/// A path that is not there is told when it is typed, not when a run starts.
#[test]
fn a_path_that_is_not_there_is_typed_again() {
    let mut state = on_screen();
    key(&mut state, KeyCode::Enter);
    press(&mut state, "none.txt");
    let effects = key(&mut state, KeyCode::Enter);
    assert!(looked_for(&mut state, effects, Some("none.txt: there is no such file or folder")));
    assert_eq!(state.screens.learn.form.haystack, "", "it is not taken");
    assert_eq!(state.context(), KeyContext::List, "what was typed can be corrected");
    let toast = state.toast.as_ref().expect("told");
    assert!(toast.failed && toast.sentence.starts_with("none.txt"), "{toast:?}");
    let effects = key(&mut state, KeyCode::Enter);
    assert!(looked_for(&mut state, effects, None));
    assert_eq!(state.screens.learn.form.haystack, "none.txt", "now it is there");
    assert_eq!(state.toast, None, "and no line says that it is not");
}

#[test]
fn the_form_is_set_by_keys_and_ordered_as_set() {
    let mut state = on_screen();
    key(&mut state, KeyCode::Enter);
    assert_eq!(state.context(), KeyContext::List, "a path is typed");
    // Letters are text now, whatever they do elsewhere.
    press(&mut state, " notes.mq");
    key(&mut state, KeyCode::Backspace);
    press(&mut state, "d");
    let effects = key(&mut state, KeyCode::Enter);
    assert!(looked_for(&mut state, effects, None));
    assert_eq!(
        (state.screens.learn.form.haystack.as_str(), state.context()),
        ("notes.md", KeyContext::Screen(Screen::Learn))
    );
    let steps = [
        (Field::Method, "]"),
        (Field::Sparsity, "]]"),
        (Field::Align, "]"),
        (Field::Context, "["),
        (Field::Pool, "["),
        (Field::Steps, "]"),
        (Field::Seed, "]]]"),
        (Field::Check, "["),
    ];
    for (field, keys) in steps {
        press(&mut state, "j");
        assert_eq!(state.screens.learn.field, field);
        press(&mut state, keys);
    }
    press(&mut state, "G");
    key(&mut state, KeyCode::Enter);
    (0..40).for_each(|_| drop(key(&mut state, KeyCode::Backspace)));
    press(&mut state, "m/a.safetensors");
    let effects = key(&mut state, KeyCode::Enter);
    assert!(looked_for(&mut state, effects, None));
    let effects = press(&mut state, "s");
    let order = ordered(&effects);
    let base = Settings::for_sparsity(0.8);
    assert_eq!(
        *order,
        Learn {
            generation: 1,
            method: LearnMethod::Leank,
            haystack: vec!["notes.md".into()],
            settings: Settings { align: 16, seed: 3, steps: base.steps + 10, ..base },
            lengths: (256, 1024),
            windows: 12,
            pool: 48,
            check_prompts: 50,
            resume: false,
            out: "m/a.safetensors".into(),
        }
    );
    assert_eq!(state.screens.learn.part, LearningPart::Pool(0, 56));
}

#[test]
fn every_value_stays_within_what_can_be_learned() {
    let mut state = on_screen();
    for field in Field::ALL {
        for keys in ["[", "]"] {
            state.screens.learn.field = field;
            (0..80).for_each(|_| drop(press(&mut state, keys)));
            let form = state.screens.learn.form.clone();
            let settings = form.settings(Default::default());
            assert!(settings.check().is_ok(), "{field:?}: {form:?}");
            let (least, most) = form.lengths();
            assert!(64 <= least && least <= most && most <= 32_768, "{form:?}");
            state.screens.learn.form = Default::default();
        }
    }
    // Leaving a typed field keeps its value.
    state.screens.learn.field = Field::Out;
    key(&mut state, KeyCode::Enter);
    press(&mut state, "zzz");
    key(&mut state, KeyCode::Esc);
    assert_eq!(
        (state.screens.learn.form.out.as_str(), state.screen),
        ("learned.safetensors", Screen::Learn)
    );
    state.screens.learn.field = Field::Seed;
    key(&mut state, KeyCode::Enter);
    assert!(state.screens.learn.typing.is_some(), "numbers are typed too");
    key(&mut state, KeyCode::Esc);
}

#[test]
fn what_cannot_be_learned_is_refused_in_a_sentence() {
    let refused = |state: &mut State, key: &str, word: &str| {
        state.toast = None;
        assert_eq!(press(state, key), [], "{word}");
        let toast = state.toast.as_ref().expect("a sentence");
        assert!(toast.sentence.contains(word), "{}", toast.sentence);
    };
    let mut state = blank(ColorDepth::None);
    press(&mut state, "6");
    refused(&mut state, "s", "not there yet");
    let mut state = on_screen();
    refused(&mut state, "x", "no learning");
    state.screens.learn.form.out = "mask.txt".to_owned();
    refused(&mut state, "s", ".safetensors");
    state.screens.learn.form = Default::default();
    ordered(&press(&mut state, "s"));
    refused(&mut state, "s", "running");
    refused(&mut state, "R", "running");
    tell_learning(&mut state, Told::Cancelled { resumes: false });
    refused(&mut state, "R", "no checkpoint");
    state.replay = true;
    refused(&mut state, "R", "recording");
}

#[test]
fn a_learning_is_followed_to_its_end() {
    let mut state = session(SMALL, ColorDepth::None);
    learning(&mut state, 100);
    assert_eq!(state.screens.learn.part, LearningPart::Importance);
    assert_eq!(state.screens.learn.updates.len(), 100);
    // Two updates a second, 250 in all.
    let left = state.screens.learn.left_seconds(state.now_ms).unwrap();
    assert!((74.0..76.0).contains(&left), "{left}");
    // The cut that is shown is that of the factors at the target.
    let (factors, cut) =
        (state.screens.learn.factors.clone().unwrap(), state.screens.learn.cut.clone().unwrap());
    let settings = &state.screens.learn.order.as_ref().unwrap().settings;
    assert_eq!(cut, select(&factors, &settings.options()).unwrap());
    let update =
        Update { stage: Stage::Mask, step: 0, distill: 0.01, reg: 0.0, mean: 0.3, kept: 0.3 };
    tell_learning(&mut state, Told::Going(LearnEvent::Update(update)));
    assert_eq!(state.screens.learn.part, LearningPart::Masks);
    learned(&mut state);
    assert_eq!(state.screens.learn.part, LearningPart::Done);
    let done = state.screens.learn.done.as_ref().unwrap();
    assert_eq!(
        (Some(done.file.mask()), &done.file.importance),
        (state.screens.learn.cut.as_ref(), &state.screens.learn.factors)
    );
    let took = state.screens.learn.seconds(state.now_ms);
    update_time(&mut state, 1e9);
    assert_eq!(state.screens.learn.seconds(state.now_ms), took, "the clock stands at the end");
}

fn update_time(state: &mut State, ms: f64) {
    update(state, Action::Tick(ms));
}

#[test]
fn the_learned_mask_is_applied_and_tuned_from() {
    let mut state = on_screen();
    assert_eq!(press(&mut state, "a"), []);
    assert!(state.toast.as_ref().unwrap().sentence.contains("nothing is learned"));
    learning(&mut state, 60);
    learned(&mut state);
    let file = state.screens.learn.done.as_ref().unwrap().file.clone();
    // A mask that is not saved would be lost.
    state.screen = Screen::Map;
    let effects = press(&mut state, "t");
    answer(&mut state, &effects);
    press(&mut state, "6");
    assert_eq!(press(&mut state, "a"), []);
    assert!(state.toast.as_ref().unwrap().sentence.contains("not saved"));
    let effects = update(&mut state, Action::Do(Command::Undo));
    answer(&mut state, &effects);
    let effects = press(&mut state, "a");
    let [Effect::Engine(Order::Retune(retune))] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((retune.mask.mask(), retune.mask.label.as_str()), (file.mask(), "learned"));
    answer(&mut state, &effects);
    let model = state.model.as_ref().unwrap();
    assert_eq!((&model.mask, model.info.window), (file.mask(), file.origin.window));
    assert!(!state.screens.tune.as_ref().unwrap().is_unsaved(), "it is in its file");
    // Other sparsities come from the learned importance.
    press(&mut state, "4");
    press(&mut state, "{");
    let tuning = state.screens.tune.as_ref().unwrap();
    assert_eq!(tuning.proposal().importance, file.importance);
    assert_ne!(tuning.proposal().mask(), file.mask());
}

/// The question about the file comes after the key: a no once took the last verdict with it.
#[test]
fn a_run_that_is_not_started_leaves_what_was_there() {
    let mut state = session(SMALL, ColorDepth::None);
    learning(&mut state, 3);
    learned(&mut state);
    ordered(&press(&mut state, "s"));
    assert!(state.screens.learn.done.is_none());
    tell_learning(&mut state, Told::NotStarted("a.safetensors stays".to_owned()));
    assert_eq!(state.screens.learn.part, LearningPart::Done);
    assert!(state.screens.learn.done.is_some() && state.screens.learn.updates.len() == 3);
    assert_eq!(state.toast.as_ref().map(|toast| toast.failed), Some(false));
    // The next run has a number of its own: notices of the one that was not started are stale.
    let effects = press(&mut state, "s");
    assert_eq!(ordered(&effects).generation, 3);
}

#[test]
fn notices_of_another_learning_are_stale() {
    let mut state = session(SMALL, ColorDepth::None);
    learning(&mut state, 3);
    let stale = Notice { generation: 0, dropped: 9, told: Told::Failed("old".to_owned()) };
    update(&mut state, Action::Learning(Box::new(stale)));
    assert_eq!(
        (state.screens.learn.part.clone(), state.screens.learn.dropped),
        (LearningPart::Importance, 0)
    );
}

#[test]
fn a_learning_is_cancelled_and_gone_on_from() {
    let mut state = session(SMALL, ColorDepth::None);
    learning(&mut state, 30);
    assert_eq!(press(&mut state, "x"), [Effect::CancelLearning]);
    assert!(state.screens.learn.runs(), "until the learning says so");
    tell_learning(&mut state, Told::Cancelled { resumes: true });
    assert_eq!(state.screens.learn.part, LearningPart::Cancelled);
    let effects = press(&mut state, "R");
    let order = ordered(&effects);
    assert!(order.resume && order.generation == 2);
    assert!(state.screens.learn.updates.is_empty());
    // The run begins at update 30, so the remaining time is computed from there.
    let now = state.now_ms;
    for (at, step) in [(0.0, 30), (1000.0, 31), (2000.0, 32)] {
        update_time(&mut state, now + at);
        let update = Update {
            stage: Stage::Importance,
            step,
            distill: 0.01,
            reg: 0.1,
            mean: 0.8,
            kept: 0.3,
        };
        tell_learning(&mut state, Told::Going(LearnEvent::Update(update)));
    }
    let (here, whole) = state.screens.learn.shares();
    assert!((whole - 33.0 / 250.0).abs() < 1e-9 && (here - 3.0 / 220.0).abs() < 1e-9);
    tell_learning(&mut state, Told::Panicked("index out of bounds".to_owned()));
    assert!(
        matches!(&state.screens.learn.part, LearningPart::Failed(sentence) if sentence.contains("index out of bounds"))
    );
    assert!(state.toast.as_ref().unwrap().failed);
}

#[test]
fn the_mouse_selects_and_changes_fields() {
    let mut state = on_screen();
    let form = layout::learn(&state, areas::areas(&state).main).form;
    let click = |state: &mut State, row: usize| {
        let event = MouseEvent {
            kind: MouseEventKind::Down(MouseButton::Left),
            column: form.x + 4,
            row: form.y + 1 + row as u16,
            modifiers: KeyModifiers::NONE,
        };
        update(state, Action::Mouse(event));
    };
    for method in LearnMethod::ALL {
        state.screens.learn.form.method = method;
        for (row, field) in Field::of(method).into_iter().enumerate() {
            click(&mut state, row);
            assert_eq!(state.screens.learn.field, field);
        }
    }
    click(&mut state, 2);
    click(&mut state, 2);
    assert_eq!(state.screens.learn.form.percent, 75, "a double click takes the next value");
    click(&mut state, 9);
    click(&mut state, 9);
    assert_eq!(state.context(), KeyContext::List, "and types a path");
    key(&mut state, KeyCode::Esc);
    click(&mut state, 3);
    assert_eq!(
        (state.context(), state.screens.learn.field),
        (KeyContext::Screen(Screen::Learn), Field::Align)
    );
    let wheel = MouseEvent {
        kind: MouseEventKind::ScrollDown,
        column: 50,
        row: 20,
        modifiers: KeyModifiers::NONE,
    };
    update(&mut state, Action::Mouse(wheel));
    assert_eq!(state.screens.learn.field, Field::Context);
}

#[test]
fn what_is_pasted_goes_into_the_field() {
    let mut state = on_screen();
    key(&mut state, KeyCode::Enter);
    update(&mut state, Action::Paste("texts/mine.txt\n".to_owned()));
    let effects = key(&mut state, KeyCode::Enter);
    assert!(looked_for(&mut state, effects, None));
    assert_eq!(state.screens.learn.form.haystack, "texts/mine.txt");
}

#[test]
fn updates_are_exported() {
    let mut state = session(SMALL, ColorDepth::None);
    learning(&mut state, 5);
    let csv = make(&state, ExportFormat::Csv).unwrap();
    let text = String::from_utf8(csv).unwrap();
    assert_eq!(text.lines().count(), 6);
    assert!(text.starts_with("stage,step,distill,reg,mean_factor,kept\nimportance,0,"), "{text}");
    // Without a learning run the table is empty.
    update(&mut state, Action::Do(Command::Show(Screen::Learn)));
    state.screens.learn = Default::default();
    assert_eq!(make(&state, ExportFormat::Csv).unwrap().iter().filter(|c| **c == b'\n').count(), 1);
    assert!(factors(SMALL, 0.5).scores().iter().all(|f| (0.0..=1.0).contains(f)));
}

#[test]
fn a_learning_and_its_end() {
    for (name, dump) in frames("learn", SMALL, |state| learning(state, 90)) {
        insta::assert_snapshot!(name, dump);
    }
    for (name, dump) in frames("learned", LARGE, |state| {
        learning(state, 250);
        learned(state);
    }) {
        insta::assert_snapshot!(name, dump);
    }
}

#[test]
fn leaving_while_a_mask_is_learned_asks_once() {
    let mut state = session(SMALL, ColorDepth::True);
    let quit = |state: &mut State| update(state, Action::Do(Command::Quit));
    learning(&mut state, 3);
    assert!(state.screens.learn.runs());
    assert_eq!(quit(&mut state), []);
    assert!(state.toast.as_ref().is_some_and(|toast| toast.sentence.contains("being learned")));
    assert_eq!(quit(&mut state), [Effect::Quit { summary: false }]);
    tell_learning(&mut state, Told::Cancelled { resumes: true });
    state.quit_asked = false;
    assert_eq!(quit(&mut state), [Effect::Quit { summary: false }], "nothing is learned any more");
}

#[test]
fn numbers_are_typed_and_what_cannot_be_stays_out() {
    let mut state = session(SMALL, ColorDepth::True);
    state.screen = Screen::Learn;
    let mut type_in = |field: Field, text: &str| {
        state.screens.learn.field = field;
        key(&mut state, KeyCode::Enter);
        for _ in 0..20 {
            key(&mut state, KeyCode::Backspace);
        }
        press(&mut state, text);
        let effects = key(&mut state, KeyCode::Enter);
        if field.is_text() {
            assert!(looked_for(&mut state, effects, None));
        }
        assert!(state.screens.learn.typing.is_none());
        let failed = state.toast.take().is_some_and(|toast| toast.failed);
        (state.screens.learn.form.clone(), failed)
    };
    let (form, failed) = type_in(Field::Sparsity, "65%");
    assert_eq!((form.percent, failed), (65, false));
    assert_eq!(type_in(Field::Sparsity, "100"), (form.clone(), true));
    assert_eq!(type_in(Field::Align, "12"), (form.clone(), true));
    assert_eq!(type_in(Field::Method, "lean"), (form, true));
    assert_eq!(type_in(Field::Method, "leank").0.method, LearnMethod::Leank);
    assert_eq!(type_in(Field::Windows, "4").0.windows, 4);
    assert_eq!(type_in(Field::Pool, "96").0.pool, 96);
    assert_eq!(type_in(Field::Steps, "33").0.steps, Some(33));
    assert_eq!(type_in(Field::Steps, "").0.steps, None);
    assert_eq!(type_in(Field::Seed, "7").0.seed, 7);
    type_in(Field::Haystack, "a.txt, ~/texts ,b.md");
    let paths = state.screens.learn.haystack();
    assert_eq!(paths, ["a.txt", "~/texts", "b.md"].map(std::path::PathBuf::from));
}

#[test]
fn a_run_is_estimated_once_for_every_form_before_it_starts() {
    let mut state = session(SMALL, ColorDepth::True);
    let asked = |effects: &[Effect]| {
        effects.iter().filter(|effect| matches!(effect, Effect::EstimateLearning(_))).count()
    };
    let effects = press(&mut state, "6");
    let [Effect::EstimateLearning(of)] = &effects[..] else { panic!("{effects:?}") };
    let (order, pace) = &**of;
    assert_eq!((order.windows, order.lengths), (12, (512, 2048)));
    assert_eq!(pace.prefill_seconds, 0.0815, "the measured prefill of the session");
    assert!(pace.step_seconds > 0.0);
    assert_eq!(asked(&press(&mut state, "j")), 0, "moving changes no form");
    let estimate =
        crate::learn::estimate::RunEstimate { seconds: [60.0, 120.0, 30.0], bytes: 3 << 30 };
    update(&mut state, Action::Estimated(estimate, Some(2 << 30)));
    let shown = crate::tui::testing::text(&crate::tui::testing::draw(&state));
    assert!(shown.contains("about 4 min") && shown.contains("more than is free"), "{shown}");
    state.screens.learn.field = Field::Windows;
    assert_eq!(asked(&press(&mut state, "[")), 1, "fewer windows take another time");
    state.screens.learn.field = Field::Method;
    assert_eq!(asked(&press(&mut state, "]")), 1, "so does the other method");
    state.screens.learn.field = Field::Pool;
    assert_eq!(asked(&press(&mut state, "[")), 1, "and there another pool");
}

#[test]
fn the_bell_rings_at_the_end_and_at_no_other_time() {
    let mut state = session(SMALL, ColorDepth::True);
    learning(&mut state, 3);
    let generation = state.screens.learn.generation;
    let mut told = |told| {
        let notice = Notice { generation, dropped: 0, told };
        update(&mut state, Action::Learning(Box::new(notice)))
    };
    assert_eq!(told(Told::Going(LearnEvent::Check(0.5))), []);
    assert_eq!(told(Told::Failed("no".to_owned())).first(), Some(&Effect::Bell));
}

/// The method of the form as it comes: nothing but samples, and then the mask with its damages by
/// rank.
#[test]
fn a_measurement_is_followed_to_its_mask() {
    let mut state = on_screen();
    let effects = press(&mut state, "s");
    let order = ordered(&effects);
    assert_eq!((order.method, order.windows), (LearnMethod::Sensitivity, 12));
    assert_eq!(state.screens.learn.part, LearningPart::Pool(0, 12));
    tell_learning(&mut state, Told::Going(LearnEvent::Prefill(5, 20)));
    let frame = text(&draw(&state));
    assert!(frame.contains("measuring 5 of 20"), "{frame}");
    learned(&mut state);
    let learning = &state.screens.learn;
    let (ranks, scores) = (
        learning.factors.clone().expect("ranks"),
        learning.done.as_ref().and_then(|done| done.file.importance.clone()).expect("scores"),
    );
    let mut by_score: Vec<(f32, f32)> =
        scores.scores().iter().copied().zip(ranks.scores().iter().copied()).collect();
    by_score.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(by_score.is_sorted_by(|a, b| a.1 <= b.1), "ranks have the order of the scores");
    assert_eq!((by_score[0].1, by_score[by_score.len() - 1].1), (0.0, 1.0));
    let frame = text(&draw(&state));
    assert!(!frame.contains("distill") && frame.contains("heads dropped"), "{frame}");
}

/// Before there is anything to show, it once showed the map again.
#[test]
fn what_a_run_does_is_said_before_there_is_one() {
    let mut state = session(SMALL, ColorDepth::None);
    (state.screen, state.size) = (Screen::Learn, (200, 60));
    let frame = text(&draw(&state));
    for words in [
        "what a run does",
        "1 measure",
        "reads 12 windows of text and eight prompts",
        "2 cut",
        "4 file",
        "rules that choose",
    ] {
        assert!(frame.contains(words), "{words}: {frame}");
    }
    assert!(!frame.contains("at work ──"), "{frame}");
    state.screens.learn.form.method = LearnMethod::Leank;
    let frame = text(&draw(&state));
    for words in ["1 prefill", "reads 96 prompts of 512 to 2,048 tokens", "2 importance", "5 file"]
    {
        assert!(frame.contains(words), "{words}: {frame}");
    }
}

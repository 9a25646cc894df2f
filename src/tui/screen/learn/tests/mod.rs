//! Learning from the screen: every key, the orders, and the effect of notices.

mod form;

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

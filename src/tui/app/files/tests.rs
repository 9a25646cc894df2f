use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::decode::worker::{EngineOrder, Event};
use crate::mask::CachePlan;
use crate::tui::app::action::{Action, Command};
use crate::tui::app::keys::KeyContext;
use crate::tui::app::opening::PlanRefusal;
use crate::tui::app::path_prompt::Listing;
use crate::tui::app::story::Quiz;
use crate::tui::app::update::update;
use crate::tui::color::ColorDepth;
use crate::tui::testing::{SMALL, info, session};

fn key(state: &mut State, code: KeyCode) -> Vec<Effect> {
    update(state, Action::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn say(state: &mut State, words: &str) -> Vec<Effect> {
    update(state, Action::Do(Command::Palette));
    words.chars().for_each(|c| drop(key(state, KeyCode::Char(c))));
    key(state, KeyCode::Enter)
}

fn ready() -> State {
    session(SMALL, ColorDepth::True)
}

/// A plan that is not the one at work.
fn other(label: &str) -> MaskInfo {
    MaskInfo::named(label, CachePlan::named("k8v8", SMALL).expect("a name"))
}

#[test]
fn a_mask_is_read_by_its_typed_path_and_then_at_work() {
    let mut state = ready();
    let read = Effect::ReadPlan("~/a b.safetensors".to_owned(), PlanUse::AtWork);
    assert_eq!(say(&mut state, "open ~/a b.safetensors"), [read]);
    assert!(state.overlay.is_none());
    let (info, window) = (Box::new(other("k8v8")), Window::CODED);
    let plan = info.plan.clone();
    let effects = update(&mut state, Action::PlanRead { info, window, to: PlanUse::AtWork });
    let [Effect::Engine(EngineOrder::Retune(retune))] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((&retune.mask.plan, retune.window), (&plan, Window::CODED));
}

#[test]
fn what_is_not_saved_is_asked_about_before_a_file_takes_its_place() {
    let mut state = ready();
    say(&mut state, "keep 30");
    let set = state.screens.tune.as_ref().map(|tuning| tuning.proposal().plan.clone());
    assert_eq!(say(&mut state, "open k8v8"), []);
    assert_eq!(state.context(), KeyContext::Confirm);
    assert_eq!(key(&mut state, KeyCode::Char('n')), []);
    let now = state.screens.tune.as_ref().map(|tuning| tuning.proposal().plan.clone());
    assert_eq!(now, set, "nothing is lost");
    say(&mut state, "open k8v8");
    let read = Effect::ReadPlan("k8v8".to_owned(), PlanUse::AtWork);
    assert_eq!(key(&mut state, KeyCode::Char('y')), [read]);
    // To compare loses nothing.
    let read = Effect::ReadPlan("k8v8".to_owned(), PlanUse::Diff);
    assert_eq!(say(&mut state, "diff k8v8"), [read]);
}

#[test]
fn a_file_of_the_diff_is_on_the_map_at_once() {
    let mut state = ready();
    state.screen = Screen::Perf;
    let info = Box::new(other("mine"));
    let effects =
        update(&mut state, Action::PlanRead { info, window: Window::CODED, to: PlanUse::Diff });
    assert_eq!(effects, []);
    assert_eq!((state.screen, state.diff), (Screen::Map, true));
    assert!(state.other.as_ref().is_some_and(|other| other.label == "mine"));
    let told = state.toast.as_ref().map(|toast| toast.sentence.clone()).expect("told");
    assert!(told.contains("where mine differs, in ") && told.contains(" channel"), "{told}");
}

/// The first recent file is the mask at work: "where it differs" was an empty map.
#[test]
fn a_diff_with_what_is_at_work_says_that_no_channel_differs() {
    let mut state = ready();
    let info = Box::new(state.model.as_ref().unwrap().info.mask.clone().unwrap());
    let window = Window::default();
    update(&mut state, Action::PlanRead { info, window, to: PlanUse::Diff });
    let told = state.toast.as_ref().map(|toast| toast.sentence.clone()).expect("told");
    assert!(told.contains("differs from what is at work in no channel"), "{told}");
}

/// The refusal of a mask of another shape once named no way on.
#[test]
fn a_mask_of_another_model_is_refused_with_the_key_that_loads_one() {
    let state = ready();
    let sentence = "m.safetensors: expected a mask of shape a, found b, made for c".to_owned();
    let refused =
        |is_of_another| PlanRefusal { sentence: sentence.clone(), is_of_another }.told(&state);
    assert_eq!(refused(true), format!("{sentence}; M loads another model"));
    assert_eq!(refused(false), sentence);
}

#[test]
fn a_folder_is_gone_into_and_a_file_in_it_taken() {
    let mut state = ready();
    let ctrl_o = KeyEvent::new(KeyCode::Char('o'), KeyModifiers::CONTROL);
    let effects = update(&mut state, Action::Key(ctrl_o));
    assert_eq!(effects, [Effect::ListFolder(String::new())]);
    let here = Listing { folders: vec!["masks".to_owned()], ..Listing::default() };
    update(&mut state, Action::Listed(String::new(), here));
    "mas".chars().for_each(|c| drop(key(&mut state, KeyCode::Char(c))));
    // The folder is the row below what is typed.
    key(&mut state, KeyCode::Down);
    let effects = key(&mut state, KeyCode::Enter);
    assert_eq!(effects, [Effect::ListFolder("masks/".to_owned())]);
    // A folder itself is nothing to open.
    assert_eq!(key(&mut state, KeyCode::Enter), [Effect::ListFolder("masks/".to_owned())]);
    assert!(state.overlay.is_some());
    let there = Listing { files: vec!["a.safetensors".to_owned()], ..Listing::default() };
    update(&mut state, Action::Listed("masks/".to_owned(), there));
    key(&mut state, KeyCode::Tab);
    let read = Effect::ReadPlan("masks/a.safetensors".to_owned(), PlanUse::AtWork);
    assert_eq!(key(&mut state, KeyCode::Enter), [read]);
}

#[test]
fn another_model_is_loaded_beside_the_one_at_work_and_takes_its_place() {
    let mut state = ready();
    let load = Effect::LoadModel("smollm2-135m".to_owned());
    assert_eq!(say(&mut state, "model smollm2-135m"), [load]);
    update(&mut state, Action::ModelLoading("smollm2-135m".to_owned(), 0.25));
    assert!(state.model.is_some(), "the old one goes on");
    assert_eq!(key(&mut state, KeyCode::Esc), [Effect::CancelModel]);
    let before = state.clone();
    update(&mut state, Action::ModelRefused("no such model".to_owned()));
    assert_eq!(state.loading, None);
    assert_eq!(state.phase, before.phase);
    assert!(state.model.is_some() && state.run.generation == before.run.generation);

    let typed = Prompt::Text { text: "My own.".to_owned(), raw: false };
    state.plan.prompt = typed.clone();
    let prompt = Prompt::Text { text: "The model's.".to_owned(), raw: false };
    let name = "smollm2-135m".to_owned();
    update(&mut state, Action::ModelChanged { name, prompt, quiz: None });
    let shape = crate::mask::Shape { layers: 7, kv_heads: 3, head_dim: 64 };
    let envelope = crate::decode::worker::Envelope {
        generation: 0,
        at_ms: 0.0,
        dropped: 0,
        event: Event::Loaded(Box::new(info(shape))),
    };
    let effects = update(&mut state, Action::Engine(Box::new(envelope)));
    let [Effect::Engine(EngineOrder::Start(start))] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(start.generation, before.run.generation + 1, "older events are stale");
    assert_eq!(start.prompt, typed, "what was typed goes on with the new model");
    assert_eq!(state.model.as_ref().map(|model| model.shape()), Some(shape));
}

/// The bench once could show the recall of the model before beside a plan of the same name.
#[test]
fn figures_of_an_evaluation_go_with_the_model_that_they_are_of() {
    let mut state = ready();
    let figures = crate::eval::run::Figures::of(&crate::tui::testing::evaluated());
    state.screens.eval.figures = Some(std::sync::Arc::new(figures));
    state.screens.eval.form.samples = 33;
    let prompt = Prompt::Text { text: "The model's.".to_owned(), raw: false };
    let name = "smollm2-135m".to_owned();
    update(&mut state, Action::ModelChanged { name, prompt, quiz: None });
    assert!(state.screens.eval.figures.is_none());
    assert_eq!(state.screens.eval.form.samples, 33, "what was typed stays");
}

#[test]
fn a_model_with_a_language_of_its_own_brings_its_prompt() {
    let mut state = ready();
    let prompt = Prompt::Facts { text: "The code of Ada is 7.".to_owned() };
    let name = "demo".to_owned();
    let quiz = Some(Quiz { question: "Ada?".to_owned(), value: "7".to_owned() });
    let changed = Action::ModelChanged { name, prompt: prompt.clone(), quiz: quiz.clone() };
    update(&mut state, changed);
    assert_eq!((&state.plan.prompt, &state.quiz), (&prompt, &quiz), "the story can be told of it");
}

#[test]
fn a_recording_opens_nothing() {
    let mut state = ready();
    state.replay = true;
    for words in ["open k8v8", "diff k8v8", "model demo"] {
        assert_eq!(say(&mut state, words), [], "{words}");
        assert!(state.toast.take().is_some_and(|toast| toast.sentence.contains("recording")));
    }
}

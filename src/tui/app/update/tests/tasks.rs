//! Everyday tasks with the keys that docs/BENCHMARKS.md counts.

use super::*;
use crate::tui::app::action::PlanUse;
use crate::tui::app::state::RecentFiles;
use crate::tui::testing::looked_for;

/// A session whose keys are counted.
struct Hand {
    state: State,
    keys: usize,
}

impl Hand {
    fn new(shape: Shape) -> Self {
        Self { state: session(shape, ColorDepth::None), keys: 0 }
    }

    fn press(&mut self, code: KeyCode) -> Vec<Effect> {
        self.keys += 1;
        key(&mut self.state, code)
    }

    /// One key after the other; the effects of the last.
    fn letters(&mut self, text: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        for letter in text.chars() {
            effects = self.press(KeyCode::Char(letter));
        }
        effects
    }

    fn control(&mut self, letter: char) -> Vec<Effect> {
        self.keys += 1;
        let event = KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL);
        update(&mut self.state, Action::Key(event))
    }

    /// What is no count of the task's: a text or a path.
    fn types(&mut self, text: &str) {
        letters(&mut self.state, text);
    }
}

#[test]
fn dropped_heads_are_found() {
    let mut hand = Hand::new(LARGE);
    let kept =
        |state: &State| state.model.as_ref().map(|model| model.kept(state.at.layer, state.at.head));
    hand.letters("/drop");
    hand.press(KeyCode::Enter);
    assert_eq!((hand.keys, kept(&hand.state)), (6, Some(0)));
    let first = hand.state.at;
    hand.letters("n");
    assert_eq!((hand.keys, kept(&hand.state)), (7, Some(0)));
    assert_ne!(hand.state.at, first);
}

#[test]
fn a_flip_is_compared_over_equal_tokens() {
    let mut hand = Hand::new(SMALL);
    let effects = hand.letters("t");
    assert!(matches!(&effects[..], [Effect::Engine(Order::Retune(_)), ..]), "{effects:?}");
    crate::tui::testing::answer(&mut hand.state, &effects);
    hand.letters("4");
    let effects = hand.letters(" ");
    assert!(effects.contains(&Effect::Engine(Order::Pause)), "{effects:?}");
    send(&mut hand.state, Event::Paused);
    let effects = hand.press(KeyCode::Enter);
    let [Effect::Engine(Order::Retune(retune)), ..] = &effects[..] else { panic!("{effects:?}") };
    // The engine measures it, and the saved mask over the same tokens.
    let revision = retune.revision;
    crate::tui::testing::answer(&mut hand.state, &effects);
    let generation = hand.state.run.generation;
    let event = measured(Subject::Now(revision), 0.1, 0);
    let envelope = Envelope { generation, at_ms: 0.0, dropped: 0, event };
    let effects = update(&mut hand.state, Action::Engine(Box::new(envelope)));
    assert!(matches!(&effects[..], [Effect::Engine(Order::Sweep(trials))] if trials.len() == 1));
    assert_eq!(hand.keys, 4);
}

#[test]
fn a_fifth_is_kept_while_it_talks() {
    let mut hand = Hand::new(SMALL);
    hand.letters(":keep 20");
    let effects = hand.press(KeyCode::Enter);
    assert!(matches!(&effects[..], [Effect::Engine(Order::Retune(_))]), "{effects:?}");
    assert_eq!(hand.keys, 9);
}

#[test]
fn a_mask_is_saved_opened_and_compared() {
    let mut hand = Hand::new(SMALL);
    hand.letters("w");
    let effects = hand.press(KeyCode::Enter);
    let [Effect::Save(saving)] = &effects[..] else { panic!("{effects:?}") };
    // The runner remembers what it wrote.
    let name = saving.path.display().to_string();
    let recent = RecentFiles { plans: vec![name.clone()], models: Vec::new() };
    update(&mut hand.state, Action::Recalled(recent));
    hand.control('o');
    let effects = hand.press(KeyCode::Enter);
    assert_eq!(effects, [Effect::ReadPlan(name.clone(), PlanUse::AtWork)]);
    hand.letters("D");
    let effects = hand.press(KeyCode::Enter);
    assert_eq!(effects, [Effect::ReadPlan(name, PlanUse::Diff)]);
    assert_eq!(hand.keys, 6);
}

#[test]
fn a_mask_is_learned_on_a_folder() {
    let mut hand = Hand::new(SMALL);
    hand.letters("6");
    hand.press(KeyCode::Enter);
    hand.types("texts");
    let effects = hand.press(KeyCode::Enter);
    assert!(looked_for(&mut hand.state, effects, None));
    let effects = hand.letters("s");
    let [Effect::Learn(order)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(order.haystack, [std::path::PathBuf::from("texts")]);
    assert_eq!(hand.keys, 4);
}

#[test]
fn a_question_follows_and_the_tokens_that_suffered_are_listed() {
    let mut hand = Hand::new(SMALL);
    hand.letters("3");
    hand.press(KeyCode::Enter);
    hand.types("and then?");
    let effects = hand.press(KeyCode::Enter);
    assert!(matches!(&effects[..], [Effect::Engine(Order::Ask(_)), ..]), "{effects:?}");
    assert_eq!(hand.keys, 3);
    let mut hand = Hand::new(SMALL);
    hand.letters("W");
    assert!(matches!(hand.state.overlay, Some(Overlay::Suffered(_))));
    assert_eq!(hand.keys, 1);
}

#[test]
fn a_screen_becomes_a_picture_or_a_table() {
    for (format, keys) in [("png", 5), ("md", 4)] {
        let mut hand = Hand::new(SMALL);
        hand.letters(&format!("e{format}"));
        let effects = hand.press(KeyCode::Enter);
        let [Effect::Write { path, .. }] = &effects[..] else { panic!("{format}: {effects:?}") };
        assert_eq!(path.extension().and_then(|end| end.to_str()), Some(format));
        assert_eq!(hand.keys, keys);
    }
}

//! A key that can do nothing says so, and a message goes when it is no longer true.

use super::*;

fn told(state: &mut State) -> String {
    state.toast.take().map(|toast| toast.sentence).unwrap_or_default()
}

#[test]
fn a_key_that_does_nothing_says_why() {
    let mut state = ready();
    state.other = None;
    for (screen, letter, words) in [
        (Screen::Map, '\'', "no place is marked yet: m marks one"),
        (Screen::Head, '\'', "no place is marked yet: m marks one"),
        (Screen::Map, '(', "only a recording can be gone through"),
        (Screen::Ab, ')', "only a recording can be gone through"),
        (Screen::Map, 'd', "nothing to compare with yet: D opens a mask or plan for it"),
    ] {
        state.screen = screen;
        key(&mut state, KeyCode::Char(letter));
        let said = told(&mut state);
        assert!(said.contains(words), "{screen:?} {letter}: {said:?}");
    }
    state.screen = Screen::Map;
    key(&mut state, KeyCode::Char('m'));
    assert_eq!(told(&mut state), "marked; ' comes back here");
    let (mark, other) = (state.at, Place { layer: 1, ..state.at });
    state.at = other;
    key(&mut state, KeyCode::Char('\''));
    assert_eq!((state.at, state.mark), (mark, Some(other)));
}

#[test]
fn the_ends_of_the_context_are_said() {
    let mut state = ready();
    state.screen = Screen::Perf;
    for (letter, end) in [(']', "the most here"), ('[', "the fewest here")] {
        for _ in 0..40 {
            key(&mut state, KeyCode::Char(letter));
        }
        let said = told(&mut state);
        assert!(said.contains(end), "{said}");
    }
}

#[test]
fn what_was_found_is_said_while_the_cursor_is_on_it() {
    let mut state = session(LARGE, ColorDepth::True);
    state.screen = Screen::Map;
    key(&mut state, KeyCode::Char('/'));
    letters(&mut state, "drop");
    key(&mut state, KeyCode::Enter);
    let said = state.toast.as_ref().map(|toast| toast.sentence.clone()).unwrap_or_default();
    let at = state.at;
    let place = format!("heads with `drop`: L{} h{} keeps 0 of", at.layer, at.head);
    assert!(said.starts_with("1 of ") && said.contains(&place), "{said}");
    key(&mut state, KeyCode::Char('N'));
    key(&mut state, KeyCode::Char('n'));
    assert_eq!(told(&mut state), said, "there and back");
    key(&mut state, KeyCode::Char('n'));
    assert!(state.toast.is_some());
    key(&mut state, KeyCode::Down);
    assert_eq!(state.toast, None, "it is about another head");
}

#[test]
fn that_nothing_is_typed_is_said_until_something_is() {
    for command in [Command::Ask, Command::EditPrompt] {
        let mut state = ready();
        act(&mut state, Command::Show(Screen::Text));
        act(&mut state, command);
        let control =
            |letter| Action::Key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL));
        update(&mut state, control('u'));
        act(&mut state, Command::Submit);
        let said = state.toast.as_ref().map(|toast| toast.sentence.clone()).unwrap_or_default();
        assert!(said.ends_with("is empty"), "{said}");
        letters(&mut state, " ");
        assert!(state.toast.is_some(), "a blank is no text");
        letters(&mut state, "x");
        assert_eq!(state.toast, None);
    }
}

/// The story was once refused without the way to it, and recordings took "no orders".
#[test]
fn what_needs_another_model_or_a_live_one_names_the_way() {
    let mut state = ready();
    act(&mut state, Command::Story);
    assert!(told(&mut state).contains("M, then demo"));
    state.replay = true;
    for (screen, command) in [
        (Screen::Ab, Command::Feed),
        (Screen::Ab, Command::Time),
        (Screen::Ab, Command::Ask),
        (Screen::Map, Command::Story),
        (Screen::Map, Command::GoOn),
        (Screen::Learn, Command::Learn),
        (Screen::Eval, Command::Evaluate),
        (Screen::Bench, Command::Sweep),
        (Screen::Tune, Command::Sweep),
        (Screen::Tune, Command::Sense),
    ] {
        state.screen = screen;
        act(&mut state, command);
        let said = told(&mut state);
        let begins = said.starts_with("a recording has no model to ");
        assert!(begins && said.ends_with("with the model does that live"), "{command:?}: {said}");
    }
}

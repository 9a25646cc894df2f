//! The same keys edit every text that is typed.

use super::*;
use crate::tui::screen::learn::form::Field;
use crate::tui::screen::plan::state::Knob;
use crate::tui::testing::text;

/// A control key.
fn control(state: &mut State, letter: char) {
    update(state, Action::Key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL)));
}

/// What is typed, wherever that is.
fn typed(state: &State) -> String {
    let screens = &state.screens;
    let fields =
        [&screens.bench.typing, &screens.plan.typing, &screens.eval.typing, &screens.learn.typing];
    let field = fields.into_iter().flatten().next().map(|input| input.value().to_owned());
    let list = state.clone().list_mut().map(|list| list.input.value().to_owned());
    let text = match screens.text.asking {
        Some(_) => screens.text.question.lines().join("\n"),
        None => screens.text.typed(),
    };
    list.or(field).unwrap_or(text)
}

/// Opens one place where text is typed.
type Opens = fn(&mut State);

fn on(state: &mut State, screen: Screen, command: Command) {
    act(state, Command::Show(screen));
    act(state, command);
}

const PLACES: [(&str, Opens); 9] = [
    ("filter of the bench", |state| on(state, Screen::Bench, Command::EditField)),
    ("knob of Plan", |state| {
        act(state, Command::Show(Screen::Plan));
        state.screens.plan.knob = Knob::Context;
        act(state, Command::EditField);
    }),
    ("field of Learn", |state| {
        act(state, Command::Show(Screen::Learn));
        state.screens.learn.field = Field::Steps;
        act(state, Command::EditField);
    }),
    ("prompt", |state| on(state, Screen::Text, Command::EditPrompt)),
    ("turn", |state| on(state, Screen::Ab, Command::Ask)),
    ("palette", |state| drop(act(state, Command::Palette))),
    ("help", |state| drop(act(state, Command::Help))),
    ("find", |state| on(state, Screen::Map, Command::Find)),
    ("path", |state| drop(act(state, Command::OpenFile))),
];

#[test]
fn every_place_where_text_is_typed_takes_the_same_keys() {
    for (place, open) in PLACES {
        let mut state = ready();
        open(&mut state);
        assert!(state.context().takes_text(), "{place}");
        control(&mut state, 'u');
        assert_eq!(typed(&state), "", "{place}: ^u empties");
        letters(&mut state, "ab cd");
        control(&mut state, 'w');
        assert_eq!(typed(&state), "ab ", "{place}: ^w takes a word");
        control(&mut state, 'x');
        control(&mut state, 'g');
        update(&mut state, Action::Key(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::ALT)));
        assert_eq!(typed(&state), "ab ", "{place}: other control keys type nothing");
        control(&mut state, 'a');
        letters(&mut state, "x");
        control(&mut state, 'k');
        assert_eq!(typed(&state), "x", "{place}: ^a and ^k");
        control(&mut state, 'y');
        assert_eq!(typed(&state), "xab ", "{place}: ^y puts back");
    }
}

#[test]
fn a_long_turn_is_wrapped_in_its_box() {
    let mut state = ready();
    on(&mut state, Screen::Ab, Command::Ask);
    letters(&mut state, &"word ".repeat(60));
    letters(&mut state, "end");
    let shown = text(&draw(&state));
    let rows = shown.lines().filter(|line| line.contains("word word")).count();
    assert!(rows > 2 && shown.contains("end"), "{shown}");
}

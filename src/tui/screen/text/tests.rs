//! The text screen: prompt and settings.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::decode::worker::{EngineOrder as Order, Prompt};
use crate::tui::app::action::{Action, Command, Effect};
use crate::tui::app::keys::KeyContext;
use crate::tui::app::state::State;
use crate::tui::app::update::update;
use crate::tui::color::ColorDepth;
use crate::tui::screen::Screen;
use crate::tui::screen::text::settings::SETTINGS;
use crate::tui::testing::{SMALL, act, frames, key, letters, session};

fn ready() -> State {
    session(SMALL, ColorDepth::True)
}

#[test]
fn the_text() {
    for (name, dump) in frames("text", SMALL, |state| drop(act(state, Command::Show(Screen::Text))))
    {
        insta::assert_snapshot!(name, dump);
    }
}

#[test]
fn a_prompt_is_typed_pasted_and_sent() {
    let mut state = ready();
    state.screen = Screen::Text;
    key(&mut state, KeyCode::Char('i'));
    assert_eq!(state.context(), KeyContext::Prompt);
    letters(&mut state, "q: ");
    update(&mut state, Action::Paste("what\nnow".to_owned()));
    let effects =
        update(&mut state, Action::Key(KeyEvent::new(KeyCode::Char('s'), KeyModifiers::CONTROL)));
    let [Effect::Engine(Order::Start(start))] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(
        start.prompt,
        Prompt::Text { text: "Say something.q: what\nnow".to_owned(), raw: false }
    );
    assert!(!state.screens.text.editing);
}

#[test]
fn settings_change_within_their_ranges_and_count_from_the_next_run() {
    let mut state = ready();
    state.screen = Screen::Text;
    for setting in 0..SETTINGS.len() {
        state.screens.text.setting = setting;
        for command in [Command::More, Command::Less] {
            for _ in 0..200 {
                act(&mut state, command);
                state.plan.sampling.check().expect("in range");
                assert!(state.plan.max_new > 0);
            }
        }
    }
    (state.screens.text.setting, state.plan.sampling.temperature) = (0, 0.0);
    for _ in 0..7 {
        act(&mut state, Command::More);
    }
    assert_eq!(state.plan.sampling.temperature, 0.7, "no rounding error piles up");
    let effects = act(&mut state, Command::Rerun);
    assert!(
        matches!(&effects[..], [Effect::Engine(Order::Start(start))] if start.sampling.temperature == 0.7)
    );
}

//! The text screen: prompt and settings.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::decode::worker::event::{Event, Turn, Wish};
use crate::decode::worker::{EngineOrder as Order, Prompt};
use crate::tui::app::action::{Action, Command, Effect};
use crate::tui::app::keys::KeyContext;
use crate::tui::app::run::Phase;
use crate::tui::app::state::State;
use crate::tui::app::update::update;
use crate::tui::color::ColorDepth;
use crate::tui::screen::Screen;
use crate::tui::screen::text::settings::SETTINGS;
use crate::tui::testing::{
    SMALL, act, draw, frames, info, key, letters, pair, send, session, text, token,
};

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
    key(&mut state, KeyCode::Char('p'));
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

/// The editor opens with the prompt of the run on screen, and a key empties it.
#[test]
fn the_editor_opens_with_the_prompt_at_work_unless_something_is_typed() {
    let mut state = ready();
    state.screen = Screen::Text;
    state.plan.prompt = Prompt::Text { text: "From elsewhere".to_owned(), raw: false };
    key(&mut state, KeyCode::Char('p'));
    assert_eq!(state.screens.text.typed(), "From elsewhere");
    letters(&mut state, ", typed");
    key(&mut state, KeyCode::Esc);
    // What was typed and not sent stays, whatever runs meanwhile.
    state.plan.prompt = Prompt::Tokens(vec![1, 2, 3]);
    key(&mut state, KeyCode::Char('p'));
    assert_eq!(state.screens.text.typed(), "From elsewhere, typed");
    let control = |letter| Action::Key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL));
    update(&mut state, control('n'));
    assert_eq!(state.screens.text.typed(), "");
    letters(&mut state, "new");
    update(&mut state, control('s'));
    assert_eq!(state.plan.prompt, Prompt::Text { text: "new".to_owned(), raw: true });
    // After it was sent another prompt takes its place: that of a sample is shown as its text.
    state.plan.prompt = Prompt::Tokens(vec![1, 2, 3]);
    state.run.started = ready().run.started;
    let of_run = state.run.started.as_ref().expect("begun").prompt.clone();
    act(&mut state, Command::Show(Screen::Ab));
    key(&mut state, KeyCode::Char('p'));
    assert_eq!((state.screen, state.screens.text.typed()), (Screen::Text, of_run));
}

/// What the engine says of a turn.
fn turn(from: usize, text: &str) -> Event {
    Event::Turn(Box::new(Turn { from, text: text.to_owned(), tokens: 9, ms: 2.0, again: None }))
}

#[test]
fn a_turn_is_typed_sent_stopped_and_shown_where_it_was_asked() {
    for screen in [Screen::Text, Screen::Ab] {
        let mut state = ready();
        state.screen = screen;
        key(&mut state, KeyCode::Enter);
        assert_eq!((state.context(), state.screen), (KeyContext::Question, Screen::Text));
        letters(&mut state, "and");
        update(&mut state, Action::Paste(" then\nwhat".to_owned()));
        key(&mut state, KeyCode::Esc);
        assert_eq!(state.screen, screen, "esc goes back");
        key(&mut state, KeyCode::Enter);
        letters(&mut state, "?");
        let effects = key(&mut state, KeyCode::Enter);
        let Some(Effect::Engine(Order::Ask(ask))) = effects.first() else { panic!("{effects:?}") };
        assert_eq!((ask.number, ask.text.as_str()), (1, "and then\nwhat?"));
        assert_eq!((state.screen, &state.phase), (screen, &Phase::Prefill(0.0)));
        key(&mut state, KeyCode::Enter);
        assert_eq!(state.context(), KeyContext::Screen(screen), "one turn after the other");
        let effects = key(&mut state, KeyCode::Esc);
        assert!(effects.contains(&Effect::Engine(Order::StopAsk(1))), "{effects:?}");
        let sentence = "the turn was stopped".to_owned();
        send(&mut state, Event::Refused { wish: Wish::Ask, sentence });
        send(&mut state, Event::Paused);
        key(&mut state, KeyCode::Enter);
        let effects = key(&mut state, KeyCode::Enter);
        assert!(
            matches!(&effects[..], [Effect::Engine(Order::Ask(ask)), ..] if ask.number == 2 && ask.text == "and then\nwhat?"),
            "what was typed is kept: {effects:?}"
        );
        let (info, n) = (info(SMALL), state.run.generated());
        send(&mut state, turn(n, "and then\nwhat?"));
        for next in n + 1..n + 4 {
            send(&mut state, pair(&info, next, 300 + next));
            send(&mut state, token(&info, next, 300 + next));
        }
        assert!(state.screens.text.question.is_empty() && state.phase == Phase::Running);
        let shown = text(&draw(&state));
        assert!(shown.contains("› and then"), "{shown}");
        assert_eq!(state.run.turn_at(n + 1).map(|turn| turn.from), Some(n));
        assert!(!state.run.is_step(n + 1) && state.run.is_step(n + 2));
    }
}

#[test]
fn a_pasted_prompt_keeps_its_lines_however_the_terminal_ends_them() {
    for ends in ["\n", "\r", "\r\n"] {
        let mut state = ready();
        state.screen = Screen::Text;
        update(&mut state, Action::Paste(format!(" one{ends}{ends}two{ends}")));
        assert_eq!(
            state.screens.text.editor.lines(),
            ["Say something. one", "", "two", ""],
            "{ends:?}"
        );
    }
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

#[test]
fn a_prompt_that_is_too_long_is_refused_before_anything_is_dropped() {
    let mut state = ready();
    state.screen = Screen::Text;
    let before = state.run.pieces.len();
    let effects = key(&mut state, KeyCode::Char('p'));
    let [Effect::CountPrompt(Prompt::Text { text, .. })] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    let (text, most) = (text.clone(), state.model.as_ref().unwrap().info.context);
    let sends = |state: &mut State, tokens| {
        update(state, Action::Counted { text: text.clone(), tokens });
        let send = KeyEvent::new(KeyCode::Char('s'), KeyModifiers::CONTROL);
        update(state, Action::Key(send))
    };
    let drawn = |state: &State| crate::tui::testing::text(&crate::tui::testing::draw(state));
    assert_eq!(sends(&mut state, Ok(most)), [], "beside a dense side a token has to follow");
    assert!(state.screens.text.editing && state.run.pieces.len() == before && before > 0);
    assert!(state.toast.as_ref().is_some_and(|toast| toast.failed));
    assert!(drawn(&state).contains("too long"));
    assert_eq!(sends(&mut state, Err("no".to_owned())), []);
    assert!(matches!(
        sends(&mut state, Ok(most - 1)).as_slice(),
        [Effect::Engine(Order::Start(_))]
    ));
}

#[test]
fn the_text_is_what_is_copied() {
    let mut state = ready();
    state.screen = Screen::Text;
    let whole: String = state.run.pieces.iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!(key(&mut state, KeyCode::Char('y')), [Effect::Copy(whole)]);
}

use super::*;
use crate::decode::comparison::NO_ROOM;
use crate::decode::worker::Event;
use crate::tui::app::action::{Action, Playback};
use crate::tui::app::areas;
use crate::tui::app::state::Overlay;
use crate::tui::app::update::update;
use crate::tui::color::ColorDepth;
use crate::tui::testing::{SMALL, act, draw, key, letters, rebind, send, session, text, token};
use ratatui::crossterm::event::{KeyCode, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

fn ready() -> State {
    session(SMALL, ColorDepth::True)
}

fn recording() -> State {
    let mut state = ready();
    state.replay = true;
    let playback = Playback { token: 75, tokens: 206, at_ms: (12_400.0, 43_000.0), speed: 100 };
    update(&mut state, Action::Played(playback));
    state
}

fn say(state: &mut State, words: &str) -> Vec<Effect> {
    act(state, Command::Palette);
    letters(state, words);
    key(state, KeyCode::Enter)
}

#[test]
fn a_recording_is_gone_through_by_keys_words_and_mouse() {
    let mut state = recording();
    let order = |order| vec![Effect::Replay(order)];
    assert_eq!(key(&mut state, KeyCode::Char(')')), order(ReplayOrder::By(10)));
    assert_eq!(key(&mut state, KeyCode::Char('(')), order(ReplayOrder::By(-10)));
    assert_eq!(key(&mut state, KeyCode::Char('.')), order(ReplayOrder::Speed(200)));
    assert_eq!(key(&mut state, KeyCode::Char(',')), order(ReplayOrder::Speed(50)));
    assert_eq!(say(&mut state, "seek 120"), order(ReplayOrder::Seek(120)));
    assert_eq!(say(&mut state, "seek 12.5%"), order(ReplayOrder::Share(125)));
    assert_eq!(say(&mut state, "speed 0.3"), order(ReplayOrder::Speed(30)));
    for wrong in ["seek 0", "seek 101%", "speed 0", "speed x"] {
        assert_eq!(say(&mut state, wrong), [], "{wrong}");
        state.overlay = None;
    }
    // The line at the bottom says where it is, and takes a press.
    let line = areas::areas(&state).timeline.expect("a line");
    let shown = text(&draw(&state));
    let row = shown.lines().nth(usize::from(line.y)).expect("on the screen");
    assert!(row.contains("token 75 of 206 · 0:12 of 0:43") && row.contains("1×"), "{row}");
    let press = MouseEvent {
        kind: MouseEventKind::Down(MouseButton::Left),
        column: row.chars().position(|c| c == '━').expect("a bar") as u16,
        row: line.y,
        modifiers: KeyModifiers::NONE,
    };
    assert_eq!(update(&mut state, Action::Mouse(press)), order(ReplayOrder::Share(0)));
    // A live session has neither the line nor anything to go through.
    let mut live = ready();
    assert!(areas::areas(&live).timeline.is_none());
    assert_eq!(key(&mut live, KeyCode::Char(')')), []);
    assert!(live.toast.is_some_and(|toast| toast.sentence.contains("recording")));
}

#[test]
fn a_recording_says_nothing_of_runs_that_it_cannot_start() {
    let mut state = recording();
    state.screen = crate::tui::screen::Screen::Text;
    act(&mut state, Command::More);
    let shown = text(&draw(&state));
    assert!(!shown.contains("runs with these") && shown.contains("recorded with"), "{shown}");
    assert_eq!(act(&mut state, Command::GoOn), []);
}

/// Tokens of the pruned side alone.
fn say_tokens(state: &mut State, ids: impl Iterator<Item = u32>) {
    let model = state.model.as_ref().expect("a model").info.clone();
    for id in ids {
        let n = state.run.generated() + 1;
        let Event::Token(mut one) = token(&model, n, 100 + n) else { panic!("a token") };
        one.id = id;
        send(state, Event::Token(one));
    }
}

#[test]
fn a_text_that_loops_is_told_once_and_one_key_samples() {
    let mut state = ready();
    state.rerun();
    say_tokens(&mut state, (0..30).map(|n| n * n));
    assert_eq!(act(&mut state, Command::GoOn), [], "nothing loops yet");
    state.toast = None;
    say_tokens(&mut state, (0..60).map(|n| 5 + n % 9));
    let told = |state: &mut State| state.toast.take().map(|toast| toast.sentence);
    let sentence = told(&mut state).expect("the loop is told");
    assert!(sentence.contains("the same 9 tokens") && sentence.contains("E samples"), "{sentence}");
    say_tokens(&mut state, (60..64).map(|n| 5 + n % 9));
    assert_eq!(told(&mut state), None, "once");
    assert!(text(&draw(&state)).contains("loops every 9, E samples"));
    state.phase = Phase::Running;
    let effects = key(&mut state, KeyCode::Char('E'));
    let [Effect::Engine(Order::GoOn { sampling: Some(sampling), ignore_end: false })] =
        &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert!(sampling.temperature > 0.0 && sampling.check().is_ok());
    let before = state.plan.clone();
    let went = Event::WentOn { sampling: sampling.clone(), ignore_end: false };
    send(&mut state, went);
    assert_eq!(state.plan, before, "the next run begins as it was set");
    assert_eq!(state.run.sampling(), Some(sampling));
    state.screen = crate::tui::screen::Screen::Text;
    let words = text(&draw(&state)).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("this run 0.8"), "{words}");
    let [.., Effect::Engine(Order::Start(start))] = &state.clone().rerun()[..] else {
        panic!("a run")
    };
    assert_eq!((&start.sampling, start.ignore_end), (&before.sampling, before.ignore_end));
    state.screen = crate::tui::screen::Screen::Map;
    say_tokens(&mut state, (0..9).map(|n| 1000 + n));
    assert!(!text(&draw(&state)).contains("loops every"));
}

#[test]
fn a_run_that_is_over_promises_no_sampling() {
    let mut state = ready();
    state.rerun();
    state.toast = None;
    say_tokens(&mut state, (0..60).map(|n| 5 + n % 9));
    let told = |state: &State| state.toast.as_ref().map(|toast| toast.sentence.clone());
    assert!(told(&state).is_some_and(|sentence| sentence.contains("E samples")));
    send(&mut state, Event::Finished(Finish::Context));
    let sentence = told(&state).expect("it still loops");
    assert!(sentence.contains("the same 9 tokens") && !sentence.contains('E'), "{sentence}");
}

/// The speed that the header showed beside a new mask was that of the mask before.
#[test]
fn a_retuned_run_that_is_over_has_no_speed_and_waits_for_nothing() {
    let mut state = ready();
    state.size = (120, 40);
    send(&mut state, Event::Finished(Finish::MaxNew));
    let header = |state: &State| text(&draw(state)).lines().next().map(str::to_owned).unwrap();
    assert!(header(&state).contains("tok/s"), "{}", header(&state));
    let before = state.run.own_steps().len();
    let effects = say(&mut state, "keep 20");
    crate::tui::testing::answer(&mut state, &effects);
    assert!(before > 0 && state.run.own_steps().is_empty());
    assert!(!header(&state).contains("tok/s"), "{}", header(&state));
    assert_eq!((state.run.rate(), state.run.tpot(0.5), state.run.fastest()), (None, None, None));
    use crate::tui::screen::Screen;
    for screen in [Screen::Ab, Screen::Perf, Screen::Map, Screen::Head] {
        state.screen = screen;
        let frame = text(&draw(&state));
        for promise in ["comes with", "come with", "measured once"] {
            assert!(!frame.contains(promise), "{screen:?} {promise}: {frame}");
        }
    }
    state.screen = Screen::Ab;
    assert!(text(&draw(&state)).contains("the run is over"), "{}", text(&draw(&state)));
}

#[test]
fn a_text_that_ended_early_goes_on_past_its_end_by_the_same_key() {
    let mut state = ready();
    send(&mut state, Event::Finished(Finish::EndToken));
    assert!(state.toast.as_ref().is_some_and(|toast| toast.sentence.contains("E goes on")));
    assert!(text(&draw(&state)).contains("end of text, E goes on"));
    let effects = key(&mut state, KeyCode::Char('E'));
    assert_eq!(effects, [Effect::Engine(Order::GoOn { sampling: None, ignore_end: true })]);
    assert!(!state.plan.ignore_end, "the next run ends where the model ends it");
    assert!(!matches!(state.overlay, Some(Overlay::Palette(_))));
    // Past the end of a text that loops there is only the loop, so that it is sampled as well.
    state.rerun();
    say_tokens(&mut state, (0..60).map(|n| 5 + n % 9));
    state.phase = Phase::Finished(Finish::EndToken);
    let effects = key(&mut state, KeyCode::Char('E'));
    assert!(
        matches!(
            &effects[..],
            [Effect::Engine(Order::GoOn { sampling: Some(_), ignore_end: true })]
        ),
        "{effects:?}"
    );
    // The end of the limit is no early end.
    send(&mut state, Event::Finished(Finish::MaxNew));
    assert_eq!(key(&mut state, KeyCode::Char('E')), []);
}

/// One temperature does not end every loop, and the header offered it all the same.
#[test]
fn every_press_samples_more_loosely_until_nothing_is_left_to_offer() {
    let mut state = ready();
    state.rerun();
    say_tokens(&mut state, (0..60).map(|n| 5 + n % 9));
    state.phase = Phase::Running;
    let mut last = (0.0, 1.0);
    loop {
        let offered = text(&draw(&state)).contains("loops every 9, E samples");
        state.toast = None;
        let effects = key(&mut state, KeyCode::Char('E'));
        let [Effect::Engine(Order::GoOn { sampling: Some(sampling), .. })] = &effects[..] else {
            assert!(effects.is_empty() && !offered, "{effects:?}");
            break;
        };
        assert!(offered, "{}", text(&draw(&state)));
        let now = (sampling.temperature, sampling.repeat_penalty);
        assert!(now.0 > last.0 && now.1 > last.1 && sampling.check().is_ok(), "{now:?}");
        last = now;
        let went = Event::WentOn { sampling: sampling.clone(), ignore_end: false };
        send(&mut state, went);
    }
    let told = state.toast.as_ref().map(|toast| toast.sentence.as_str());
    assert!(told.is_some_and(|told| told.contains("r begins again")), "{told:?}");
    assert!(text(&draw(&state)).contains("loops every 9  "), "{}", text(&draw(&state)));
}

#[test]
fn a_question_that_has_no_room_is_refused_with_the_way_on() {
    let mut state = ready();
    let sentence =
        format!("the conversation with this turn has 2,564 tokens and {NO_ROOM} of 2,560");
    let wish = crate::decode::worker::event::Wish::Ask;
    send(&mut state, Event::Refused { wish, sentence: sentence.clone() });
    let told = state.toast.as_ref().map(|toast| toast.sentence.clone()).expect("told");
    assert!(told.starts_with(&sentence) && told.contains("r begins again"), "{told}");
}

/// What can still be done at the end of a run is said with its keys, whatever they are.
#[test]
fn at_its_end_a_run_names_the_keys_that_go_on() {
    use crate::tui::screen::Screen;
    let mut state = ready();
    state.size = (160, 40);
    rebind(&mut state, &[("global", "rerun", "f7"), ("text", "edit-prompt", "f8")]);
    let told = |state: &mut State| state.toast.take().map(|toast| toast.sentence);
    let header = |state: &State| text(&draw(state)).lines().next().map(str::to_owned).unwrap();
    send(&mut state, Event::Finished(Finish::Context));
    assert!(header(&state).contains("context full, F7 runs it again"), "{}", header(&state));
    // A question is refused before it is typed.
    state.screen = Screen::Ab;
    key(&mut state, KeyCode::Enter);
    assert_eq!((state.screen, state.screens.text.asking), (Screen::Ab, None));
    let full = "the context is full: F7 begins again with the first prompt, F8 on Text";
    let sentence = told(&mut state);
    assert!(sentence.as_ref().is_some_and(|told| told.starts_with(full)), "{sentence:?}");
    act(&mut state, Command::Pause);
    let sentence = told(&mut state);
    assert!(sentence.as_ref().is_some_and(|told| told.starts_with(full)), "{sentence:?}");
    // At the limit of a run a question goes on.
    send(&mut state, Event::Finished(Finish::MaxNew));
    act(&mut state, Command::Pause);
    let sentence = told(&mut state);
    let past = "F7 runs it again, ⏎ on Text";
    assert!(sentence.as_ref().is_some_and(|told| told.contains(past)), "{sentence:?}");
    key(&mut state, KeyCode::Enter);
    assert_eq!(state.screens.text.asking, Some(Screen::Ab));
    key(&mut state, KeyCode::Esc);
    send(&mut state, Event::Failed { sentence: "no".to_owned(), code: 1 });
    key(&mut state, KeyCode::Enter);
    let sentence = told(&mut state);
    assert!(sentence.as_ref().is_some_and(|told| told.contains("failed: F7")), "{sentence:?}");
}

/// What the engine refuses it says without keys, which it does not know.
#[test]
fn the_engine_s_refusals_get_the_keys_that_are_set() {
    use crate::decode::worker::event::{EARLIER_TURN, NO_ANSWER, Wish};
    let mut state = ready();
    rebind(&mut state, &[("global", "rerun", "f7")]);
    let earlier = format!("token 12 {EARLIER_TURN}");
    for (wish, sentence, way_on) in [
        (Wish::Ask, NO_ANSWER.to_owned(), "F7 begins again"),
        (Wish::Rewind, earlier.clone(), "F7 begins the conversation again"),
    ] {
        send(&mut state, Event::Refused { wish, sentence: sentence.clone() });
        let told = state.toast.take().map(|toast| toast.sentence).expect("told");
        assert!(told.starts_with(&sentence) && told.contains(way_on), "{told}");
    }
    // What a step lost is asked by no key: a turn that came between is no news.
    send(&mut state, Event::Refused { wish: Wish::Explain, sentence: earlier });
    assert_eq!(state.toast, None);
}

#[test]
fn what_was_said_of_a_loop_goes_with_the_loop() {
    let mut state = ready();
    state.rerun();
    state.toast = None;
    say_tokens(&mut state, (0..60).map(|n| 5 + n % 9));
    let said = state.toast.as_ref().map(|toast| toast.sentence.as_str());
    assert!(said.is_some_and(|said| said.contains("the same 9 tokens")), "{said:?}");
    say_tokens(&mut state, (0..9).map(|n| 1000 + n));
    assert_eq!(state.toast, None);
}

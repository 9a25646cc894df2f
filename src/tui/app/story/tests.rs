use ratatui::crossterm::event::KeyCode;

use super::*;
use crate::decode::worker::event::{Event, Pair};
use crate::tui::color::ColorDepth;
use crate::tui::testing::{SMALL, act, blank, draw, info, key, pair, send, session, text};

/// A session of the demo with its prompt.
fn demo() -> State {
    let mut state = blank(ColorDepth::True);
    asks(&mut state);
    state.tells_story = true;
    state
}

fn asks(state: &mut State) {
    let question = "What is the code for clover?".to_owned();
    state.plan.prompt =
        Prompt::Facts { text: format!("Sentences.\nQuestion: {question}\nAnswer:") };
    state.quiz = Some(Quiz { question, value: "6983".to_owned() });
}

fn orders(effects: &[Effect]) -> Vec<&Order> {
    let mut orders = Vec::new();
    for effect in effects {
        if let Effect::Engine(order) = effect {
            orders.push(order);
        }
    }
    orders
}

/// The sides answer, a piece of text a step.
fn answer(state: &mut State, pieces: &[[&str; 2]]) {
    for [a, b] in pieces {
        let Event::Pair(template) = pair(&info(SMALL), 1, 100) else { panic!("a pair") };
        let mut step = Pair { ..*template };
        step.a.as_mut().expect("a dense side").text = (*a).to_owned();
        step.b.as_mut().expect("a pruned side").text = (*b).to_owned();
        send(state, Event::Pair(Box::new(step)));
    }
}

fn shown(state: &State) -> String {
    let lines = text(&draw(state));
    let rows: Vec<&str> = lines.lines().collect();
    rows[rows.len() - 1 - usize::from(super::rows(state))..rows.len() - 1].join("\n")
}

#[test]
fn the_model_begins_the_story_at_reading_speed_beside_its_dense_side() {
    let mut state = demo();
    let loaded = Event::Loaded(Box::new(info(SMALL)));
    let envelope =
        crate::decode::worker::Envelope { generation: 0, at_ms: 0.0, dropped: 0, event: loaded };
    let effects = crate::tui::app::engine::take(&mut state, envelope);
    let [Order::Pace(Some(READING)), Order::Feed(Mode::Free), Order::Start(start)] =
        orders(&effects)[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(start.prompt, state.plan.prompt);
    assert_eq!(state.screen, Screen::Ab);
    assert!(shown(&state).contains("1/4"), "{}", shown(&state));
}

#[test]
fn what_the_sides_say_is_read_from_the_run() {
    let mut state = session(SMALL, ColorDepth::True);
    asks(&mut state);
    begin(&mut state);
    state.run.pairs = Default::default();
    answer(&mut state, &[[" The code", " The code"], [" is 69", " is 2"]]);
    assert!(shown(&state).contains("A is answering   B is answering"), "{}", shown(&state));
    answer(&mut state, &[["83", "975"], [".", ".\n"]]);
    assert!(shown(&state).contains("A says 6983: right   B says 2975: wrong"), "{}", shown(&state));
}

#[test]
fn a_key_goes_on_to_the_end_and_the_mask_is_as_before() {
    let mut state = session(SMALL, ColorDepth::True);
    asks(&mut state);
    let before = state.screens.tune.as_ref().expect("loaded").proposal().plan.clone();
    act(&mut state, Command::Story);
    let effects = key(&mut state, KeyCode::Enter);
    assert!(matches!(orders(&effects)[..], [Order::Retune(_), Order::Start(_)]), "{effects:?}");
    let sharp = state.screens.tune.as_ref().expect("loaded").proposal().plan.clone();
    assert!(sharp.mask().kept_ratio() < before.mask().kept_ratio() / 4.0);
    let effects = key(&mut state, KeyCode::Enter);
    let orders_of_map = orders(&effects);
    assert!(matches!(orders_of_map[..], [Order::Retune(_), Order::Start(_)]), "{effects:?}");
    assert_eq!(state.screens.tune.as_ref().expect("loaded").proposal().plan, before);
    assert_eq!(state.screen, Screen::Map);
    let footer = |state: &State| text(&draw(state)).lines().last().unwrap_or_default().to_owned();
    assert!(!footer(&state).contains('⏎'), "the key is the story's: {}", footer(&state));
    key(&mut state, KeyCode::Enter);
    assert_eq!(state.screen, Screen::Tune);
    let effects = key(&mut state, KeyCode::Enter);
    assert!(state.story.is_none());
    assert!(matches!(orders(&effects)[..], [Order::Feed(Mode::Forced)]), "{effects:?}");
    // The key has its own meaning again.
    assert!(footer(&state).contains('⏎'), "{}", footer(&state));
    key(&mut state, KeyCode::Enter);
    assert!(state.story.is_none());
}

/// Enter and Esc are the story's where it is told, and nowhere else.
#[test]
fn on_other_screens_keys_are_those_of_the_screen() {
    let mut state = session(SMALL, ColorDepth::True);
    asks(&mut state);
    act(&mut state, Command::Story);
    let first = state.story.clone();
    for screen in Screen::ALL.into_iter().filter(|screen| *screen != Screen::Ab) {
        state.screen = screen;
        let said = shown(&state);
        assert!(said.contains("the story goes on in A/B (3)"), "{screen:?}: {said}");
        key(&mut state, KeyCode::Enter);
        assert_eq!(state.story, first, "{screen:?}");
        for _ in 0..4 {
            state.overlay = None;
            key(&mut state, KeyCode::Esc);
        }
        assert_eq!(state.story, first, "{screen:?}");
        state.screens.text.asking = None;
    }
    // Under a list on its own screen they are those of the list.
    state.screen = Screen::Ab;
    for opens in [Command::Help, Command::Palette, Command::Suffered] {
        act(&mut state, opens);
        key(&mut state, KeyCode::Esc);
        assert_eq!((&state.story, state.overlay.is_none()), (&first, true), "{opens:?}");
    }
    key(&mut state, KeyCode::Esc);
    assert!(state.story.is_none());
}

#[test]
fn esc_closes_what_is_explained_and_nothing_else() {
    let mut state = session(SMALL, ColorDepth::True);
    asks(&mut state);
    let run = state.run.clone();
    act(&mut state, Command::Story);
    // There is a token to explain.
    state.run = run;
    let first = state.story.clone();
    for closes in [KeyCode::Esc, KeyCode::Char('i')] {
        key(&mut state, KeyCode::Char('i'));
        assert!(state.explained.is_some());
        key(&mut state, closes);
        assert_eq!((&state.story, &state.explained), (&first, &None), "{closes:?}");
    }
    // Without a story it leaves no screen either.
    state.story = None;
    key(&mut state, KeyCode::Char('i'));
    key(&mut state, KeyCode::Esc);
    assert_eq!(state.screen, Screen::Ab);
    key(&mut state, KeyCode::Esc);
    assert_eq!(state.screen, Screen::Map);
}

#[test]
fn the_first_chapter_says_what_is_stored_of_v_too() {
    let mut state = session(SMALL, ColorDepth::True);
    asks(&mut state);
    act(&mut state, Command::Story);
    let model = state.model.clone().expect("loaded");
    state.run.cached = 2_000;
    state.run.kv = model.bytes_at(2_000).0;
    let dense = model.bytes_at(2_000).1.total() as f64;
    let less = 100.0 * (1.0 - state.run.kv.total() as f64 / dense);
    let with_v = (0..10).filter(|head| model.kept(head / 2, head % 2) > 0).count();
    let said = shown(&state).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(with_v < 10 && said.contains(&format!("V of {with_v} of 10 heads")), "{said}");
    assert!(said.contains(&format!("{less:.0} % fewer bytes")), "{said}");
}

#[test]
fn leaving_in_the_middle_gives_the_mask_back() {
    let mut state = session(SMALL, ColorDepth::True);
    asks(&mut state);
    let before = state.screens.tune.as_ref().expect("loaded").proposal().plan.clone();
    act(&mut state, Command::Story);
    key(&mut state, KeyCode::Enter);
    let effects = key(&mut state, KeyCode::Esc);
    assert!(state.story.is_none());
    assert!(matches!(orders(&effects)[0], Order::Retune(_)), "{effects:?}");
    assert_eq!(state.screens.tune.as_ref().expect("loaded").proposal().plan, before);
}

#[test]
fn another_prompt_ends_the_story() {
    let mut state = session(SMALL, ColorDepth::True);
    asks(&mut state);
    act(&mut state, Command::Story);
    state.plan.prompt = Prompt::Text { text: "Something else".to_owned(), raw: false };
    let effects = state.rerun();
    assert!(state.story.is_none());
    assert!(orders(&effects).contains(&&Order::Feed(Mode::Forced)), "{effects:?}");
    let effects = act(&mut state, Command::Story);
    assert!(effects.is_empty() && state.toast.is_some(), "it is not told of another prompt");
}

#[test]
fn every_chapter_is_told_in_whole_on_every_terminal() {
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for size in [(60, 16), (80, 24), (120, 40)] {
        let mut state = session(SMALL, ColorDepth::True);
        asks(&mut state);
        state.size = size;
        act(&mut state, Command::Story);
        while let Some(story) = state.story.clone() {
            let rows = flat(&shown(&state));
            for sentence in sentences(&state, &story) {
                assert!(rows.contains(&flat(&sentence)), "{size:?}: {rows}");
            }
            assert!(rows.ends_with("ends the story"), "{size:?}: {rows}");
            act(&mut state, Command::StoryNext);
        }
    }
}

#[test]
fn the_mask_that_the_story_sets_is_nothing_unsaved_of_the_user_s() {
    let mut state = session(SMALL, ColorDepth::True);
    state.size = (160, 40);
    asks(&mut state);
    begin(&mut state);
    go_on(&mut state);
    assert!(state.screens.tune.as_ref().is_some_and(|tuning| tuning.is_unsaved()));
    assert!(!text(&draw(&state)).contains("* unsaved"), "{}", text(&draw(&state)));
    // One of the user's own is.
    end(&mut state);
    edit::set(&mut state, Set::Keep(300));
    assert!(text(&draw(&state)).contains("* unsaved"), "{}", text(&draw(&state)));
}

/// At full speed the demo's context was full a second after Esc, and a question was refused.
#[test]
fn after_the_story_decode_keeps_reading_speed_until_a_key_changes_it() {
    let mut state = session(SMALL, ColorDepth::True);
    state.size = (160, 40);
    asks(&mut state);
    act(&mut state, Command::Story);
    state.phase = crate::tui::app::run::Phase::Running;
    let effects = key(&mut state, KeyCode::Esc);
    assert!(state.story.is_none());
    let changes = orders(&effects).iter().any(|order| matches!(order, Order::Pace(_)));
    assert!(!changes, "{effects:?}");
    let told = |state: &State| state.toast.as_ref().map(|toast| toast.sentence.clone());
    let sentence = told(&state).expect("the pace is told with its keys");
    assert!(sentence.contains("8 tokens a second: `.` is faster"), "{sentence}");
    let header = |state: &State| text(&draw(state)).lines().next().map(str::to_owned).unwrap();
    assert!(header(&state).contains("held to 8/s (. faster)"), "{}", header(&state));
    // Slower, and faster up to full speed, each shown.
    let mut paced = Vec::new();
    for letter in [',', '.', '.', '.', '.', '.', '.'] {
        let effects = key(&mut state, KeyCode::Char(letter));
        let [Order::Pace(pace)] = orders(&effects)[..] else { panic!("{effects:?}") };
        assert_eq!(*pace, state.pace);
        let shown = header(&state).contains("held to");
        assert_eq!(shown, pace.is_some(), "{pace:?}: {}", header(&state));
        paced.push(*pace);
    }
    assert_eq!(paced, [Some(4), Some(8), Some(16), Some(32), Some(64), None, None]);
    assert!(told(&state).is_some_and(|told| told.contains("as fast as it can be")));
    // Another model's engine begins at full speed, and the header says nothing else.
    key(&mut state, KeyCode::Char(','));
    assert_eq!(state.pace, Some(64));
    send(&mut state, Event::Loaded(Box::new(info(SMALL))));
    assert_eq!(state.pace, None);
}

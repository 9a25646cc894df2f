//! The A/B screen: every key, the mouse, and what the engine is asked.

use ratatui::crossterm::event::{
    KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use crate::decode::comparison::Mode;
use crate::decode::lost::Asked;
use crate::decode::session::Finish;
use crate::decode::worker::EngineOrder as Order;
use crate::decode::worker::event::{Event, Pair, Retuned, Timed};
use crate::mask::Window;
use crate::spread::Spread;
use crate::tui::app::action::{Action, Command, Effect};
use crate::tui::app::areas;
use crate::tui::app::pairs::ComparedSide;
use crate::tui::app::state::State;
use crate::tui::app::update::update;
use crate::tui::color::ColorDepth;
use crate::tui::screen::Screen;
use crate::tui::screen::ab::layout;
use crate::tui::testing::{
    LARGE, SMALL, act, draw, frames, info, lost, pair, send, session, text, token,
};

fn key(state: &mut State, code: KeyCode) -> Vec<Effect> {
    update(state, Action::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn letter(state: &mut State, c: char) -> Vec<Effect> {
    key(state, KeyCode::Char(c))
}

/// A session of 120 tokens on the A/B screen, at its end; the sides differ at every seventh token
/// from the third on.
fn ready() -> State {
    let mut state = session(SMALL, ColorDepth::True);
    send(&mut state, Event::Paused);
    assert_eq!(asked(&letter(&mut state, '3')).n, 120);
    assert_eq!(state.screen, Screen::Ab);
    state
}

fn asked(effects: &[Effect]) -> Asked {
    match effects {
        [Effect::Engine(Order::Explain(asked))] => *asked,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_cursor_goes_token_by_token_and_follows_again_past_the_last() {
    let mut state = ready();
    assert_eq!(state.screens.ab.cursor, None);
    assert_eq!(asked(&key(&mut state, KeyCode::Left)).n, 119);
    assert_eq!(asked(&letter(&mut state, 'h')).n, 118);
    assert_eq!(asked(&key(&mut state, KeyCode::Right)).n, 119);
    letter(&mut state, 'l');
    assert_eq!(state.screens.ab.cursor, None, "the last token is where the text grows");
    assert_eq!(
        asked(&update(
            &mut state,
            Action::Key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL))
        ))
        .n,
        104
    );
    assert_eq!(asked(&key(&mut state, KeyCode::PageDown)), Asked { n: 120, layer: 0, head: 0 });
    assert_eq!(letter(&mut state, 'g'), [], "nothing can be lost in the first token");
    assert_eq!(state.screens.ab.cursor, Some(1));
    key(&mut state, KeyCode::Left);
    assert_eq!(state.screens.ab.cursor, Some(1));
    letter(&mut state, 'G');
    assert_eq!(state.screens.ab.cursor, None);
}

#[test]
fn up_and_down_keep_the_column() {
    let mut state = ready();
    key(&mut state, KeyCode::Up);
    let above = state.screens.ab.cursor.expect("a token above");
    assert!((100..119).contains(&above), "{above}");
    letter(&mut state, 'k');
    assert!(state.screens.ab.cursor.unwrap() < above);
    letter(&mut state, 'j');
    assert!(
        state.screens.ab.cursor.unwrap().abs_diff(above) <= 1,
        "the nearest column of another row"
    );
}

#[test]
fn divergences_are_a_key_apart() {
    let mut state = ready();
    letter(&mut state, 'N');
    assert_eq!(state.screens.ab.cursor, Some(115));
    letter(&mut state, 'N');
    assert_eq!(state.screens.ab.cursor, Some(108));
    letter(&mut state, 'n');
    letter(&mut state, 'n');
    assert_eq!(state.screens.ab.cursor, Some(115), "there is none after it");
    assert!(
        state.toast.as_ref().is_some_and(|toast| toast.sentence.contains("no divergence after"))
    );
    letter(&mut state, 'g');
    letter(&mut state, 'n');
    assert_eq!(state.screens.ab.cursor, Some(3));
}

/// A KLD of 0 was once shown without a word while the cache was still the dense one.
#[test]
fn steps_before_anything_was_pruned_are_called_so() {
    let mut state = ready();
    assert!(!text(&draw(&state)).contains("nothing pruned"), "{}", text(&draw(&state)));
    state.run.cached = 124;
    assert!(text(&draw(&state)).contains("  nothing pruned  "), "{}", text(&draw(&state)));
    // 119 steps are compared; the first 24 of these had no middle.
    state.run.cached = 176 + 94;
    assert!(text(&draw(&state)).contains("nothing pruned in 24"), "{}", text(&draw(&state)));
}

/// The row with the titles of both sides.
fn titles(state: &State) -> String {
    text(&draw(state)).lines().nth(3).unwrap_or_default().to_owned()
}

#[test]
fn orders_reach_the_engine_and_the_rest_stays_here() {
    let mut state = ready();
    assert_eq!(letter(&mut state, 'f'), [Effect::Engine(Order::Feed(Mode::Free))]);
    send(&mut state, Event::Fed(Mode::Free));
    assert_eq!(letter(&mut state, 'f'), [Effect::Engine(Order::Feed(Mode::Forced))]);
    assert!(!titles(&state).contains("ms"), "{}", titles(&state));
    assert_eq!(letter(&mut state, 'b'), [Effect::Engine(Order::Time)]);
    let spread = |p50| Spread { p50, ..Spread::default() };
    send(
        &mut state,
        Event::Timed(Box::new(Timed { steps: 128, a_ms: spread(10.0), b_ms: spread(8.0) })),
    );
    let frame = text(&draw(&state));
    assert!(frame.contains("alone A 10.00 B 8.00 ms = 1.25×"), "{frame}");
    // The titles of the sides have the same figures, and none of steps side by side: those once made
    // B 3.5 times as fast where it was 1.63 times alone.
    let titles = titles(&state);
    assert!(titles.contains("alone 10.00 ms") && titles.contains("alone 8.00 ms"), "{titles}");
    letter(&mut state, 'x');
    assert!(
        state.screens.ab.swapped
            && text(&draw(&state)).lines().nth(3).unwrap().starts_with(" B keeps")
    );
    key(&mut state, KeyCode::Left);
    assert_eq!(key(&mut state, KeyCode::Backspace), [Effect::Engine(Order::Rewind(119))]);
    assert_eq!(letter(&mut state, '<'), [Effect::Engine(Order::Rewind(119))]);
    letter(&mut state, 'p');
    assert!(state.screens.text.editing && state.screen == Screen::Text);
}

#[test]
fn query_heads_stay_within_their_group_and_kv_heads_are_global() {
    let mut state = ready();
    assert_eq!(asked(&letter(&mut state, ']')).head, 1);
    assert_eq!(letter(&mut state, ']'), [], "two query heads share a KV head");
    let effects = letter(&mut state, 'L');
    assert_eq!(effects[0], Effect::Engine(Order::Watch { layer: 0, head: 1 }));
    assert_eq!(asked(&effects[1..]).head, 3);
    let effects = letter(&mut state, 'J');
    assert_eq!(asked(&effects[1..]).layer, 1);
    assert_eq!(asked(&letter(&mut state, '[')).head, 2);
}

#[test]
fn while_tokens_come_the_engine_is_asked_now_and_then() {
    let mut state = ready();
    let model = info(SMALL);
    send(&mut state, Event::Resumed);
    update(&mut state, Action::Tick(5_000.0));
    let mut questions = 0;
    for n in 121..=180 {
        questions += update(&mut state, Action::Tick(5_000.0 + 50.0 * (n - 120) as f64)).len();
        let envelope = |event| {
            Action::Engine(Box::new(crate::decode::worker::Envelope {
                generation: 1,
                at_ms: 0.0,
                dropped: 0,
                event,
            }))
        };
        let effects = update(&mut state, envelope(pair(&model, n, 399 + n)));
        questions += effects.len();
    }
    assert!((3..=4).contains(&questions), "{questions} in three seconds");
    send(&mut state, Event::Finished(Finish::MaxNew));
    assert_eq!(
        state.screens.ab.asked.map(|asked| asked.n),
        Some(180),
        "the end is asked about at once"
    );
    let question = state.screens.ab.asked.unwrap();
    send(&mut state, lost(question));
    assert!(text(&draw(&state)).contains("4→380"), "what lost rank is on screen");
    // An older answer says which token it is of, in a form that the pane has room for.
    let older = Asked { n: 175, ..question };
    send(&mut state, lost(older));
    for size in [(80, 24), (120, 40), (200, 60)] {
        state.size = size;
        let frame = text(&draw(&state));
        let own = frame.lines().find(|line| line.contains("of token 175"));
        let own = own.unwrap_or_else(|| panic!("{size:?}: {frame}"));
        let said = own.split("of token 175").nth(1).unwrap_or_default();
        let forms =
            ["; the cursor is on 180, which is asked next", "; 180 is asked next", ", not 180 yet"];
        assert!(forms.iter().any(|form| said.starts_with(form)), "{size:?}: {own}");
    }
}

#[test]
fn the_mouse_picks_tokens_in_both_panes_and_in_the_strip() {
    let mut state = ready();
    let press = |x, y| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        Action::Mouse(MouseEvent { kind, column: x, row: y, modifiers: KeyModifiers::NONE })
    };
    let areas = layout::ab(&state, areas::areas(&state).main);
    for (side, area) in [(ComparedSide::A, areas.left), (ComparedSide::B, areas.right)] {
        state.screens.ab.cursor = None;
        let inner = layout::below_title(area);
        let shown = layout::words(&state, side, inner);
        let word = &shown[shown.len() / 2];
        update(&mut state, press(inner.x + word.at.1, inner.y + word.at.0));
        assert_eq!(state.screens.ab.cursor, Some(word.n));
    }
    update(&mut state, press(areas.strip.x, areas.strip.y));
    assert_eq!(state.screens.ab.cursor, Some(1));
    let wheel =
        |kind| Action::Mouse(MouseEvent { kind, column: 9, row: 9, modifiers: KeyModifiers::NONE });
    update(&mut state, wheel(MouseEventKind::ScrollDown));
    assert_eq!(state.screens.ab.cursor, Some(2));
    update(&mut state, wheel(MouseEventKind::ScrollUp));
    assert_eq!(state.screens.ab.cursor, Some(1));
}

/// Free mode: the texts differ at token 4, B continues alone after A ends, and a retune replaces
/// B's text by A's.
#[test]
fn free_texts_part_once_and_a_change_of_the_mask_brings_them_together() {
    let mut state = session(SMALL, ColorDepth::None);
    letter(&mut state, '3');
    letter(&mut state, 'r');
    send(&mut state, Event::Fed(Mode::Free));
    let model = info(SMALL);
    for n in 1..=8 {
        let Event::Pair(told) = pair(&model, n, 399 + n) else { unreachable!() };
        let mut told: Pair = *told;
        if let Some(b) = told.b.as_mut().filter(|_| n >= 4) {
            (b.id, b.text) = (b.id + 1000, " other".to_owned());
        }
        if n > 4 {
            told.divergence = None;
        }
        if n > 6 {
            told.a = None;
        }
        send(&mut state, Event::Pair(Box::new(told)));
        send(&mut state, token(&model, n, 399 + n));
    }
    let parting: Vec<usize> =
        (1..=8).filter(|&n| state.run.pairs.parts_at(n, Mode::Free)).collect();
    assert_eq!(parting, [4]);
    assert_eq!(state.run.pairs.divergence().steps, 3);
    assert!(!state.run.pairs.together_before(5) && state.run.pairs.together_before(4));
    assert_eq!(
        key(&mut state, KeyCode::Left),
        [],
        "there is no exact step to compare a differing text with"
    );
    assert!(text(&draw(&state)).contains("the texts differ before this token"));
    let mask = model.mask.clone().unwrap();
    let window = Window { sink: 4, ..model.window };
    let retuned = Retuned { revision: 1, mask, window, from: Some(6), ms: 1.0 };
    send(&mut state, Event::Retuned(Box::new(retuned)));
    assert_eq!((state.run.pairs.len(), state.run.generated(), state.run.pairs.since), (6, 6, 6));
    assert!(state.run.pairs.together_before(7));
    assert_eq!(state.run.pieces[3].text, ",", "the text on every screen is the dense side's");
    assert_eq!(state.run.pairs.divergence().steps, 0, "figures begin anew with the mask");
    send(&mut state, Event::Rewound(4));
    assert_eq!((state.run.pairs.len(), state.run.generated(), state.run.pairs.since), (4, 4, 4));
}

/// Another mask once stood above the figures of the one before it.
#[test]
fn what_was_measured_under_an_earlier_mask_says_so() {
    let mut state = ready();
    state.size = (120, 40);
    let model = info(SMALL);
    let n = state.run.pairs.len();
    let parted = state.run.pairs.next_parting(0, true, Mode::Forced).expect("some token parts");
    state.screens.ab.cursor = Some(parted);
    let before = text(&draw(&state));
    assert!(before.contains("B masked") && before.contains('‹'), "{before}");
    letter(&mut state, 'i');
    assert!(state.explained.take().is_some_and(|said| said.contains("under the mask")));
    let use_window = |state: &mut State, window: Window, from: usize| {
        let mask = model.mask.clone().unwrap();
        let retuned = Retuned { revision: 1, mask, window, from: Some(from), ms: 1.0 };
        send(state, Event::Retuned(Box::new(retuned)));
        state.screens.ab.cursor = Some(parted);
    };
    let other = Window { sink: 4, ..model.window };
    use_window(&mut state, other, n);
    let after = text(&draw(&state));
    assert!(after.contains("B then") && after.contains("under another mask"), "{after}");
    let panes: Vec<&str> = after.lines().skip(3).take(8).collect();
    assert!(!panes.iter().any(|line| line.contains('‹')), "{after}");
    letter(&mut state, 'i');
    assert!(state.explained.take().is_some_and(|said| said.contains("under another mask")));

    // Taken back before a token came, everything is as it was.
    use_window(&mut state, model.window, n);
    let undone = text(&draw(&state));
    assert!(undone.contains("B masked") && undone.contains('‹'), "{undone}");
    assert_eq!(state.run.pairs.since, 0);

    // A token under the mask at work is its own, and those of the first are its own once it is back.
    use_window(&mut state, other, n);
    send(&mut state, pair(&model, n + 1, 400 + n));
    state.screens.ab.cursor = Some(n + 1);
    let newest = text(&draw(&state));
    assert!(newest.contains("B masked") && !newest.contains("under another mask"), "{newest}");
    use_window(&mut state, model.window, n + 1);
    assert_eq!(state.run.pairs.since, n + 1, "figures in the mean are of one stretch");
    let back = text(&draw(&state));
    assert!(back.contains("B masked") && !back.contains("under another mask"), "{back}");
    assert!(state.run.pairs.is_of_another(n + 1) && !state.run.pairs.is_of_another(n));
    // Without the other's token it is one stretch again.
    send(&mut state, Event::Rewound(n));
    assert_eq!(state.run.pairs.since, 0);
}

#[test]
fn recordings_and_sessions_alone_say_why_they_cannot() {
    for (prepare, words) in [
        (&(|state: &mut State| state.replay = true) as &dyn Fn(&mut State), "has no model"),
        (&|state: &mut State| state.model.as_mut().unwrap().info.solo = true, "without --solo"),
    ] {
        let mut state = ready();
        prepare(&mut state);
        for c in ['f', 'b'] {
            assert_eq!(letter(&mut state, c), []);
            assert!(state.toast.take().is_some_and(|toast| toast.sentence.contains(words)));
        }
        assert_eq!(key(&mut state, KeyCode::Left), []);
    }
}

#[test]
fn every_size_and_shape_is_drawn() {
    for shape in [SMALL, LARGE] {
        let mut state = session(shape, ColorDepth::True);
        letter(&mut state, '3');
        let place = Asked { n: 120, layer: 0, head: 0 };
        send(&mut state, lost(place));
        for width in (60..230).step_by(7) {
            for height in (16..80).step_by(5) {
                state.size = (width, height);
                let frame = text(&draw(&state));
                assert!(
                    frame.contains("A dense") && frame.contains("KLD"),
                    "{width}x{height}\n{frame}"
                );
            }
        }
    }
}

#[test]
fn dense_against_masked() {
    for (name, dump) in frames("ab", SMALL, |state| {
        act(state, Command::Show(Screen::Ab));
        act(state, Command::FindPrev);
        let asked =
            state.screens.ab.asked.expect("the engine is asked about the token under the cursor");
        send(state, lost(asked));
    }) {
        insta::assert_snapshot!(name, dump);
    }
}

#[test]
fn a_side_that_runs_alone_shows_its_text() {
    let mut info = crate::tui::testing::info(SMALL);
    info.solo = true;
    let mut state = crate::tui::testing::session_of(info, ColorDepth::None);
    state.screen = Screen::Ab;
    for size in [(60, 16), (80, 24), (120, 40)] {
        state.size = size;
        let frame = text(&draw(&state));
        assert!(frame.contains("--solo") && frame.contains("B keeps"), "{frame}");
        assert!(frame.contains("the light was quiet, and"), "{frame}");
    }
}

/// What was copied once had the escapes of a program's text, in the message twice.
#[test]
fn a_token_is_copied_as_it_is() {
    let mut state = ready();
    let n = state.run.pairs.len();
    let Event::Pair(mut step) = pair(&info(SMALL), n + 1, 100) else { panic!("a pair") };
    for voice in [&mut step.a, &mut step.b].into_iter().flatten() {
        voice.top[0].text = " \"you\"\n".to_owned();
    }
    send(&mut state, Event::Pair(step));
    let effects = letter(&mut state, 'y');
    let copied = effects.iter().find_map(|effect| match effect {
        Effect::Copy(text) => Some(text),
        _ => None,
    });
    let copied = copied.expect("a token");
    assert!(copied.contains("A « \"you\"\n» B « \"you\"\n»"), "{copied}");
    let told = state.toast.take().expect("said").sentence;
    assert!(told.contains("A « \"you\"↵» B") && !told.contains('\\'), "{told}");
    letter(&mut state, 'i');
    assert!(state.explained.take().is_some_and(|text| text.contains("« \"you\"↵» at")));
}

/// Tokens that are no text once left blanks: the end of a text was not to be seen.
#[test]
fn special_tokens_stand_by_name_wherever_tokens_are_shown() {
    let mut state = ready();
    state.size = (120, 40);
    let (info, n) = (info(SMALL), state.run.generated() + 1);
    let (Event::Pair(mut step), Event::Token(mut said)) =
        (pair(&info, n, 100), token(&info, n, 100))
    else {
        panic!("a step")
    };
    for voice in [&mut step.a, &mut step.b].into_iter().flatten() {
        (voice.text, voice.special) = (String::new(), Some("<|end|>".to_owned()));
    }
    (said.text, said.special) = (String::new(), Some("<|end|>".to_owned()));
    send(&mut state, Event::Pair(step));
    send(&mut state, Event::Token(said));
    let shown = text(&draw(&state));
    assert!(shown.contains("fed: <|end|>"), "{shown}");
    assert!(shown.matches("<|end|>").count() >= 3, "in both texts too: {shown}");
    let whole = crate::tui::app::text_lines::whole(&state);
    assert!(!whole.contains("<|end|>"), "the text itself has none: {whole}");
    act(&mut state, Command::Show(Screen::Text));
    let shown = text(&draw(&state));
    assert!(shown.matches("<|end|>").count() >= 2, "in the text and the last tokens: {shown}");
}

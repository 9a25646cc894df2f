//! What each action changes, and a long walk of random ones.

mod editing;
mod lists;
mod named_keys;
mod said;
mod tasks;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ratatui::crossterm::event::{
    KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use crate::decode::comparison::Mode;
use crate::decode::lost::Asked;
use crate::decode::session::Finish;
use crate::decode::worker::EngineOrder as Order;
use crate::decode::worker::event::{
    Envelope, Event, Live, MaskInfo, Memory, Retuned, Subject, Turn, Wish,
};
use crate::mask::{CachePlan, ChannelMask, Shape, Window};
use crate::tui::app::action::{Action, Command, Effect, ReplayOrder, Taken};
use crate::tui::app::areas;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::place::Place;
use crate::tui::app::run::Phase;
use crate::tui::app::state::{Dirty, Overlay, State};
use crate::tui::app::table::{Metric, Scale};
use crate::tui::app::tabs::tab_at;
use crate::tui::app::update::update;
use crate::tui::color::{ColorDepth, Colormap};
use crate::tui::export::ExportFormat;
use crate::tui::screen::Screen;
use crate::tui::screen::map::layout::grid;
use crate::tui::screen::map::state::Level;
use crate::tui::testing::{
    LARGE, SMALL, act, blank, draw, head_detail, info, key, letters, lost, measured, pair, send,
    session, token,
};

fn ready() -> State {
    session(SMALL, ColorDepth::True)
}

#[test]
fn loading_a_model_starts_the_planned_run() {
    let mut state = blank(ColorDepth::True);
    let loaded = Envelope {
        generation: 0,
        at_ms: 0.0,
        dropped: 0,
        event: Event::Loaded(Box::new(info(SMALL))),
    };
    let effects = update(&mut state, Action::Engine(Box::new(loaded)));
    let [Effect::Engine(Order::Start(start))] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!((start.generation, start.max_new), (1, 256));
    assert_eq!(start.prompt, state.plan.prompt);
    assert_eq!((state.phase.clone(), state.metric), (Phase::Prefill(0.0), Metric::Mask));
}

#[test]
fn events_of_a_run_that_is_over_change_nothing() {
    let mut state = ready();
    let old = token(&info(SMALL), 500, 900);
    act(&mut state, Command::Rerun);
    let envelope = Envelope { generation: 1, at_ms: 0.0, dropped: 0, event: old };
    update(&mut state, Action::Engine(Box::new(envelope)));
    assert_eq!((state.run.generation, state.run.generated()), (2, 0));
}

#[test]
fn the_engine_s_states_are_shown() {
    let mut state = ready();
    for (event, phase) in [
        (Event::Paused, Phase::Paused),
        (Event::Resumed, Phase::Running),
        (Event::Finished(Finish::MaxNew), Phase::Finished(Finish::MaxNew)),
        (Event::Failed { sentence: "no room".into(), code: 1 }, Phase::Failed("no room".into())),
        (Event::Panicked("oh".into()), Phase::Failed("engine: oh".into())),
    ] {
        send(&mut state, event);
        assert_eq!(state.phase, phase);
    }
    assert!(state.toast.as_ref().is_some_and(|toast| toast.failed));
    assert_eq!(state.run.generated(), 120, "what was told stays");
}

#[test]
fn a_model_that_never_comes_ends_the_program_with_its_own_code() {
    let mut state = blank(ColorDepth::True);
    let failed = Event::Failed { sentence: "no such file".into(), code: 2 };
    let envelope = Envelope { generation: 0, at_ms: 0.0, dropped: 0, event: failed };
    let effects = update(&mut state, Action::Engine(Box::new(envelope)));
    assert_eq!(effects, [Effect::Fail(crate::Error::input("no such file"))]);
}

#[test]
fn dropped_statistics_are_counted_and_statistics_alone_do_not_hurry() {
    let mut state = ready();
    state.dirty = Dirty::Clean;
    let event =
        Event::Memory(Memory { resident: None, device: None, kv_allocated: 7, kv_stored: None });
    update(
        &mut state,
        Action::Engine(Box::new(Envelope { generation: 1, at_ms: 0.0, dropped: 3, event })),
    );
    assert_eq!((state.dropped, state.dirty), (3, Dirty::Soon));
    key(&mut state, KeyCode::Down);
    assert_eq!(state.dirty, Dirty::Now);
}

#[test]
fn siblings_are_a_key_away_on_every_level() {
    let mut state = ready();
    state.screen = Screen::Head;
    for (command, place) in [
        (Command::NextLayer, (1, 0)),
        (Command::NextHead, (1, 1)),
        (Command::PrevLayer, (0, 1)),
        (Command::PrevHead, (0, 0)),
    ] {
        act(&mut state, command);
        assert_eq!((state.at.layer, state.at.head), place);
    }
}

#[test]
fn live_importance_has_no_number_where_nothing_is_stored() {
    let mut state = ready();
    let model = state.model.as_ref().unwrap();
    let table = model.table(Metric::Live).expect("the session told it");
    for (value, kept) in table.values().iter().zip(model.mask.bits()) {
        assert_eq!(value.is_finite(), *kept);
    }
    act(&mut state, Command::Rerun);
    send(
        &mut state,
        Event::Live(Box::new(Live { activity: vec![0.0; SMALL.entries()], steps: 3, middle: 0 })),
    );
    assert!(
        state.model.as_ref().unwrap().table(Metric::Live).is_none(),
        "without a middle there is nothing to measure"
    );
}

#[test]
fn pause_step_and_rerun_reach_the_engine() {
    let mut state = ready();
    assert_eq!(key(&mut state, KeyCode::Char(' ')), [Effect::Engine(Order::Pause)]);
    send(&mut state, Event::Paused);
    assert_eq!(key(&mut state, KeyCode::Char('>')), [Effect::Engine(Order::Step(1))]);
    assert_eq!(key(&mut state, KeyCode::Char(' ')), [Effect::Engine(Order::Resume)]);
    assert_eq!(key(&mut state, KeyCode::Char('<')), [Effect::Engine(Order::Rewind(119))]);
    let effects = key(&mut state, KeyCode::Char('r'));
    assert!(matches!(&effects[..], [Effect::Engine(Order::Start(start))] if start.generation == 2));
    send(&mut state, Event::Finished(Finish::EndToken));
    assert_eq!(key(&mut state, KeyCode::Char(' ')), [], "nothing to pause: a message says so");
    assert!(state.toast.is_some());
}

#[test]
fn a_recording_is_steered_and_takes_no_orders() {
    let mut state = ready();
    state.replay = true;
    assert_eq!(key(&mut state, KeyCode::Char(' ')), [Effect::Replay(ReplayOrder::Pause)]);
    assert_eq!(key(&mut state, KeyCode::Char(' ')), [Effect::Replay(ReplayOrder::Resume)]);
    assert_eq!(key(&mut state, KeyCode::Char('>')), [Effect::Replay(ReplayOrder::Forward)]);
    assert_eq!(key(&mut state, KeyCode::Char('<')), [Effect::Replay(ReplayOrder::Back)]);
    assert_eq!(key(&mut state, KeyCode::Char('r')), [Effect::Replay(ReplayOrder::Restart)]);
    assert_eq!(act(&mut state, Command::Down), [], "there is no engine to watch a head");
}

#[test]
fn the_mouse_selects_drills_scrolls_and_changes_tabs() {
    let mut state = ready();
    let mouse = |kind, column, row| {
        Action::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    let press = MouseEventKind::Down(MouseButton::Left);
    let area = areas::areas(&state).main;
    let strip = grid(&state, area, SMALL).strip_of(2, 1).expect("shown");
    let effects = update(&mut state, mouse(press, strip.x + 3, strip.y));
    assert_eq!(effects, [Effect::Engine(Order::Watch { layer: 2, head: 1 })]);
    assert_eq!(state.at, Place { layer: 2, head: 1, channel: 3 });
    update(&mut state, mouse(press, strip.x + 3, strip.y));
    assert_eq!(state.screens.map.level, Level::Layer, "a second press on the same cell drills");
    update(&mut state, mouse(MouseEventKind::ScrollUp, 5, 5));
    assert_eq!(state.at.head, 0);
    let tab = (0..60).find(|&x| tab_at(&state, x) == Some(Screen::Perf)).expect("a tab");
    update(&mut state, mouse(press, tab, 1));
    assert_eq!(state.screen, Screen::Perf);
    assert_eq!(update(&mut state, mouse(MouseEventKind::Moved, 9, 9)), []);
}

#[test]
fn messages_go_with_time() {
    let mut state = ready();
    update(&mut state, Action::Tell { sentence: "hello".into(), failed: false });
    update(&mut state, Action::Tick(3_000.0));
    assert!(state.toast.is_some());
    update(&mut state, Action::Tick(4_000.0));
    assert!(state.toast.is_none());
}

#[test]
fn leaving_and_the_shell() {
    let mut state = ready();
    assert_eq!(key(&mut state, KeyCode::Char('q')), [Effect::Quit { summary: false }]);
    assert_eq!(key(&mut state, KeyCode::Char('Q')), [Effect::Quit { summary: true }]);
    assert_eq!(act(&mut state, Command::Suspend), [Effect::Suspend]);
    assert_eq!(act(&mut state, Command::Redraw), [Effect::Redraw]);
    act(&mut state, Command::Palette);
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(
        update(&mut state, Action::Key(ctrl_c)),
        [Effect::Quit { summary: false }],
        "from inside a list too"
    );
    assert!(
        matches!(&act(&mut ready(), Command::Copy)[..], [Effect::Copy(text)] if text.starts_with("test-model l0 h0 c0 mask:"))
    );
}

/// 20,000 random actions with frames in between: nothing panics, and the selected place stays
/// inside the model.
#[test]
fn a_random_walk_keeps_the_invariants() {
    let mut random = StdRng::seed_from_u64(5);
    for shape in [
        SMALL,
        LARGE,
        Shape { layers: 1, kv_heads: 1, head_dim: 16 },
        Shape { layers: 40, kv_heads: 32, head_dim: 80 },
    ] {
        let mut state = blank(ColorDepth::True);
        let model = info(shape);
        for step in 0..5_000 {
            let action = random_action(&mut random, &state, &model, step);
            for effect in update(&mut state, action) {
                if let Effect::Engine(Order::Watch { layer, head }) = effect {
                    assert!(layer < shape.layers && head < shape.kv_heads);
                }
            }
            if state.model.is_some() {
                assert!(
                    state.at.layer < shape.layers
                        && state.at.head < shape.kv_heads
                        && state.at.channel < shape.head_dim
                );
            }
            if step % 7 == 0 {
                draw(&state);
            }
        }
    }
}

fn random_action(
    random: &mut StdRng,
    state: &State,
    model: &crate::decode::worker::event::ModelInfo,
    step: usize,
) -> Action {
    let shape = model.shape;
    let (width, height) = state.size;
    let engine = |event| {
        let generation = state.run.generation;
        Action::Engine(Box::new(Envelope { generation, at_ms: step as f64, dropped: 0, event }))
    };
    match random.random_range(0..20) {
        0..9 => {
            let all: Vec<Command> = Command::all().collect();
            Action::Do(all[random.random_range(0..all.len())])
        }
        9..12 => {
            const CODES: [KeyCode; 8] = [
                KeyCode::Enter,
                KeyCode::Esc,
                KeyCode::Up,
                KeyCode::Down,
                KeyCode::Left,
                KeyCode::Right,
                KeyCode::Tab,
                KeyCode::Backspace,
            ];
            let code = match random.random_range(0..3) {
                0 => CODES[random.random_range(0..CODES.len())],
                _ => KeyCode::Char(char::from(random.random_range(32..127_u8))),
            };
            Action::Key(KeyEvent::new(code, KeyModifiers::NONE))
        }
        12 => Action::Resize(random.random_range(1..220), random.random_range(1..80)),
        13 | 14 => {
            let kinds = [
                MouseEventKind::Down(MouseButton::Left),
                MouseEventKind::ScrollUp,
                MouseEventKind::ScrollDown,
            ];
            let modifiers =
                if random.random() { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
            let (column, row) =
                (random.random_range(0..width.max(1)), random.random_range(0..height.max(1)));
            Action::Mouse(MouseEvent {
                kind: kinds[random.random_range(0..3)],
                column,
                row,
                modifiers,
            })
        }
        15 => Action::Tick(step as f64 * 40.0),
        16 => Action::Paste("some\npasted text \u{1f600}".to_owned()),
        17 if random.random() => {
            engine(pair(model, state.run.pairs.len() + 1, 300 + state.run.generated()))
        }
        17 => engine(token(model, state.run.generated() + 1, 300 + state.run.generated())),
        18 => engine(head_detail(
            shape,
            random.random_range(0..shape.layers),
            random.random_range(0..shape.kv_heads),
        )),
        _ => engine(random_event(random, state, model)),
    }
}

/// Something that the engine may say at any time.
fn random_event(
    random: &mut StdRng,
    state: &State,
    model: &crate::decode::worker::event::ModelInfo,
) -> Event {
    let shape = model.shape;
    match random.random_range(0..15) {
        14 => Event::Turn(Box::new(Turn {
            from: state.run.generated(),
            text: "and then?".to_owned(),
            tokens: 12,
            ms: 3.0,
            again: random.random::<bool>().then(|| "it is rewritten".to_owned()),
        })),
        8 => Event::Rewound(random.random_range(0..=state.run.pairs.len())),
        9 => Event::Fed(if random.random() { Mode::Free } else { Mode::Forced }),
        11 => lost(state.screens.ab.asked.unwrap_or(Asked { n: 2, layer: 0, head: 0 })),
        10 => {
            let [sink, recent, chunk] = [0, 0, 0].map(|_| random.random_range(1..99));
            let mask = ChannelMask::from_fn(shape, |_, _, _| random.random());
            let plan = CachePlan::of_mask(&mask);
            let mask = MaskInfo { plan, ..model.mask.clone().expect("masked") };
            let (revision, from) =
                (random.random_range(0..9), random.random::<bool>().then_some(9));
            Event::Retuned(Box::new(Retuned {
                revision,
                mask,
                window: Window { sink, recent, chunk },
                from,
                ms: 1.0,
            }))
        }
        12 => {
            let number = random.random_range(0..30);
            let subject =
                if random.random() { Subject::Now(number / 4) } else { Subject::Trial(number) };
            measured(subject, f64::from(random.random_range(0..3_u8)) * random.random::<f64>(), 0)
        }
        13 => Event::Refused { wish: Wish::Time, sentence: "not now".to_owned() },
        0 => Event::Loaded(Box::new(model.clone())),
        1 => Event::Prefill(0.5),
        2 => Event::Paused,
        3 => Event::Resumed,
        4 => Event::Finished(Finish::Context),
        5 => Event::Live(Box::new(Live {
            activity: vec![1.0; shape.entries()],
            steps: 9,
            middle: 64,
        })),
        6 => Event::Memory(Memory {
            resident: Some(1 << 30),
            device: None,
            kv_allocated: 1 << 20,
            kv_stored: None,
        }),
        _ => Event::Panicked("a test".to_owned()),
    }
}

#[test]
fn what_the_cursor_is_on_is_copied_on_every_screen_that_has_one() {
    for (screen, begins) in [
        (Screen::Tune, "keep "),
        (Screen::Learn, "haystack default texts"),
        (Screen::Plan, "context "),
        (Screen::Eval, "suite recall"),
    ] {
        let mut state = ready();
        state.screen = screen;
        let copied = act(&mut state, Command::Copy);
        let is_copied = matches!(&copied[..], [Effect::Copy(text), ..] if text.starts_with(begins));
        assert!(is_copied, "{screen:?}: {copied:?}");
    }
}

#[test]
fn what_the_cursor_is_on_is_explained_with_its_numbers_until_the_next_key() {
    let mut state = ready();
    let drawn = |state: &State| crate::tui::testing::text(&draw(state));
    for (screen, words) in [
        (Screen::Map, ["of layer 0, KV head 0", "it turns once in"]),
        (Screen::Head, ["of layer 0, KV head 0", "it turns once in"]),
        (Screen::Tune, ["keep is", "of the K channels and weighs"]),
        (Screen::Ab, ["the dense side A finds", "Token"]),
        (Screen::Perf, ["of the 12.5 GB/s that this machine reads", "A step reads"]),
        (Screen::Learn, ["haystack is default texts", "are hidden"]),
        (Screen::Text, ["temperature is 0 greedy", "from the next run"]),
        (Screen::Plan, ["K/V take", "and that fits"]),
        (Screen::Eval, ["suite is recall", "losses on texts"]),
    ] {
        state.screen = screen;
        // One key for one thing, whatever the screen does with others.
        key(&mut state, KeyCode::Char('i'));
        let text = state.explained.clone().unwrap_or_else(|| panic!("{screen:?}"));
        for word in words {
            assert!(text.contains(word), "{screen:?}: {text}");
        }
        for size in [(60, 16), (80, 24), (200, 60)] {
            state.size = size;
            // The end is on screen too: nothing is cut.
            let last = text.split(' ').next_back().unwrap();
            assert!(drawn(&state).contains(last), "{screen:?} {size:?}: {}", drawn(&state));
        }
        key(&mut state, KeyCode::Char('I'));
        assert_eq!(state.explained, None, "{screen:?}");
    }
    // It follows the text that it is about.
    state.screen = Screen::Ab;
    key(&mut state, KeyCode::Char('i'));
    let n = state.run.pairs.len();
    assert!(state.explained.as_ref().unwrap().starts_with(&format!("Token {n}:")));
    send(&mut state, pair(&info(SMALL), n + 1, 500));
    assert!(state.explained.as_ref().unwrap().starts_with(&format!("Token {}:", n + 1)));
    state.explained = None;
    state.screen = Screen::Map;
    key(&mut state, KeyCode::Char('i'));
    key(&mut state, KeyCode::Char('j'));
    assert_eq!((state.explained.clone(), state.at.layer), (None, 1), "another key does its own");
}

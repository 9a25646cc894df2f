//! Every key and the mouse of the tune screen, and what holds whatever is set.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::super::action::{Action, Command, Effect};
use super::super::color::Depth;
use super::super::geometry;
use super::super::state::tune::{Against, Base, Control, Draft, Freshness, Goal, Rule, STEPS, Set, propose};
use super::super::state::{Overlay, Screen, State, Tuning};
use super::super::testing::{LARGE, SMALL, answer, blank, draw, info, measured, send, session, text};
use super::super::widget::Scatter;
use super::update;
use crate::decode::worker::event::{Event, Retuned, Subject};
use crate::decode::worker::{Command as Order, Envelope, Retune, Trial};
use crate::mask::files::{self, Contents, Split};
use crate::mask::select::{Budget, Options, select};
use crate::mask::{ChannelMask, Importance, Window};

fn ready() -> State {
    let mut state = session(SMALL, Depth::True);
    state.screen = Screen::Tune;
    state
}

fn key(state: &mut State, code: KeyCode) -> Vec<Effect> {
    update(state, Action::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn press(state: &mut State, letter: char) -> Vec<Effect> {
    key(state, KeyCode::Char(letter))
}

fn ctrl(state: &mut State, letter: char) -> Vec<Effect> {
    update(state, Action::Key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL)))
}

fn say(state: &mut State, words: &str) -> Vec<Effect> {
    update(state, Action::Do(Command::Palette));
    for letter in words.chars() {
        press(state, letter);
    }
    key(state, KeyCode::Enter)
}

fn tuning(state: &State) -> &Tuning {
    state.tuning.as_ref().expect("a model is loaded")
}

fn retune(effects: &[Effect]) -> &Retune {
    match effects {
        [Effect::Engine(Order::Retune(retune))] => retune,
        other => panic!("expected one change of the mask, found {other:?}"),
    }
}

fn select_control(state: &mut State, control: Control) {
    state.tuning.as_mut().expect("a model is loaded").control = control;
}

fn trials(effects: &[Effect]) -> Vec<Trial> {
    match effects {
        [Effect::Engine(Order::Sweep(trials))] => trials.clone(),
        other => panic!("expected a sweep, found {other:?}"),
    }
}

/// What the test model's mask is selected from.
fn importance() -> Importance {
    Importance::new(SMALL, info(SMALL).mask.unwrap().importance.unwrap()).unwrap()
}

#[test]
fn a_session_begins_with_its_own_mask_verbatim_until_something_is_selected() {
    let mut state = ready();
    let loaded = info(SMALL).mask.unwrap().mask;
    assert_eq!(tuning(&state).proposal().mask, loaded);
    assert!(!tuning(&state).is_unsaved() && tuning(&state).is_applied(state.model.as_ref().unwrap()));
    let effects = press(&mut state, '}');
    let sent = retune(&effects);
    let expected = select(&importance(), &Options::new(0.45, 8)).unwrap();
    assert_eq!((sent.revision, &sent.mask.mask, sent.window), (1, &expected, Window::default()));
    assert_eq!((sent.mask.sparsity, sent.mask.align, sent.mask.rule.as_str()), (Some(0.45), 8, "learned"));
    assert!(tuning(&state).is_unsaved() && tuning(&state).is_waiting());
    answer(&mut state, &effects);
    assert_eq!(state.model.as_ref().unwrap().mask, expected);
    assert!(!tuning(&state).is_waiting());
}

#[test]
fn every_key_of_the_list_does_what_it_says() {
    let mut state = ready();
    let control = |state: &State| tuning(state).control;
    assert_eq!(control(&state), Control::Keep);
    for (code, expected) in [
        (KeyCode::Down, Control::Fit),
        (KeyCode::Char('j'), Control::Align),
        (KeyCode::Up, Control::Fit),
        (KeyCode::Char('k'), Control::Keep),
        (KeyCode::Char('g'), Control::Base),
        (KeyCode::Up, Control::Base),
        (KeyCode::Char('G'), Control::Hold),
        (KeyCode::Down, Control::Hold),
        (KeyCode::Home, Control::Base),
        (KeyCode::End, Control::Hold),
    ] {
        key(&mut state, code);
        assert_eq!(control(&state), expected, "{code:?}");
    }
    select_control(&mut state, Control::Keep);
    let goal = |state: &State| tuning(state).draft().goal;
    for (code, keep) in [
        (KeyCode::Char(']'), 510),
        (KeyCode::Right, 520),
        (KeyCode::Char('l'), 530),
        (KeyCode::Char('['), 520),
        (KeyCode::Left, 510),
        (KeyCode::Char('h'), 500),
        (KeyCode::Char('}'), 550),
        (KeyCode::Char('{'), 500),
        (KeyCode::Char('u'), 550),
    ] {
        key(&mut state, code);
        assert_eq!(goal(&state), Goal::Keep(keep), "{code:?}");
    }
    ctrl(&mut state, 'r');
    assert_eq!(goal(&state), Goal::Keep(500));
    assert_eq!(tuning(&state).against, Against::Bytes);
    press(&mut state, 'v');
    assert_eq!(tuning(&state).against, Against::Time);
}

#[test]
fn every_control_changes_its_own_setting_and_stays_in_range() {
    let changed: [(Control, &dyn Fn(&Draft) -> bool); 15] = [
        (Control::Base, &|draft| draft.base == Base::Selection),
        (Control::Keep, &|draft| draft.goal == Goal::Keep(510)),
        (Control::Fit, &|draft| matches!(draft.goal, Goal::Fit { tokens: 8192, .. })),
        (Control::Align, &|draft| draft.align == 16),
        (Control::Split, &|draft| draft.split == Budget::Exact),
        (Control::Pairs, &|draft| draft.pairs),
        (Control::Floor, &|draft| draft.floor == 8),
        (Control::LayerFloor, &|draft| draft.layer_floors.get(&0) == Some(&0)),
        (Control::Lock, &|draft| draft.locks.len() == 2),
        (Control::Rule, &|draft| draft.rule == Rule::Think),
        (Control::Blend, &|draft| draft.blend == Some(Rule::Think)),
        (Control::Weight, &|draft| draft.weight == 55),
        (Control::Sink, &|draft| draft.window.sink == 20),
        (Control::Recent, &|draft| draft.window.recent == 144),
        (Control::Chunk, &|draft| draft.window.chunk == 64),
    ];
    for (control, holds) in changed {
        let mut state = ready();
        select_control(&mut state, control);
        let before = tuning(&state).draft().clone();
        let effects = press(&mut state, ']');
        assert!(holds(tuning(&state).draft()), "{control:?}: {:?}", tuning(&state).draft());
        let is_selection = tuning(&state).draft().base == Base::Selection;
        let outside = [Control::Lock, Control::Sink, Control::Recent, Control::Chunk];
        assert_eq!(is_selection, !outside.contains(&control), "{control:?}");
        let differs = !tuning(&state).is_applied(state.model.as_ref().unwrap());
        assert_eq!(effects.len(), usize::from(differs), "{control:?}: only another mask is sent");
        press(&mut state, 'u');
        assert_eq!(tuning(&state).draft(), &before, "{control:?}");
        for letter in ['}', '{'] {
            for _ in 0..60 {
                press(&mut state, letter);
                let draft = tuning(&state).draft();
                draft.window.check().unwrap();
                assert!(draft.floor <= 64 && draft.window.recent >= 1 && draft.weight <= 100, "{control:?}");
            }
        }
    }
    let mut state = ready();
    select_control(&mut state, Control::Context);
    assert_eq!(press(&mut state, ']'), []);
    assert_eq!(state.target_context, 16_384);
}

#[test]
fn a_byte_budget_is_met_at_its_context() {
    let mut state = ready();
    let effects = say(&mut state, "fit 12MiB@8k");
    let window = Window::default();
    let bytes = crate::mask::bytes::pruned(&retune(&effects).mask.mask, window, 8192, 2).total();
    assert!(bytes <= 12 << 20 && bytes > 11 << 20, "{bytes}");
    assert_eq!(retune(&effects).mask.sparsity, None, "no sparsity was asked for");
    // A hundredth of the dense cache a step.
    select_control(&mut state, Control::Fit);
    press(&mut state, '[');
    let dense = crate::mask::bytes::dense(SMALL, 8192, 2).total() as f64;
    let is_hundredth = |bytes: u64| (bytes as f64 * 100.0 / dense).ceil() - bytes as f64 * 100.0 / dense < 1e-3;
    assert!(matches!(tuning(&state).draft().goal, Goal::Fit { bytes, tokens: 8192 } if bytes < 12 << 20 && is_hundredth(bytes)));
    say(&mut state, "fit 1KiB@8k");
    let toast = state.toast.clone().expect("a refusal");
    assert!(toast.failed && toast.sentence.contains("weighs at least"), "{toast:?}");
    assert!(matches!(tuning(&state).draft().goal, Goal::Fit { bytes, .. } if bytes > 1024), "what was set stays");
}

#[test]
fn words_of_the_palette_set_things() {
    for (words, holds) in [
        ("keep 30", &(|draft: &Draft| draft.goal == Goal::Keep(300)) as &dyn Fn(&Draft) -> bool),
        ("keep 31.2%", &|draft| draft.goal == Goal::Keep(312)),
        ("align 32", &|draft| draft.align == 32),
        ("split exact", &|draft| draft.split == Budget::Exact),
        ("floor 16", &|draft| draft.floor == 16),
        ("rule think", &|draft| (draft.rule, draft.blend) == (Rule::Think, None)),
        ("blend key-norm 25", &|draft| (draft.blend, draft.weight) == (Some(Rule::KeyNorm), 25)),
        ("sink 16", &|draft| draft.window.sink == 16),
        ("recent 64", &|draft| draft.window.recent == 64),
        ("chunk 8", &|draft| draft.window.chunk == 8),
    ] {
        let mut state = ready();
        say(&mut state, words);
        assert!(holds(tuning(&state).draft()) && state.overlay.is_none(), "{words}: {:?}", tuning(&state).draft());
    }
    for wrong in ["keep 101", "keep -1", "align 3", "floor 65", "recent 0", "chunk 0", "blend think 101", "rule nothing"] {
        let mut state = ready();
        say(&mut state, wrong);
        assert_eq!(tuning(&state).steps(), (0, 0), "{wrong}");
    }
}

#[test]
fn figures_are_measured_only_for_the_mask_at_work_and_stale_until_then() {
    let mut state = ready();
    let figures = |state: &State| match tuning(state).figures(state.run.generation) {
        Freshness::None => ("none", 0.0),
        Freshness::Measured(figures) => ("measured", figures.divergence.kld.mean),
        Freshness::Stale(figures) => ("stale", figures.divergence.kld.mean),
    };
    assert_eq!(figures(&state).0, "none");
    send(&mut state, measured(Subject::Now(0), 0.25, 0));
    assert_eq!(figures(&state), ("measured", 0.25));
    assert_eq!(tuning(&state).saved().measured.as_ref().map(|(_, figures)| figures.divergence.kld.mean), Some(0.25));
    let effects = press(&mut state, '}');
    assert_eq!(figures(&state), ("measured", 0.25), "the old mask is still at work");
    answer(&mut state, &effects);
    assert_eq!(figures(&state), ("stale", 0.25));
    send(&mut state, measured(Subject::Now(0), 0.5, 0));
    assert_eq!(figures(&state), ("stale", 0.25), "figures of an earlier mask that come late");
    send(&mut state, measured(Subject::Now(1), 0.125, 0));
    assert_eq!(figures(&state), ("measured", 0.125));
    assert_eq!(tuning(&state).saved().measured.as_ref().map(|(_, figures)| figures.divergence.kld.mean), Some(0.25));
    update(&mut state, Action::Do(Command::Rerun));
    assert_eq!(figures(&state), ("stale", 0.125), "another text");
    // The words stand on the screen, whatever its size.
    for size in [(80, 24), (120, 40)] {
        state.size = size;
        assert!(text(&draw(&state)).contains("stale"), "{size:?}");
    }
}

#[test]
fn answers_of_an_old_run_still_say_which_mask_is_at_work() {
    let mut state = ready();
    let effects = press(&mut state, '}');
    update(&mut state, Action::Do(Command::Rerun));
    let Retune { revision, mask, window } = retune(&effects).clone();
    let kept = mask.mask.clone();
    let event = Event::Retuned(Box::new(Retuned { revision, mask, window, from: Some(120), ms: 1.0 }));
    update(&mut state, Action::Engine(Box::new(Envelope { generation: 1, at_ms: 0.0, dropped: 0, event })));
    assert_eq!(state.model.as_ref().unwrap().mask, kept);
    assert!(!tuning(&state).is_waiting());
}

#[test]
fn a_retuned_model_keeps_its_tables_and_counts_anew() {
    let mut state = ready();
    let before = state.model.clone().unwrap();
    let effects = say(&mut state, "keep 20");
    answer(&mut state, &effects);
    let effects = say(&mut state, "sink 32");
    answer(&mut state, &effects);
    let after = state.model.as_ref().unwrap();
    let mask = select(&importance(), &Options::new(0.8, 8)).unwrap();
    assert_eq!((&after.mask, after.info.window.sink), (&mask, 32));
    assert_eq!(after.statistics.kept, mask.total_kept());
    assert_eq!(after.spec.mask(), &mask);
    assert_eq!((after.spec.window().sink, after.dense.window().sink), (32, 32));
    assert_eq!(
        after.exact.as_ref().map(ChannelMask::total_kept),
        Some(select(&importance(), &Options::new(0.8, 1)).unwrap().total_kept())
    );
    let metric = super::super::state::Metric::Think;
    assert_eq!(after.table(metric), before.table(metric));
}

#[test]
fn held_changes_wait_for_enter() {
    let mut state = ready();
    select_control(&mut state, Control::Hold);
    assert_eq!(press(&mut state, ']'), []);
    select_control(&mut state, Control::Keep);
    assert_eq!(press(&mut state, '}'), []);
    assert_eq!(press(&mut state, 't'), []);
    assert!(!tuning(&state).is_applied(state.model.as_ref().unwrap()));
    assert!(text(&draw(&state)).contains("Enter applies it"));
    let effects = key(&mut state, KeyCode::Enter);
    assert_eq!(retune(&effects).mask.mask, tuning(&state).proposal().mask);
    answer(&mut state, &effects);
    assert!(tuning(&state).is_applied(state.model.as_ref().unwrap()));
    // What waits is sent when nothing is held back any more.
    press(&mut state, '{');
    select_control(&mut state, Control::Hold);
    let effects = press(&mut state, '[');
    assert_eq!(retune(&effects).revision, 2);
    // Enter where nothing changed asks for a new measurement.
    answer(&mut state, &effects);
    assert_eq!(retune(&key(&mut state, KeyCode::Enter)).revision, 3);
}

#[test]
fn a_change_that_is_taken_back_before_it_is_applied_is_sent_too() {
    let mut state = ready();
    press(&mut state, '}');
    let effects = press(&mut state, 'u');
    assert_eq!(retune(&effects).revision, 2, "revision 1 may still come");
    assert_eq!(retune(&effects).mask.mask, info(SMALL).mask.unwrap().mask);
    assert_eq!(retune(&effects).mask.label, "learned-50");
}

#[test]
fn what_the_engine_refuses_is_said_and_stays_a_proposal() {
    let mut state = ready();
    state.model.as_mut().unwrap().info.solo = true;
    assert!(text(&draw(&state)).contains("can only prune further"));
    press(&mut state, '}');
    send(&mut state, Event::Refused("channels are gone".into()));
    assert!(!tuning(&state).is_waiting() && !tuning(&state).is_applied(state.model.as_ref().unwrap()));
    assert!(text(&draw(&state)).contains("channels are gone"));
    // A refused sweep is over.
    press(&mut state, 's');
    assert!(tuning(&state).sweep.is_running());
    send(&mut state, Event::Refused("no dense side".into()));
    assert!(!tuning(&state).sweep.is_running());
}

#[test]
fn flips_go_on_top_of_every_selection_and_are_the_only_difference() {
    let mut state = ready();
    (state.at.layer, state.at.head, state.at.channel) = (1, 0, 40);
    let before = tuning(&state).proposal().mask.clone();
    let was = before.head(1, 0)[40];
    press(&mut state, 't');
    let flipped = tuning(&state).proposal().mask.clone();
    assert_eq!(flipped.head(1, 0)[40], !was);
    assert_eq!(flipped.bits().iter().zip(before.bits()).filter(|(a, b)| a != b).count(), 1);
    // Whatever is selected below it, the channel stays as the hand set it, and nothing else differs.
    for keep in [100_u16, 400, 700, 1000] {
        say(&mut state, &format!("keep {}", keep / 10));
        let plain = select(&importance(), &Options::new(f64::from(1000 - keep) / 1000.0, 8)).unwrap();
        let mask = &tuning(&state).proposal().mask;
        let expected = ChannelMask::from_fn(SMALL, |layer, head, channel| match (layer, head, channel) {
            (1, 0, 40) => !was,
            _ => plain.head(layer, head)[channel],
        });
        assert_eq!(mask, &expected, "keep {keep}");
    }
    say(&mut state, "keep 50");
    if tuning(&state).proposal().selected.head(1, 0)[40] != was {
        press(&mut state, 't');
    }
    press(&mut state, 't');
    // A whole head: all, then none.
    press(&mut state, 'T');
    assert!(tuning(&state).proposal().mask.head(1, 0).iter().all(|&kept| kept));
    press(&mut state, 'T');
    assert_eq!(tuning(&state).proposal().mask.kept_count(1, 0), 0);
}

#[test]
fn a_channel_flipped_twice_leaves_no_trace() {
    let mut state = ready();
    let before = tuning(&state).draft().clone();
    press(&mut state, 't');
    assert_eq!(tuning(&state).draft().pinned(SMALL, 0, 0), 1);
    press(&mut state, 't');
    assert_eq!(tuning(&state).draft(), &before);
    assert_eq!(tuning(&state).steps(), (2, 0));
}

#[test]
fn locked_heads_keep_what_they_had_whatever_the_budget() {
    let mut state = ready();
    (state.at.layer, state.at.head) = (2, 1);
    press(&mut state, 'x');
    let locked = tuning(&state).proposal().mask.head(2, 1).to_vec();
    for words in ["keep 10", "keep 95", "rule random", "align 32", "split exact"] {
        say(&mut state, words);
        assert_eq!(tuning(&state).proposal().mask.head(2, 1), locked, "{words}");
    }
    press(&mut state, 'x');
    assert!(tuning(&state).draft().locks.is_empty());
    say(&mut state, "keep 95");
    assert_ne!(tuning(&state).proposal().mask.head(2, 1), locked);
    // A layer: all of its heads at once, and again lets them go; a head that was locked before stays what it was.
    press(&mut state, 'x');
    press(&mut state, 'X');
    assert_eq!(tuning(&state).draft().locks.keys().copied().collect::<Vec<_>>(), [4, 5]);
    press(&mut state, 'X');
    assert!(tuning(&state).draft().locks.is_empty());
}

#[test]
fn floors_hold_for_all_heads_and_for_single_layers() {
    let mut state = ready();
    say(&mut state, "keep 10");
    say(&mut state, "floor 16");
    assert!(tuning(&state).proposal().mask.kept_counts().iter().all(|&count| count >= 16));
    state.at.layer = 3;
    select_control(&mut state, Control::LayerFloor);
    for _ in 0..5 {
        press(&mut state, ']');
    }
    assert_eq!(tuning(&state).draft().layer_floors.get(&3), Some(&32));
    assert!((0..2).all(|head| tuning(&state).proposal().mask.kept_count(3, head) >= 32));
    // A budget below the floors is refused with a sentence, and nothing changes.
    say(&mut state, "split exact");
    let toast = state.toast.clone().expect("a refusal");
    assert!(toast.failed && toast.sentence.contains("floors and locks"), "{toast:?}");
    assert_eq!(tuning(&state).draft().split, Budget::Global);
}

/// One random edit, by key, word or place.
fn random_edit(random: &mut StdRng, state: &mut State) -> Vec<Effect> {
    state.at.layer = random.random_range(0..SMALL.layers);
    state.at.head = random.random_range(0..SMALL.kv_heads);
    state.at.channel = random.random_range(0..SMALL.head_dim);
    match random.random_range(0..8) {
        0 => press(state, 't'),
        1 => press(state, 'T'),
        2 => press(state, 'x'),
        3 => press(state, 'X'),
        4 => press(state, 'R'),
        _ => {
            let controls = Control::ALL.len() - 2;
            select_control(state, Control::ALL[random.random_range(0..controls)]);
            press(state, ['[', ']', '{', '}'][random.random_range(0..4)])
        }
    }
}

/// A thousand random edits, each answered at once: what is set is what a fresh computation gives and what is at work, the history has
/// a bound, and going back and forth returns exactly.
#[test]
fn random_edits_equal_a_fresh_computation_and_undo_returns_exactly() {
    let mut random = StdRng::seed_from_u64(11);
    let mut state = ready();
    let mut before = Vec::new();
    for step in 0..1000 {
        let drawn = tuning(&state).draft().clone();
        let effects = random_edit(&mut random, &mut state);
        answer(&mut state, &effects);
        if tuning(&state).draft() != &drawn {
            before.push(drawn);
        }
        let now = tuning(&state);
        let fresh = propose(now.draft(), now.sources()).expect("what is set is possible");
        assert_eq!(&fresh, now.proposal(), "step {step}");
        assert!(now.is_applied(state.model.as_ref().unwrap()), "step {step}");
        assert!(now.steps().0 <= STEPS);
    }
    assert!(before.len() > STEPS, "{} edits changed something", before.len());
    assert_eq!(tuning(&state).steps(), (STEPS, 0));
    let last = tuning(&state).draft().clone();
    for expected in before.iter().rev().take(STEPS) {
        press(&mut state, 'u');
        assert_eq!(tuning(&state).draft(), expected);
    }
    press(&mut state, 'u');
    assert!(state.toast.as_ref().is_some_and(|toast| toast.sentence == "nothing was changed yet"));
    for _ in 0..STEPS {
        ctrl(&mut state, 'r');
    }
    assert_eq!((tuning(&state).draft(), tuning(&state).steps()), (&last, (STEPS, 0)));
    press(&mut state, 'u');
    press(&mut state, 't');
    assert_eq!(tuning(&state).steps().1, 0, "a new change ends what was taken back");
}

#[test]
fn the_sweep_measures_points_that_can_be_taken() {
    let mut state = ready();
    let sent = trials(&press(&mut state, 's'));
    assert_eq!(sent.len(), 22, "twenty sizes, and what is set and saved over the same tokens");
    assert_eq!((&sent[20].mask, &sent[21].mask), (&tuning(&state).proposal().mask, &tuning(&state).saved().mask.mask));
    let expected = select(&importance(), &Options::new(0.3, 8)).unwrap();
    assert_eq!((sent[3].mask.clone(), sent[3].window), (expected.clone(), Window::default()));
    let expected_32 = select(&importance(), &Options::new(0.9, 32)).unwrap();
    assert_eq!(sent[19].mask, expected_32);
    assert_eq!(tuning(&state).sweep.progress(), (0, 22));
    for (index, trial) in sent.iter().enumerate().take(12) {
        send(&mut state, measured(Subject::Trial(trial.id), 0.001 * (index as f64 + 1.0), 19 - index));
    }
    assert_eq!(tuning(&state).sweep.progress(), (12, 22));
    // Again gives up: what was measured stays, later figures change nothing.
    assert_eq!(trials(&press(&mut state, 's')), []);
    assert_eq!(tuning(&state).sweep.progress(), (12, 12));
    send(&mut state, measured(Subject::Trial(sent[15].id), 9.0, 0));
    assert_eq!(tuning(&state).sweep.progress(), (12, 12));
    // The cursor goes from left to right; the leftmost point keeps the least.
    press(&mut state, 'n');
    assert_eq!(tuning(&state).cursor, Some(sent[9].id));
    assert!(text(&draw(&state)).contains("⏎ keep 10 % align 8 · KLD"));
    press(&mut state, 'N');
    press(&mut state, 'n');
    let effects = key(&mut state, KeyCode::Enter);
    assert_eq!(retune(&effects).mask.mask, sent[9].mask);
    assert_eq!((tuning(&state).draft().goal, tuning(&state).cursor), (Goal::Keep(100), None));
    // Esc leaves the cursor before it leaves the screen.
    press(&mut state, 'n');
    key(&mut state, KeyCode::Esc);
    assert_eq!((tuning(&state).cursor, state.screen), (None, Screen::Tune));
    key(&mut state, KeyCode::Esc);
    assert_eq!(state.screen, Screen::Map);
    // Numbers of trials never come again, so that figures of an old sweep are not taken for new ones.
    state.screen = Screen::Tune;
    let again = trials(&press(&mut state, 's'));
    assert!(again[0].id > sent[19].id);
}

#[test]
fn the_saved_mask_is_compared_only_over_the_same_tokens() {
    use crate::decode::session::Finish;
    let mut state = ready();
    send(&mut state, measured(Subject::Now(0), 0.25, 0));
    let effects = press(&mut state, '}');
    answer(&mut state, &effects);
    // The text went on: the figures of the saved mask are of other tokens.
    let Event::Measured(mut later) = measured(Subject::Now(1), 0.5, 0) else { unreachable!() };
    later.dense_kv += 1000;
    let event = |measured: &crate::decode::worker::event::Measured| Event::Measured(Box::new(measured.clone()));
    let deliver = |state: &mut State, event| {
        let generation = state.run.generation;
        update(state, Action::Engine(Box::new(Envelope { generation, at_ms: 0.0, dropped: 0, event })))
    };
    assert_eq!(deliver(&mut state, event(&later)), [], "while the text grows nothing is asked");
    state.size = (120, 40);
    assert!(text(&draw(&state)).contains("over other tokens"));
    send(&mut state, Event::Finished(Finish::MaxNew));
    let sent = trials(&deliver(&mut state, event(&later)));
    assert_eq!(sent.iter().map(|trial| &trial.mask).collect::<Vec<_>>(), [&tuning(&state).saved().mask.mask]);
    later.subject = Subject::Trial(sent[0].id);
    later.divergence.kld.mean = 0.75;
    deliver(&mut state, event(&later));
    assert_eq!(tuning(&state).figures_of_saved(1).map(|figures| figures.divergence.kld.mean), Some(0.75));
    let frame = text(&draw(&state));
    assert!(frame.contains("−0.250") && !frame.contains("over other tokens"), "{frame}");
    later.subject = Subject::Now(1);
    assert_eq!(deliver(&mut state, event(&later)), [], "once is enough");
}

#[test]
fn a_new_run_ends_the_sweep_and_its_points_are_of_an_earlier_one() {
    let mut state = ready();
    let sent = trials(&press(&mut state, 's'));
    send(&mut state, measured(Subject::Trial(sent[0].id), 0.5, 19));
    update(&mut state, Action::Do(Command::Rerun));
    assert_eq!(tuning(&state).sweep.progress(), (1, 1));
    assert!(tuning(&state).sweep.is_stale(state.run.generation));
    assert!(text(&draw(&state)).contains("of an earlier run"));
}

#[test]
fn a_saved_mask_is_the_same_when_it_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.safetensors");
    let mut state = ready();
    state.model.as_mut().unwrap().info.fingerprint = "f00d".repeat(16);
    for words in ["keep 40", "blend think 25", "floor 8", "sink 32"] {
        let effects = say(&mut state, words);
        answer(&mut state, &effects);
    }
    (state.at.layer, state.at.head) = (1, 1);
    for letter in ['x', 't'] {
        let effects = press(&mut state, letter);
        answer(&mut state, &effects);
    }
    let revision = last_revision(&state);
    send(&mut state, measured(Subject::Now(revision), 0.0625, 0));
    assert!(matches!(tuning(&state).figures(1), Freshness::Measured(_)));
    let effects = press(&mut state, 'w');
    assert_eq!(effects, []);
    let Some(Overlay::Palette(list)) = &state.overlay else { panic!("the palette asks for a name") };
    let offered = list.input.value().to_owned();
    assert!(offered.starts_with("save test-model-keep") && offered.ends_with(".safetensors"), "{offered}");
    key(&mut state, KeyCode::Esc);
    let effects = say(&mut state, &format!("save {}", path.display()));
    let [Effect::Save(saving)] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(tuning(&state).is_unsaved(), "not before it is on disk");
    files::save(&saving.path, &Contents::Mask(saving.file.clone()), false).unwrap();
    update(&mut state, Action::Saved(saving.clone()));
    assert!(!tuning(&state).is_unsaved());
    assert_eq!(tuning(&state).saved().mask.label, "mine");
    assert_eq!(tuning(&state).saved().measured.as_ref().map(|(_, figures)| figures.divergence.kld.mean), Some(0.0625));
    let read = files::read(&path, &Split::default()).unwrap().into_mask("mine").unwrap();
    assert_eq!(read, saving.file);
    assert_eq!(read.mask, tuning(&state).proposal().mask);
    assert_eq!(read.importance.as_ref(), tuning(&state).proposal().importance.as_ref());
    assert_eq!((read.target_sparsity, read.origin.align, read.origin.window.sink), (Some(0.6), 8, 32));
    assert_eq!((read.origin.model.as_str(), read.origin.fingerprint.as_str()), ("test-model", "f00d".repeat(16).as_str()));
    let recipe = &read.origin.recipe;
    assert_eq!(recipe["rule"], "75 % learned + 25 % think");
    assert_eq!((recipe["base"].as_str(), recipe["locks"][0].as_str()), (Some("learned-50"), Some("1:1")));
    assert_eq!(recipe["selection"]["floors"][0], "8");
    assert_eq!(recipe["flips"][0]["head"], "1:1");
    assert_eq!((recipe["measured"]["kld"]["mean"].as_f64(), recipe["measured"]["steps"].as_u64()), (Some(0.0625), Some(64)));
    // Back to it from anywhere.
    for words in ["keep 90", "rule random"] {
        say(&mut state, words);
    }
    assert!(tuning(&state).is_unsaved());
    press(&mut state, 'R');
    assert_eq!(tuning(&state).proposal().mask, read.mask);
    assert!(!tuning(&state).is_unsaved());
}

/// The revision that was sent last.
fn last_revision(state: &State) -> u64 {
    tuning(state).clone().order().revision - 1
}

#[test]
fn a_mask_that_was_not_measured_is_saved_without_figures_and_only_as_a_kscope_file() {
    let mut state = ready();
    press(&mut state, '}');
    let effects = say(&mut state, "save some where.safetensors");
    let [Effect::Save(saving)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(saving.path.to_str(), Some("some where.safetensors"));
    assert!(saving.file.origin.recipe["measured"].is_null());
    assert_eq!(say(&mut state, "save mine.npy"), []);
    assert!(state.toast.as_ref().is_some_and(|toast| toast.failed && toast.sentence.contains(".safetensors")));
}

#[test]
fn leaving_with_an_unsaved_mask_asks_once() {
    let mut state = ready();
    assert_eq!(press(&mut state, 'q'), [Effect::Quit { summary: false }]);
    press(&mut state, '}');
    assert_eq!(press(&mut state, 'q'), []);
    assert!(state.toast.as_ref().is_some_and(|toast| toast.sentence.contains("not saved")));
    assert_eq!(press(&mut state, 'q'), [Effect::Quit { summary: false }]);
    press(&mut state, 'j');
    assert_eq!(press(&mut state, 'Q'), [], "something else was done in between");
    assert_eq!(press(&mut state, 'Q'), [Effect::Quit { summary: true }]);
    press(&mut state, 'u');
    assert_eq!(press(&mut state, 'q'), [Effect::Quit { summary: false }], "nothing would be lost");
    for screen in Screen::ALL {
        let mut state = ready();
        press(&mut state, '}');
        state.screen = screen;
        state.size = (120, 40);
        assert!(text(&draw(&state)).lines().nth(1).unwrap().contains("* unsaved"), "{screen:?}");
    }
}

#[test]
fn the_map_and_the_head_are_edited_in_place() {
    for screen in [Screen::Map, Screen::Head] {
        let mut state = ready();
        state.screen = screen;
        let effects = press(&mut state, 't');
        assert_eq!(retune(&effects).revision, 1);
        assert_eq!(tuning(&state).draft().pinned(SMALL, 0, 0), 1);
        press(&mut state, 'x');
        press(&mut state, 'T');
        assert_eq!(tuning(&state).steps(), (3, 0));
        press(&mut state, 'u');
        press(&mut state, 'u');
        ctrl(&mut state, 'r');
        assert!(tuning(&state).draft().is_locked(SMALL, 0, 0), "{screen:?}");
        let frame = draw(&state);
        assert!(text(&frame).contains('■'), "{screen:?}: a lock");
        let underlined = |cell: &ratatui::buffer::Cell| cell.modifier.contains(ratatui::style::Modifier::UNDERLINED);
        assert!(frame.content.iter().any(underlined), "{screen:?}: an edited channel");
        press(&mut state, 'R');
        assert_eq!(tuning(&state).draft().pins.len() + tuning(&state).draft().locks.len(), 0);
    }
}

#[test]
fn the_difference_to_the_saved_mask_is_shown_on_the_map() {
    let mut state = ready();
    say(&mut state, "keep 20");
    press(&mut state, 'd');
    assert_eq!((state.screen, state.diff), (Screen::Map, true));
    let other = state.other.as_ref().expect("the saved mask");
    assert_eq!((other.label.as_str(), &other.mask), ("learned-50 (saved)", &info(SMALL).mask.unwrap().mask));
    // Without it the map goes back to the mask that was given to compare with.
    press(&mut state, 'd');
    press(&mut state, 'd');
    assert_eq!(state.other.as_ref().map(|other| other.label.as_str()), Some("slowest"));
}

#[test]
fn a_dense_session_starts_whole_and_gets_its_rules_with_the_prompt() {
    let mut state = blank(Depth::True);
    let dense = crate::decode::worker::event::ModelInfo { mask: None, other: None, ..info(SMALL) };
    send(&mut state, Event::Loaded(Box::new(dense)));
    state.screen = Screen::Tune;
    assert!(tuning(&state).proposal().mask.is_full() && !tuning(&state).is_unsaved());
    let has = |state: &State| Rule::ALL.map(|rule| tuning(state).sources().has(rule));
    assert_eq!(has(&state), [false, false, false, true, true]);
    assert_eq!(tuning(&state).draft().rule, Rule::Frequency);
    press(&mut state, '{');
    let effects = press(&mut state, '{');
    let slow = crate::mask::rules::slowest_first(SMALL);
    assert_eq!(retune(&effects).mask.mask, select(&slow, &Options::new(0.1, 8)).unwrap());
    assert_eq!(say(&mut state, "rule think"), [], "no figures yet");
    let rules = crate::decode::worker::event::Rules { key_norm: vec![1.0; SMALL.entries()], think: vec![2.0; SMALL.entries()] };
    send(&mut state, Event::Rules(Box::new(rules)));
    assert_eq!(has(&state), [false, true, true, true, true]);
    say(&mut state, "rule think");
    assert_eq!(tuning(&state).draft().rule, Rule::Think);
}

#[test]
fn the_rules_of_a_new_prompt_are_proposed_and_not_forced() {
    let mut state = ready();
    let effects = say(&mut state, "rule think");
    answer(&mut state, &effects);
    let rules = || {
        let rising = |i: usize| (i % SMALL.head_dim + 1) as f32;
        crate::decode::worker::event::Rules {
            key_norm: vec![1.0; SMALL.entries()],
            think: (0..SMALL.entries()).map(rising).collect(),
        }
    };
    send(&mut state, Event::Rules(Box::new(rules())));
    let now = tuning(&state);
    assert_eq!(&propose(now.draft(), now.sources()).unwrap(), now.proposal());
    assert!(!now.is_applied(state.model.as_ref().unwrap()) && !now.is_waiting());
    assert!(text(&draw(&state)).contains("Enter applies it"));
}

#[test]
fn a_recording_is_looked_at_and_not_retuned() {
    let mut state = ready();
    state.replay = true;
    assert_eq!(press(&mut state, ']'), []);
    assert_eq!(press(&mut state, 's'), []);
    assert!(!tuning(&state).is_waiting() && !tuning(&state).sweep.is_running());
    assert_eq!(press(&mut state, 'q'), [Effect::Quit { summary: false }], "nothing of a recording can be lost");
}

#[test]
fn the_mouse_selects_rows_layers_and_points_and_the_wheel_changes() {
    for size in [(120, 40), (200, 60), (80, 24)] {
        let mut state = ready();
        state.size = size;
        let sent = trials(&press(&mut state, 's'));
        for (index, trial) in sent.iter().enumerate().take(20) {
            send(&mut state, measured(Subject::Trial(trial.id), 1e-4 * 1.5_f64.powi(index as i32 % 10), 19 - index));
        }
        let mouse = |kind, (column, row)| Action::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
        let down = MouseEventKind::Down(MouseButton::Left);
        let areas = geometry::tune(&state, geometry::areas(&state).main);
        // Row 3 below the title is the alignment.
        update(&mut state, mouse(down, (areas.controls.x + 4, areas.controls.y + 4)));
        assert_eq!(tuning(&state).control, Control::Align, "{size:?}");
        let effects = update(&mut state, mouse(MouseEventKind::ScrollUp, (areas.controls.x, areas.controls.y)));
        assert_eq!((tuning(&state).draft().align, retune(&effects).mask.align), (16, 16));
        update(&mut state, mouse(MouseEventKind::ScrollDown, (areas.effect.x, areas.effect.y)));
        assert_eq!(tuning(&state).draft().align, 8);
        if let Some(layers) = areas.layers {
            // The demo's layers stand with their heads: layer 0, its two heads, layer 1.
            let effects = update(&mut state, mouse(down, (layers.x + 3, layers.y + 6)));
            assert_eq!(effects, [Effect::Engine(Order::Watch { layer: 1, head: 1 })]);
            assert_eq!((state.at.layer, state.at.head), (1, 1));
            update(&mut state, mouse(MouseEventKind::ScrollDown, (layers.x, layers.y)));
            assert_eq!(state.at.layer, 2);
        }
        let plot_area = areas.plot.expect("a plot");
        let plot = tuning(&state).plot(state.model.as_ref().unwrap(), state.target_context, state.run.generation);
        let scatter = Scatter::of(plot.x_range(), plot.y_range(), geometry::plot_points(plot_area)).expect("axes");
        let spot = plot.spots[plot.spots.len() / 2];
        let cell = scatter.cell(spot.place.x, spot.place.y).expect("on screen");
        update(&mut state, mouse(down, cell));
        let id = tuning(&state).cursor.expect("a point");
        let found = plot.spots.iter().find(|spot| spot.id == id).expect("of the plot");
        assert_eq!(scatter.cell(found.place.x, found.place.y), Some(cell), "{size:?}");
        update(&mut state, mouse(down, cell));
        let taken = tuning(&state).draft().clone();
        let keep = sent.iter().position(|trial| trial.id == id).expect("sent") % 10;
        assert_eq!(taken.goal, Goal::Keep(1000 - 100 * keep as u16), "a second press takes it");
    }
}

#[test]
fn what_is_set_by_word_counts_as_one_step() {
    let mut state = ready();
    say(&mut state, "keep 30");
    say(&mut state, "keep 30");
    assert_eq!(tuning(&state).steps(), (1, 0));
    let mut draft = tuning(&state).draft().clone();
    draft.set(Set::Blend(Rule::Loaded, 20));
    assert_eq!(draft.blend, None, "a rule is not mixed with itself");
}

/// Times every kind of change on the largest shape and prints them; the machine is shared, so it does not judge.
#[test]
fn how_long_a_change_takes() {
    let mut state = session(LARGE, Depth::True);
    state.screen = Screen::Tune;
    (state.size, state.at.layer) = ((120, 40), 3);
    say(&mut state, "blend think 25");
    for layer in 0..16 {
        state.at.layer = layer;
        press(&mut state, 'X');
    }
    let mut worst = 0.0_f64;
    let mut line = String::new();
    for (what, control) in [
        ("keep", Control::Keep),
        ("fit", Control::Fit),
        ("align", Control::Align),
        ("split", Control::Split),
        ("pairs", Control::Pairs),
        ("floor", Control::Floor),
        ("weight", Control::Weight),
        ("sink", Control::Sink),
    ] {
        select_control(&mut state, control);
        let mut times: Vec<f64> = Vec::new();
        for letter in ['[', ']', '[', ']', '[', ']', '['] {
            let began = std::time::Instant::now();
            press(&mut state, letter);
            draw(&state);
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        worst = worst.max(times[3]);
        line += &format!("{what} {:.1} ms, ", times[3]);
    }
    println!("a change and its frame, 32x8x128, medians of 7: {line}worst {worst:.1} ms");
}

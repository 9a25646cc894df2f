//! The bench of masks.

use std::sync::Arc;

use ratatui::crossterm::event::KeyCode;

use crate::decode::worker::event::{MaskInfo, Subject};
use crate::decode::worker::{EngineOrder as Order, Envelope, Event, Trial};
use crate::mask::{CachePlan, ChannelMask, Rule, Shape};
use crate::tui::app::action::{Action, Command, Effect};
use crate::tui::app::run::Phase;
use crate::tui::app::state::State;
use crate::tui::app::update::update;
use crate::tui::color::ColorDepth;
use crate::tui::export::{ExportFormat, make};
use crate::tui::screen::Screen;
use crate::tui::screen::bench::state::{Added, Aim, BenchColumn, MOST, MaskBench};
use crate::tui::testing::{
    SMALL, act, answer, draw, frames, key, letters, measured, send, session, text,
};

mod ranking;
mod recall;
mod stacks;

fn on_bench() -> State {
    let mut state = session(SMALL, ColorDepth::True);
    state.size = (120, 40);
    state.phase = Phase::Paused;
    letters(&mut state, "0");
    assert_eq!(state.screen, Screen::Bench);
    state
}

/// What an event makes the program ask for.
fn send_for(state: &mut State, event: Event) -> Vec<Effect> {
    let generation = state.run.generation;
    let envelope = Envelope { generation, at_ms: 0.0, dropped: 0, event };
    update(state, Action::Engine(Box::new(envelope)))
}

/// The trials that are asked for.
fn trials(effects: &[Effect]) -> Vec<Trial> {
    let of = |effect: &Effect| match effect {
        Effect::Engine(Order::Sweep(trials)) => Some(trials.clone()),
        _ => None,
    };
    effects.iter().find_map(of).expect("a sweep")
}

/// Pins every rule and measures; the later a row was pinned, the more it loses.
fn measure(state: &mut State) -> Vec<Trial> {
    letters(state, "a");
    let asked = trials(&act(state, Command::Sweep));
    for (at, trial) in asked.iter().enumerate() {
        let left = asked.len() - at - 1;
        send(state, measured(Subject::Trial(trial.id), 0.01 * (at + 1) as f64, left));
    }
    asked
}

fn kld(figures: &Event) -> f64 {
    let Event::Measured(measured) = figures else { panic!("{figures:?}") };
    measured.divergence.kld.mean
}

fn shown(state: &State) -> String {
    text(&draw(state))
}

#[test]
fn rules_at_equal_bytes_side_by_side() {
    let set_up = |state: &mut State| {
        state.phase = Phase::Paused;
        act(state, Command::Show(Screen::Bench));
        measure(state);
        act(state, Command::Down);
        act(state, Command::Baseline);
    };
    for (name, dump) in frames("bench", SMALL, set_up) {
        insta::assert_snapshot!(name, dump);
    }
}

#[test]
fn learned_against_think_at_equal_bytes_takes_three_keys() {
    let mut state = session(SMALL, ColorDepth::None);
    (state.size, state.phase) = ((120, 40), Phase::Paused);
    letters(&mut state, "0a");
    let asked = trials(&key(&mut state, KeyCode::Char('s')));
    let bench = &state.screens.bench;
    let of = |rule: &str| bench.pins().iter().find(|pin| pin.rule == rule).expect(rule);
    let tuning = state.screens.tune.as_ref().unwrap();
    let bytes = |rule: &str| {
        let pin = of(rule);
        assert!(asked.iter().any(|trial| trial.id == pin.id && trial.plan == pin.plan), "{rule}");
        tuning.tally(&pin.plan, pin.draft.window, None, state.target_context).bytes.total()
    };
    let own = tuning.proposed_tally(state.target_context).bytes.total();
    for rule in ["think", "key-norm", "frequency", "random"] {
        // Kept counts come in steps, so a mask may be a little smaller, never larger.
        let found = bytes(rule);
        assert!(found <= own && found as f64 > 0.9 * own as f64, "{rule}: {found} of {own}");
    }
}

/// Frequency gives every head the same scores: one cut through them took 92 % of the bytes.
#[test]
fn every_rule_comes_within_a_hundredth_of_the_bytes() {
    let mut state = session(Shape { layers: 30, kv_heads: 3, head_dim: 64 }, ColorDepth::None);
    (state.size, state.phase) = ((120, 40), Phase::Paused);
    letters(&mut state, "0a");
    let tuning = state.screens.tune.as_ref().unwrap();
    let own = tuning.proposed_tally(state.target_context).bytes.total() as f64;
    let pins = state.screens.bench.pins();
    assert!(pins.len() >= 5);
    for pin in pins {
        let tally = tuning.tally(&pin.plan, pin.draft.window, None, state.target_context);
        let share = tally.bytes.total() as f64 / own;
        assert!((0.99..=1.0).contains(&share), "{}: {share}", pin.name);
    }
}

#[test]
fn figures_over_other_tokens_are_not_shown_beside_one_another() {
    let mut state = on_bench();
    let asked = measure(&mut state);
    assert!(asked.len() > 3 && !state.screens.bench.is_running(state.run.generation));
    assert!(shown(&state).contains("over the same 64 steps, ctx"), "{}", shown(&state));
    assert!(!shown(&state).contains("not measured"), "{}", shown(&state));

    // One row is measured again after more tokens: the others were not, over those.
    let again = trials(&act(&mut state, Command::Sweep));
    let Event::Measured(mut later) = measured(Subject::Trial(again[0].id), 0.5, 9) else {
        panic!("figures")
    };
    (later.divergence.steps, later.dense_kv) = (80, 2_000_000);
    send(&mut state, Event::Measured(later));
    act(&mut state, Command::Sweep);
    let missing = shown(&state).matches("not measured").count();
    assert_eq!(missing, again.len() - 1, "{}", shown(&state));
    let bench = &state.screens.bench;
    let figures: Vec<_> = bench.pins().iter().filter_map(|pin| bench.figures(pin)).collect();
    assert_eq!(figures.len(), 1);
}

/// `r` once wiped all that was measured.
#[test]
fn figures_stay_with_the_run_that_they_are_of_and_say_so() {
    let mut state = on_bench();
    let asked = measure(&mut state);
    assert!(!shown(&state).contains("run before"));
    act(&mut state, Command::Rerun);
    let bench = &state.screens.bench;
    assert!(bench.is_of_earlier(state.run.generation));
    assert!(bench.pins().iter().all(|pin| bench.figures(pin).is_some()));
    let frame = shown(&state);
    assert!(frame.contains("run before, 64 steps") && frame.contains("s measures this"), "{frame}");
    // Measured in this run, no figure of the other stands beside it.
    state.phase = Phase::Paused;
    act(&mut state, Command::Sweep);
    send(&mut state, measured(Subject::Trial(asked[0].id), 0.5, 3));
    let bench = &state.screens.bench;
    assert_eq!(bench.pins().iter().filter(|pin| bench.figures(pin).is_some()).count(), 1);
    assert!(!bench.is_of_earlier(state.run.generation));
}

/// A bench with all points of a sweep.
fn with_a_sweep() -> State {
    let mut state = on_bench();
    letters(&mut state, "4");
    let asked = trials(&act(&mut state, Command::Sweep));
    for (at, trial) in asked.iter().enumerate() {
        send(&mut state, measured(Subject::Trial(trial.id), 0.01, asked.len() - at - 1));
    }
    letters(&mut state, "0P");
    state
}

#[test]
fn a_run_that_goes_on_is_paused_before_rows_are_measured() {
    let mut state = on_bench();
    letters(&mut state, "p");
    state.phase = Phase::Running;
    let effects = act(&mut state, Command::Sweep);
    assert_eq!(effects[0], Effect::Engine(Order::Pause));
    assert_eq!(trials(&effects).len(), 1);
    // The same key gives the measurement up.
    assert_eq!(act(&mut state, Command::Sweep), [Effect::Engine(Order::Sweep(Vec::new()))]);
    assert!(!state.screens.bench.is_running(state.run.generation));
    state.phase = Phase::Prefill(0.5);
    assert_eq!(act(&mut state, Command::Sweep), []);
}

/// A session alone once offered the keys of a measurement that it can never make.
#[test]
fn a_session_alone_offers_no_measurement() {
    let mut state = on_bench();
    state.model.as_mut().unwrap().info.solo = true;
    state.size = (120, 40);
    assert!(shown(&state).contains("steps: not with --solo"), "{}", shown(&state));
    letters(&mut state, "p");
    state.toast = None;
    let frame = shown(&state);
    assert!(frame.contains("not measured: not with --solo"), "{frame}");
    assert!(!frame.contains("s measures"), "{frame}");
    assert_eq!(act(&mut state, Command::Sweep), []);
    assert!(state.toast.take().is_some_and(|told| told.sentence.contains("--solo")));
    letters(&mut state, "4");
    let frame = shown(&state);
    assert!(frame.contains("not with --solo") && !frame.contains("s sweeps"), "{frame}");
    assert_eq!(act(&mut state, Command::Sweep), []);
}

#[test]
fn trials_of_tune_and_of_the_bench_take_nothing_from_one_another() {
    let mut state = on_bench();
    letters(&mut state, "a");
    trials(&act(&mut state, Command::Sweep));
    let generation = state.run.generation;
    // The mask in use is measured when the run pauses; what is saved waits for the bench.
    assert_eq!(send_for(&mut state, measured(Subject::Now(0), 0.3, 0)), []);
    assert!(state.screens.bench.is_running(generation));
    // A sweep of Tune takes the place of the bench's rows.
    state.screen = Screen::Tune;
    trials(&act(&mut state, Command::Sweep));
    assert!(!state.screens.bench.is_running(generation));
    // And a measurement of the bench that of the sweep.
    state.screen = Screen::Bench;
    trials(&act(&mut state, Command::Sweep));
    assert!(!state.screens.tune.as_ref().unwrap().sweep.is_running());
    // What was asked for in an earlier run is not waited for.
    state.run.generation += 1;
    assert!(!state.screens.bench.is_running(generation + 1));
}

#[test]
fn rows_sort_filter_and_compare_with_a_baseline() {
    let mut state = on_bench();
    let asked = measure(&mut state);
    let ids = |state: &State| super::view::shown_ids(state);
    let pinned = ids(&state);
    assert_eq!(pinned, asked.iter().map(|trial| trial.id).collect::<Vec<_>>());
    while state.screens.bench.sort != BenchColumn::Mean {
        letters(&mut state, "o");
    }
    assert_eq!(ids(&state), pinned, "they lose more from row to row");
    letters(&mut state, "O");
    assert_eq!(ids(&state), pinned.iter().rev().copied().collect::<Vec<_>>());

    letters(&mut state, "fthink");
    assert_eq!(ids(&state).len(), 1, "{}", shown(&state));
    key(&mut state, KeyCode::Enter);
    assert_eq!(state.screens.bench.filter, "think");
    key(&mut state, KeyCode::Esc);
    assert_eq!((ids(&state).len(), state.screen), (pinned.len(), Screen::Bench));

    letters(&mut state, "Gb");
    let base = state.screens.bench.baseline.expect("a baseline");
    let of_base = kld(&measured(Subject::Trial(base), 0.01, 0));
    let bench = &state.screens.bench;
    for pin in bench.pins() {
        let figures = bench.figures(pin).unwrap();
        let over = super::rows::over_baseline(&state, pin).unwrap();
        let of_baseline = bench.figures(bench.pin(base).unwrap()).unwrap();
        let expected = figures.divergence.kld.mean - of_baseline.divergence.kld.mean;
        assert!((over - expected).abs() < 1e-12 && of_base > 0.0);
    }
    assert!(shown(&state).contains("baseline"), "{}", shown(&state));
    letters(&mut state, "b");
    assert_eq!(state.screens.bench.baseline, None);
}

#[test]
fn a_row_that_is_used_is_in_tune_and_on_the_map() {
    let mut state = on_bench();
    letters(&mut state, "A");
    let rows = state.screens.bench.pins().len();
    assert!(rows > 2, "{rows} named plans");
    letters(&mut state, "G");
    let pin = state.screens.bench.pins().last().unwrap().clone();
    let effects = key(&mut state, KeyCode::Enter);
    assert!(matches!(&effects[..], [Effect::Engine(Order::Retune(_))]), "{effects:?}");
    answer(&mut state, &effects);
    assert_eq!(*state.model.as_ref().unwrap().plan(), pin.plan);
    assert_eq!(state.screens.tune.as_ref().unwrap().proposal().plan, pin.plan);
    assert!(shown(&state).contains(&format!("● {}", pin.name)), "{}", shown(&state));
}

#[test]
fn rows_come_off_and_the_bench_has_an_end() {
    let mut state = on_bench();
    letters(&mut state, "pA");
    let all = state.screens.bench.pins().len();
    letters(&mut state, "p");
    assert_eq!(state.screens.bench.pins().len(), all, "pinned already");
    let second = state.screens.bench.pins()[1].id;
    letters(&mut state, "gx");
    assert_eq!(state.screens.bench.pins().len(), all - 1);
    assert_eq!(state.screens.bench.selected, Some(second));
    letters(&mut state, "R");
    assert_eq!(state.screens.bench.pins().len(), 0);
    assert!(shown(&state).contains("pins what is set in Tune"));

    let tuning = state.screens.tune.clone().unwrap();
    let mut bench = MaskBench::default();
    for sink in 0..MOST + 3 {
        let mut draft = tuning.draft().clone();
        draft.window.sink = sink;
        let plan = tuning.proposal().plan.clone();
        let added = bench.add("x".into(), "y".into(), draft, plan);
        assert_eq!(added, if sink < MOST { Added::New } else { Added::Full });
    }
}

#[test]
fn the_rows_are_a_table_in_every_form() {
    let mut state = on_bench();
    measure(&mut state);
    let copied = act(&mut state, Command::Copy);
    assert!(
        matches!(&copied[..], [Effect::Copy(text)]
            if text.starts_with("learned-50: 14.2 MiB at 8,192 tokens, mean KLD 0.0100 ± ")),
        "{copied:?}"
    );
    letters(&mut state, "b");
    let made = |format| String::from_utf8(make(&state, format).unwrap()).unwrap();
    let rows = state.screens.bench.pins().len();
    let csv = made(ExportFormat::Csv);
    assert_eq!(csv.lines().count(), rows + 1);
    assert!(csv.lines().nth(1).unwrap().contains(",0.01,"), "{csv}");
    let md = made(ExportFormat::Md);
    assert_eq!(md.lines().filter(|line| line.starts_with('|')).count(), rows + 2);
    assert!(md.lines().nth(1).unwrap().starts_with("| --- | --- |"), "{md}");
    assert!(csv.contains(",0.0,0.984375,,0.81,0.79,0.84,64,0,true"), "{csv}");
    let tex = made(ExportFormat::Tex);
    // The columns of the screen, without the empty ones.
    let head = md.lines().next().expect("titles");
    assert_eq!(
        head,
        "| mask | rule | KV | K | V | KLD | ± | median | max | same top | time | low | high | Δ KLD |"
    );
    // With the digits of the screen.
    let figures = " MiB | 0.0100 | 0.0012 | 0.0090 | 0.0400 | 98.4 % | 0.81 | 0.79 | 0.84 | 0 |";
    assert!(md.contains(figures), "{md}");
    assert!(md.contains(" | 0.82 | 0.80 | 0.85 | +0.0100 |"), "{md}");
    assert!(md.contains("over 64 steps, ctx 1,601–1,664; bytes at 8,192 tokens"), "{md}");
    assert!(tex.starts_with("% KLD in nats") && tex.contains("{llrrrrrrrrrrrr}"), "{tex}");
    assert!(tex.contains(" & 0.0100 & ") && tex.contains("98.4 \\% & "), "{tex}");
    let json: serde_json::Value = serde_json::from_str(&made(ExportFormat::Json)).unwrap();
    assert_eq!(
        (&json["schema"], &json["schema_version"]),
        (&"kscope.screen.bench".into(), &1.into())
    );
    assert_eq!(tex.matches(" \\\\\n").count(), rows + 1, "{tex}");
}

/// The demo's mask: one head in ten keeps channels. A cut through all scores gives a rule eight of
/// them, and the next step a second head with its V: that was 738 KiB beside 812.
fn one_head() -> State {
    let mut state = on_bench();
    let mask = ChannelMask::from_fn(SMALL, |layer, head, channel| {
        layer == 1 && head == 0 && channel % 32 >= 20
    });
    let plan = CachePlan::of_mask(&mask);
    let mask = MaskInfo { align: 8, ..MaskInfo::named("one-head", plan) };
    let window = state.model.as_ref().unwrap().info.window;
    state.screens.tune.as_mut().unwrap().adopt(Arc::new(mask), window);
    state.target_context = 2_560;
    state
}

#[test]
fn rules_take_the_bytes_of_a_mask_that_keeps_a_single_head() {
    let mut state = one_head();
    letters(&mut state, "a");
    let tuning = state.screens.tune.as_ref().unwrap();
    let own = tuning.proposed_tally(state.target_context).bytes.total();
    let pins = state.screens.bench.pins();
    assert!(pins.len() >= 3, "{pins:?}");
    for pin in pins {
        let found = tuning.tally(&pin.plan, pin.draft.window, None, 2_560).bytes.total();
        let share = found as f64 / own as f64;
        assert!((0.99..=1.0).contains(&share), "{}: {found} of {own}", pin.name);
    }
    assert!(!shown(&state).contains('≠'), "{}", shown(&state));
}

#[test]
fn every_rule_has_a_row_or_a_reason() {
    for size in [(80, 24), (120, 40), (200, 60)] {
        let mut state = one_head();
        state.size = size;
        letters(&mut state, "a");
        let frame = shown(&state);
        let flat = frame.split_whitespace().collect::<Vec<_>>().join(" ");
        let bench = &state.screens.bench;
        assert!(!bench.left_out.is_empty());
        for rule in Rule::ALL {
            let has_row = bench.pins().iter().any(|pin| pin.rule == rule.name);
            let left_out = bench.left_out.iter().find(|left| left.rule == rule.name);
            assert!(has_row != left_out.is_some(), "{}", rule.name);
            if let Some(left) = left_out {
                assert!(flat.contains(rule.name) && flat.contains(&left.why), "{size:?}: {frame}");
            }
        }
        // Asked for again, the rows that are there are no reason.
        let before = bench.left_out.clone();
        letters(&mut state, "a");
        assert_eq!(state.screens.bench.left_out, before);
        letters(&mut state, "R");
        assert!(!shown(&state).contains("without a row"));
    }
}

#[test]
fn a_row_that_misses_its_bytes_is_marked_and_named() {
    let mut state = on_bench();
    let tuning = state.screens.tune.clone().unwrap();
    let (draft, plan) = (tuning.draft().clone(), tuning.proposal().plan.clone());
    let bytes = tuning.tally(&plan, draft.window, None, 2_560).bytes.total();
    let aim = |bytes| Aim { bytes, tokens: 2_560 };
    let mut far = draft.clone();
    far.window.sink += 1;
    state.screens.bench.add_at(aim(bytes + bytes / 200), "near", draft, plan.clone());
    assert!(!shown(&state).contains('≠'), "{}", shown(&state));
    state.screens.bench.add_at(aim(bytes + bytes / 8), "far", far, plan);
    let frame = shown(&state);
    let row = frame.lines().find(|line| line.contains(" far ")).expect("a row");
    assert!(row.contains('≠'), "{row}");
    assert!(frame.contains("not at equal bytes") && frame.contains("far 11."), "{frame}");
    assert_eq!(frame.matches('≠').count(), 2, "{frame}");
}

#[test]
fn rows_below_the_axis_are_in_the_plot_and_counted() {
    let mut state = on_bench();
    letters(&mut state, "a");
    let asked = trials(&act(&mut state, Command::Sweep));
    let losses = [0.02, 0.0, 1e-9];
    for (at, trial) in asked.iter().enumerate() {
        let kld = losses.get(at).copied().unwrap_or(0.01);
        send(&mut state, measured(Subject::Trial(trial.id), kld, asked.len() - at - 1));
    }
    let frame = shown(&state);
    assert!(frame.contains("↓ 2 at 0 or below 0.01"), "{frame}");
    let axis = frame.lines().find(|line| line.contains('└')).expect("an axis");
    assert!(axis.contains('↓'), "{axis}");
}

#[test]
fn no_two_curves_look_alike() {
    let looks: Vec<_> = (0..super::plot::GLYPHS.len()).map(|at| super::plot::look(at).0).collect();
    for (at, glyph) in looks.iter().enumerate() {
        assert!(!looks[..at].contains(glyph), "{glyph} twice");
    }
    // Every rule and the named plans have one.
    assert!(looks.len() > Rule::ALL.len());
}

#[test]
fn figures_say_what_they_are() {
    let mut state = on_bench();
    state.size = (200, 60);
    measure(&mut state);
    let frame = shown(&state);
    let titles = frame.lines().find(|line| line.contains("same top")).expect("titles");
    assert!(titles.contains(" max ") && !titles.contains("99.9 %"), "of 64 steps: {titles}");
    assert!(titles.contains("× dense"), "{titles}");
    assert!(frame.contains("over the same 64 steps, ctx 1,601–1,664"), "{frame}");
}

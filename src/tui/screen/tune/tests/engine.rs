//! Orders to the engine, and the effect of its answers.

use super::*;
use crate::decode::worker::event::Wish;
use crate::element::Dtype;
use crate::mask::{Needs, Width};

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
    assert_eq!(
        tuning(&state).saved().measured.as_ref().map(|(_, figures)| figures.divergence.kld.mean),
        Some(0.25)
    );
    let effects = press(&mut state, '}');
    assert_eq!(figures(&state), ("measured", 0.25), "the old mask is still at work");
    answer(&mut state, &effects);
    assert_eq!(figures(&state), ("stale", 0.25));
    send(&mut state, measured(Subject::Now(0), 0.5, 0));
    assert_eq!(figures(&state), ("stale", 0.25), "figures of an earlier mask that come late");
    send(&mut state, measured(Subject::Now(1), 0.125, 0));
    assert_eq!(figures(&state), ("measured", 0.125));
    assert_eq!(
        tuning(&state).saved().measured.as_ref().map(|(_, figures)| figures.divergence.kld.mean),
        Some(0.25)
    );
    update(&mut state, Action::Do(Command::Rerun));
    assert_eq!(figures(&state), ("stale", 0.125), "another text");
    // The words are shown at every screen size.
    for size in [(80, 24), (120, 40)] {
        state.size = size;
        let frame = text(&draw(&state));
        assert!(frame.contains("stale"), "{size:?}");
        let of = |word: &str| {
            frame.lines().find(|line| line.contains(word)).map(|line| line.matches("0.125").count())
        };
        assert_eq!(
            of("KLD mean"),
            Some(0),
            "{size:?}: nothing is known of the mask in use: {frame}"
        );
    }
}

#[test]
fn answers_of_an_old_run_still_say_which_mask_is_at_work() {
    let mut state = ready();
    let effects = press(&mut state, '}');
    update(&mut state, Action::Do(Command::Rerun));
    let Retune { revision, mask, window } = retune(&effects).clone();
    let kept = mask.mask().clone();
    let event =
        Event::Retuned(Box::new(Retuned { revision, mask, window, from: Some(120), ms: 1.0 }));
    update(
        &mut state,
        Action::Engine(Box::new(Envelope { generation: 1, at_ms: 0.0, dropped: 0, event })),
    );
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
    let metric = Metric::Think;
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
    assert!(text(&draw(&state)).contains("⏎ applies it"));
    let effects = key(&mut state, KeyCode::Enter);
    assert_eq!(retune(&effects).mask.mask(), tuning(&state).proposal().mask());
    answer(&mut state, &effects);
    assert!(tuning(&state).is_applied(state.model.as_ref().unwrap()));
    // Waiting changes are sent when hold is switched off.
    press(&mut state, '{');
    select_control(&mut state, Control::Hold);
    let effects = press(&mut state, '[');
    assert_eq!(retune(&effects).revision, 2);
    // Enter without changes asks for a new measurement.
    answer(&mut state, &effects);
    assert_eq!(retune(&key(&mut state, KeyCode::Enter)).revision, 3);
}

#[test]
fn a_change_that_is_taken_back_before_it_is_applied_is_sent_too() {
    let mut state = ready();
    press(&mut state, '}');
    let effects = press(&mut state, 'u');
    assert_eq!(retune(&effects).revision, 2, "revision 1 may still come");
    assert_eq!(retune(&effects).mask.plan, info(SMALL).mask.unwrap().plan);
    assert_eq!(retune(&effects).mask.label, "learned-50");
}

#[test]
fn what_the_engine_refuses_is_said_and_stays_a_proposal() {
    let mut state = ready();
    state.model.as_mut().unwrap().info.solo = true;
    assert!(text(&draw(&state)).contains("can only shrink"));
    press(&mut state, '}');
    send(
        &mut state,
        Event::Refused { wish: Wish::Retune(1), sentence: "channels are gone".into() },
    );
    assert!(
        !tuning(&state).is_waiting() && !tuning(&state).is_applied(state.model.as_ref().unwrap())
    );
    assert!(text(&draw(&state)).contains("channels are gone"));
    // A refused sweep has ended.
    state.model.as_mut().unwrap().info.solo = false;
    press(&mut state, 's');
    assert!(tuning(&state).sweep.is_running());
    send(&mut state, Event::Refused { wish: Wish::Explain, sentence: "no such step".into() });
    assert!(tuning(&state).sweep.is_running(), "that was about something else");
    send(&mut state, Event::Refused { wish: Wish::Sweep, sentence: "no dense side".into() });
    assert!(!tuning(&state).sweep.is_running());
}

#[test]
fn a_dense_session_starts_whole_and_gets_its_rules_with_the_prompt() {
    let mut state = blank(ColorDepth::True);
    let dense = crate::decode::worker::event::ModelInfo { mask: None, other: None, ..info(SMALL) };
    send(&mut state, Event::Loaded(Box::new(dense)));
    state.screen = Screen::Tune;
    assert!(tuning(&state).proposal().mask().is_full() && !tuning(&state).is_unsaved());
    let has = |state: &State| Rule::ALL.map(|rule| tuning(state).sources().has(rule));
    assert_eq!(has(&state), Rule::ALL.map(|rule| rule.needs == Needs::Nothing));
    assert_eq!(tuning(&state).draft().rule, Rule::FREQUENCY);
    press(&mut state, '{');
    let effects = press(&mut state, '{');
    let slow = crate::mask::rules::slowest_first(SMALL);
    assert_eq!(*retune(&effects).mask.mask(), select(&slow, &Options::new(0.1, 8)).unwrap());
    assert_eq!(say(&mut state, "rule think"), [], "no figures yet");
    // What is not understood stays typed.
    crate::tui::testing::act(&mut state, Command::Back);
    let rules = crate::decode::worker::event::Rules::new([
        (Rule::KEY_NORM, vec![1.0; SMALL.entries()]),
        (Rule::THINK, vec![2.0; SMALL.entries()]),
    ]);
    send(&mut state, Event::Rules(Box::new(rules)));
    let given = [Rule::KEY_NORM, Rule::THINK];
    assert_eq!(
        has(&state),
        Rule::ALL.map(|rule| rule.needs == Needs::Nothing || given.contains(&rule))
    );
    say(&mut state, "rule think");
    assert_eq!(tuning(&state).draft().rule, Rule::THINK);
}

#[test]
fn the_rules_of_a_new_prompt_are_proposed_and_not_forced() {
    let mut state = ready();
    let effects = say(&mut state, "rule think");
    answer(&mut state, &effects);
    let rules = || {
        let rising = |i: usize| (i % SMALL.head_dim + 1) as f32;
        crate::decode::worker::event::Rules::new([
            (Rule::KEY_NORM, vec![1.0; SMALL.entries()]),
            (Rule::THINK, (0..SMALL.entries()).map(rising).collect()),
        ])
    };
    send(&mut state, Event::Rules(Box::new(rules())));
    let now = tuning(&state);
    assert_eq!(&propose(now.draft(), now.sources()).unwrap(), now.proposal());
    assert!(!now.is_applied(state.model.as_ref().unwrap()) && !now.is_waiting());
    assert!(text(&draw(&state)).contains("⏎ applies it"));
}

#[test]
fn a_recording_is_looked_at_and_not_retuned() {
    let mut state = ready();
    state.replay = true;
    assert_eq!(press(&mut state, ']'), []);
    assert_eq!(press(&mut state, 's'), []);
    assert!(!tuning(&state).is_waiting() && !tuning(&state).sweep.is_running());
    assert_eq!(
        press(&mut state, 'q'),
        [Effect::Quit { summary: false }],
        "nothing of a recording can be lost"
    );
}

#[test]
fn a_recording_s_own_changes_are_followed() {
    let mut state = ready();
    state.replay = true;
    let mask = select(&importance(), &Options::new(0.7, 8)).unwrap();
    let info = crate::decode::worker::event::MaskInfo {
        plan: CachePlan::of_mask(&mask),
        label: "tuned".to_owned(),
        ..info(SMALL).mask.unwrap()
    };
    let window = Window { sink: 4, ..Window::default() };
    send(
        &mut state,
        Event::Retuned(Box::new(Retuned { revision: 7, mask: info, window, from: None, ms: 1.0 })),
    );
    send(&mut state, measured(Subject::Now(7), 0.5, 0));
    assert_eq!((tuning(&state).proposal().mask(), tuning(&state).draft().window), (&mask, window));
    assert!(tuning(&state).is_applied(state.model.as_ref().unwrap()));
    assert!(matches!(tuning(&state).figures(1), Freshness::Measured(_)));
    assert!(!text(&draw(&state)).lines().nth(1).unwrap().contains("unsaved"));
}

/// A loss of nothing in steps without a middle is no praise of the mask.
#[test]
fn steps_in_which_nothing_was_pruned_are_called_so() {
    let mut state = ready();
    let Event::Measured(mut early) = measured(Subject::Now(0), 0.0, 0) else { panic!("figures") };
    early.with_middle = Some(0);
    send(&mut state, Event::Measured(early));
    assert!(text(&draw(&state)).contains("nothing pruned"), "{}", text(&draw(&state)));
    send(&mut state, measured(Subject::Now(0), 0.001, 0));
    assert!(text(&draw(&state)).contains("64 steps, ctx"));
}

#[test]
fn a_plan_in_use_as_it_is_keeps_its_widths_when_channels_or_the_window_change() {
    let mut state = blank(ColorDepth::True);
    let coded = CachePlan::named("k8v4", SMALL).unwrap();
    let plan = crate::decode::worker::event::MaskInfo::named("k8v4", coded.clone());
    let loaded = crate::decode::worker::event::ModelInfo {
        mask: Some(plan),
        window: Window::CODED,
        ..info(SMALL)
    };
    send(&mut state, Event::Loaded(Box::new(loaded)));
    state.screen = Screen::Tune;
    let bytes = |state: &State| tuning(state).proposed_tally(8192).bytes.total();
    let spec = crate::cache::CacheSpec::planned(Window::CODED, Dtype::F16, coded.clone());
    assert_eq!(bytes(&state), spec.unwrap().bytes_at(8192).total() as u64);
    assert!(!tuning(&state).is_unsaved());

    let effects = say(&mut state, "sink 32");
    assert_eq!(retune(&effects).mask.plan, coded);
    answer(&mut state, &effects);
    assert_eq!(*state.model.as_ref().unwrap().plan(), coded);
    (state.at.layer, state.at.head, state.at.channel) = (1, 0, 5);
    let effects = update(&mut state, Action::Do(Command::Flip));
    let sent = &retune(&effects).mask.plan;
    assert_eq!(sent.k(1, 0)[5], Width::Zero);
    assert_eq!((sent.k_counts().0, sent.v_counts().0), ([1, 0, 0, 639, 0], [0, 0, 10, 0, 0]));
    answer(&mut state, &effects);
    // All channels of the head, then none of them, and then no V either.
    let effects = update(&mut state, Action::Do(Command::FlipHead));
    assert_eq!(retune(&effects).mask.plan.k(1, 0)[5], Width::Eight, "the plan's own width");
    answer(&mut state, &effects);
    let effects = update(&mut state, Action::Do(Command::FlipHead));
    let dropped = &retune(&effects).mask.plan;
    assert_eq!((dropped.v(1, 0), dropped.mask().kept_count(1, 0)), (Width::Zero, 0));
}

#[test]
fn the_bytes_are_those_of_the_plan_in_use_before_its_first_token() {
    let mut state = ready();
    send(&mut state, Event::Finished(crate::decode::session::Finish::MaxNew));
    let before = (state.run.kv, state.run.memory.is_some());
    let effects = press(&mut state, '{');
    answer(&mut state, &effects);
    let model = state.model.as_ref().expect("loaded");
    assert_eq!(state.run.kv, model.bytes_at(state.run.cached).0);
    assert!(state.run.kv.total() < before.0.total(), "fewer channels");
    assert!(
        before.1 && state.run.memory.is_none(),
        "the allocator's figure is of the cache before"
    );
    // Going back cuts the cache too.
    let cached = state.run.cached;
    send(&mut state, Event::Rewound(3));
    let model = state.model.as_ref().expect("loaded");
    assert!(state.run.cached < cached);
    assert_eq!(state.run.kv, model.bytes_at(state.run.cached).0);
}

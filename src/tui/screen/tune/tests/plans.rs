//! Plans: the control of bytes, widths by hand, and their comparison.

use std::sync::Arc;

use super::*;
use crate::learn::sensitivity::worker::Sensed;
use crate::mask::select::{AllocationOptions, AllocationTarget, allocate};
use crate::mask::{Coding, Width};
use crate::tui::app::shader::Shader;
use crate::tui::color::Shade;
use crate::tui::testing::{planned, sensitivity};

/// A session that knows a sensitivity.
fn sensitive() -> State {
    let mut state = ready();
    state.screens.tune.as_mut().expect("loaded").take_sensitivity(sensitivity(SMALL));
    state
}

fn k(state: &State) -> Vec<Width> {
    let at = state.at;
    tuning(state).proposal().plan.k(at.layer, at.head).to_vec()
}

fn v(state: &State) -> Width {
    tuning(state).proposal().plan.v(state.at.layer, state.at.head)
}

#[test]
fn bytes_chooses_the_widths_that_the_allocation_gives() {
    let mut state = sensitive();
    let effects = say(&mut state, "bytes 28");
    let options = AllocationOptions {
        chunk: Window::default().chunk,
        ..AllocationOptions::new(AllocationTarget::Share(0.28), SMALL.head_dim)
    };
    let expected = allocate(&sensitivity(SMALL), &options).unwrap();
    assert_eq!(retune(&effects).mask.plan, expected.plan);
    assert!(!expected.plan.is_mask() && expected.bytes_share <= 0.28);
    answer(&mut state, &effects);
    assert!(tuning(&state).is_applied(state.model.as_ref().unwrap()));
    // A step is a hundredth; keep makes it a mask again.
    select_control(&mut state, Control::Bytes);
    press(&mut state, ']');
    assert_eq!(tuning(&state).draft().goal, Goal::Bytes(290));
    say(&mut state, "keep 50");
    assert!(tuning(&state).proposal().plan.is_mask());
    // A locked head keeps its widths whatever the bytes.
    say(&mut state, "bytes 40");
    let before = (k(&state), v(&state));
    press(&mut state, 'x');
    say(&mut state, "bytes 20");
    assert_eq!((k(&state), v(&state)), before);
    let file = tuning(&state).file(&info(SMALL), 1, false);
    assert_eq!(file.origin.recipe["rule"], "sensitivity");
    assert_eq!(file.origin.recipe["selection"]["bytes_share"], 0.2);
    assert_eq!(file.sensitivity.as_ref(), Some(sensitivity(SMALL).as_ref()));
}

#[test]
fn without_a_sensitivity_bytes_says_how_to_get_one_and_measures_it_on_request() {
    let mut state = ready();
    let before = tuning(&state).draft().clone();
    assert_eq!(say(&mut state, "bytes 28"), []);
    let toast = state.toast.clone().expect("a refusal");
    assert!(toast.failed && toast.sentence.contains("kscope score --rule sensitivity"));
    assert_eq!(tuning(&state).draft(), &before);
    let effects = press(&mut state, 'S');
    let [Effect::Sense(text)] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(text.starts_with("The harbour was quiet"), "{text}");
    update(&mut state, Action::Sensing(Box::new(Sensed::Going(0.25))));
    assert!(super::text(&draw(&state)).contains("measuring 25 %"));
    assert_eq!(press(&mut state, 'S'), [Effect::CancelSensing]);
    let done = || Sensed::Done(sensitivity(SMALL), "a text".to_owned());
    update(&mut state, Action::Sensing(Box::new(done())));
    assert_eq!(tuning(&state).sources().sensitivity, None, "it was given up");
    press(&mut state, 'S');
    update(&mut state, Action::Sensing(Box::new(done())));
    assert_eq!(tuning(&state).control, Control::Bytes);
    assert_eq!(retune(&press(&mut state, '[')).mask.plan, tuning(&state).proposal().plan);
}

#[test]
fn widths_are_set_by_hand_on_every_screen_that_shows_them_and_taken_back() {
    for screen in [Screen::Map, Screen::Head, Screen::Tune] {
        let mut state = planned(SMALL, ColorDepth::True);
        state.screen = screen;
        state.at.channel = SMALL.pairs() - 1;
        let start = tuning(&state).proposal().plan.clone();
        assert_eq!((k(&state)[state.at.channel], v(&state)), (Width::Sixteen, Width::Four));
        let effects = press(&mut state, 'b');
        assert_eq!(k(&state)[state.at.channel], Width::Eight, "{screen:?}");
        assert_eq!(retune(&effects).mask.plan, tuning(&state).proposal().plan);
        assert_eq!(tuning(&state).draft().pinned(SMALL, 0, 0), 1);
        press(&mut state, 'B');
        assert_eq!(tuning(&state).proposal().plan, start, "no trace");
        assert!(tuning(&state).draft().pins.is_empty());
        press(&mut state, 'O');
        assert_eq!(v(&state), Width::Eight);
        press(&mut state, 'A');
        let wider = |width: &Width| Width::ALL[(width.index() + 1).min(4)];
        assert_eq!(k(&state), start.k(0, 0).iter().map(wider).collect::<Vec<_>>());
        press(&mut state, 'f');
        assert_eq!(v(&state), Width::Four, "V of the layer goes along");
        for _ in 0..3 {
            press(&mut state, 'u');
        }
        assert_eq!(tuning(&state).proposal().plan, start, "{screen:?}");
    }
}

#[test]
fn a_dropped_head_stores_neither_and_revives_whole() {
    let mut state = planned(SMALL, ColorDepth::True);
    state.screen = Screen::Head;
    for _ in 0..4 {
        press(&mut state, 'o');
    }
    assert_eq!(v(&state), Width::Two, "V alone never drops a head");
    assert!(state.toast.as_ref().unwrap().sentence.contains("T drops it"));
    for _ in 0..4 {
        press(&mut state, 'a');
    }
    assert_eq!((k(&state), v(&state)), (vec![Width::Zero; 64], Width::Zero));
    press(&mut state, 'O');
    assert_eq!(v(&state), Width::Zero, "K comes first");
    say(&mut state, "width ch 8");
    assert_eq!(k(&state).iter().filter(|width| **width == Width::Eight).count(), 1);
    assert_ne!(v(&state), Width::Zero);
    say(&mut state, "width layer 2");
    let plan = &tuning(&state).proposal().plan;
    assert!((0..2).all(|head| plan.k(0, head).iter().all(|width| *width == Width::Two)));
    assert!((0..2).all(|head| plan.v(0, head) == Width::Two));
}

#[test]
fn a_named_plan_of_blocks_is_coded_by_channel_once_it_is_changed() {
    let blocks = CachePlan::named("q4_0", SMALL).unwrap();
    let mut state = ready();
    let mask = crate::decode::worker::event::MaskInfo::named("q4_0", blocks.clone());
    let draft = Draft::verbatim(Arc::new(mask), Window::CODED);
    state.screens.tune.as_mut().unwrap().set(draft).unwrap();
    assert_eq!(tuning(&state).proposal().plan, blocks);
    press(&mut state, 'B');
    let plan = &tuning(&state).proposal().plan;
    assert_eq!((plan.k(0, 0)[0], plan.coding()), (Width::Eight, Coding::best(64)));
    press(&mut state, 'u');
    assert_eq!(tuning(&state).proposal().plan, blocks);
}

#[test]
fn the_sweep_has_plans_and_named_plans_where_the_cache_can_hold_codes() {
    let mut state = sensitive();
    let sent = trials(&press(&mut state, 's'));
    let named = ["k8v8", "k8v4", "k4v8", "k4v4", "q8_0", "q4_0", "q4_0-hadamard"];
    for name in named {
        let plan = CachePlan::named(name, SMALL).unwrap();
        assert!(sent.iter().any(|trial| trial.plan == plan), "{name}");
    }
    assert_eq!(sent.len(), 22 + 8 + 7);
    assert!(sent.iter().all(|trial| trial.window == Window::default()), "the same window");
    let mut on_gpu = info(SMALL);
    on_gpu.device = "cuda:0".to_owned();
    let mut gpu = blank(ColorDepth::True);
    send(&mut gpu, Event::Loaded(Box::new(on_gpu)));
    gpu.screen = Screen::Tune;
    let sent = trials(&press(&mut gpu, 's'));
    for name in named {
        let plan = CachePlan::named(name, SMALL).unwrap();
        let per_channel = matches!(plan.coding(), Coding::Channels { .. });
        assert_eq!(sent.iter().any(|trial| trial.plan == plan), per_channel, "{name}");
    }
}

#[test]
fn nothing_beats_the_front_and_everything_else_is_beaten() {
    use crate::tui::screen::tune::state::{PlotPoint, front};
    let at = |x: f64, y: f64| PlotPoint { x, y: Some(y) };
    let places = [at(3.0, 0.1), at(1.0, 0.5), at(2.0, 0.6), at(2.0, 0.2), at(4.0, 0.1)];
    let unknown = PlotPoint { x: 0.5, y: None };
    let best = front(places.into_iter().chain([unknown]));
    assert_eq!(best, [(1.0, 0.5), (2.0, 0.2), (3.0, 0.1)]);
    assert!(front(std::iter::empty()).is_empty());
}

#[test]
fn the_difference_of_plans_is_one_of_widths() {
    let mut state = planned(SMALL, ColorDepth::True);
    state.screen = Screen::Tune;
    say(&mut state, "width ch 16");
    let effects = say(&mut state, "width k 2");
    answer(&mut state, &effects);
    press(&mut state, 'd');
    let shader = Shader::of(&state).expect("a map");
    assert_eq!(
        (shader.legend(0.0), shader.legend(0.5), shader.legend(1.0)),
        ("fewer bits".to_owned(), "same".to_owned(), "more bits".to_owned())
    );
    let saved = tuning(&state).saved().mask.plan.k(0, 0);
    for (channel, width) in saved.iter().enumerate() {
        let wanted = (Width::Two.index() as f32 - width.index() as f32) / 8.0 + 0.5;
        assert_eq!(shader.pool(0, 0, std::iter::once(channel)), Shade::Difference(wanted));
    }
    use crate::tui::export::{ExportFormat, make};
    let csv = String::from_utf8(make(&state, ExportFormat::Csv).unwrap()).unwrap();
    let header = csv.lines().next().expect("a header");
    assert!(header.contains(",kept,bits,") && header.ends_with("kept_by_other,bits_of_other"));
    let row = csv.lines().nth(SMALL.pairs()).expect("the last pair");
    assert!(row.ends_with(",1,16") && row.contains(",1,2,"), "{row}");
}

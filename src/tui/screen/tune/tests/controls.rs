//! Controls, steps and palette commands.

use super::*;
use crate::tui::app::areas;
use crate::tui::screen::tune::layout;

/// A condition on a draft.
type Check<'a> = &'a dyn Fn(&Draft) -> bool;

#[test]
fn a_session_begins_with_its_own_mask_verbatim_until_something_is_selected() {
    let mut state = ready();
    let loaded = info(SMALL).mask.unwrap().plan;
    assert_eq!(tuning(&state).proposal().plan, loaded);
    assert!(
        !tuning(&state).is_unsaved() && tuning(&state).is_applied(state.model.as_ref().unwrap())
    );
    let effects = press(&mut state, '}');
    let sent = retune(&effects);
    let expected = select(&importance(), &Options::new(0.45, 8)).unwrap();
    assert_eq!((sent.revision, sent.mask.mask(), sent.window), (1, &expected, Window::default()));
    assert_eq!(
        (sent.mask.sparsity, sent.mask.align, sent.mask.rule.as_str()),
        (Some(0.45), 8, "learned")
    );
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
        (KeyCode::Down, Control::Bytes),
        (KeyCode::Char('j'), Control::Fit),
        (KeyCode::Up, Control::Bytes),
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
    let changed: [(Control, Check<'_>); 15] = [
        (Control::Base, &|draft| draft.base == Base::Selection),
        (Control::Keep, &|draft| draft.goal == Goal::Keep(510)),
        (Control::Fit, &|draft| matches!(draft.goal, Goal::Fit { tokens: 8192, .. })),
        (Control::Align, &|draft| draft.align == 16),
        (Control::Split, &|draft| draft.split == Budget::Exact),
        (Control::Pairs, &|draft| draft.pairs),
        (Control::Floor, &|draft| draft.floor == 8),
        (Control::LayerFloor, &|draft| draft.layer_floors.get(&0) == Some(&0)),
        (Control::Lock, &|draft| draft.locks.len() == 2),
        (Control::Rule, &|draft| draft.rule == Rule::THINK),
        (Control::Blend, &|draft| draft.blend == Some(Rule::THINK)),
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
                assert!(
                    draft.floor <= 64 && draft.window.recent >= 1 && draft.weight <= 100,
                    "{control:?}"
                );
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
    let bytes = crate::mask::bytes::pruned(retune(&effects).mask.mask(), window, 8192, 2).total();
    assert!(bytes <= 12 << 20 && bytes > 11 << 20, "{bytes}");
    assert_eq!(retune(&effects).mask.sparsity, None, "no sparsity was asked for");
    // One step is a hundredth of the dense cache.
    select_control(&mut state, Control::Fit);
    press(&mut state, '[');
    let dense = crate::mask::bytes::dense(SMALL, 8192, 2).total() as f64;
    let is_hundredth =
        |bytes: u64| (bytes as f64 * 100.0 / dense).ceil() - bytes as f64 * 100.0 / dense < 1e-3;
    assert!(
        matches!(tuning(&state).draft().goal, Goal::Fit { bytes, tokens: 8192 } if bytes < 12 << 20 && is_hundredth(bytes))
    );
    for spaced in ["fit 12 MiB", "fit 12 MiB @ 8,192"] {
        say(&mut state, "fit 11MiB@8k");
        assert_eq!(retune(&say(&mut state, spaced)).mask.mask(), retune(&effects).mask.mask());
    }
    say(&mut state, "fit 1KiB@8k");
    let toast = state.toast.clone().expect("a refusal");
    assert!(toast.failed && toast.sentence.contains("weighs at least"), "{toast:?}");
    assert!(
        matches!(tuning(&state).draft().goal, Goal::Fit { bytes, .. } if bytes > 1024),
        "what was set stays"
    );
}

#[test]
fn words_of_the_palette_set_things() {
    for (words, holds) in [
        ("keep 30", &(|draft: &Draft| draft.goal == Goal::Keep(300)) as Check<'_>),
        ("keep 31.2%", &|draft| draft.goal == Goal::Keep(312)),
        ("align 32", &|draft| draft.align == 32),
        ("split exact", &|draft| draft.split == Budget::Exact),
        ("floor 16", &|draft| draft.floor == 16),
        ("rule think", &|draft| (draft.rule, draft.blend) == (Rule::THINK, None)),
        ("blend key-norm 25", &|draft| (draft.blend, draft.weight) == (Some(Rule::KEY_NORM), 25)),
        ("sink 16", &|draft| draft.window.sink == 16),
        ("recent 64", &|draft| draft.window.recent == 64),
        ("chunk 8", &|draft| draft.window.chunk == 8),
        ("recent 1k", &|draft| draft.window.recent == 1024),
    ] {
        let mut state = ready();
        say(&mut state, words);
        assert!(
            holds(tuning(&state).draft()) && state.overlay.is_none(),
            "{words}: {:?}",
            tuning(&state).draft()
        );
    }
    for wrong in [
        "keep 101",
        "keep -1",
        "align 3",
        "floor 65",
        "recent 0",
        "chunk 0",
        "blend think 101",
        "rule nothing",
    ] {
        let mut state = ready();
        say(&mut state, wrong);
        assert_eq!(tuning(&state).steps(), (0, 0), "{wrong}");
    }
}

#[test]
fn a_narrow_screen_shows_the_layers_in_place_of_the_plot_on_request() {
    let mut state = ready();
    state.size = (80, 24);
    let main = areas::areas(&state).main;
    let shows = |state: &State| {
        let areas = layout::tune(state, main);
        (areas.layers.is_some(), areas.plot.is_some())
    };
    assert_eq!(shows(&state), (false, true));
    key(&mut state, KeyCode::Tab);
    assert_eq!(shows(&state), (true, false));
    key(&mut state, KeyCode::Tab);
    assert_eq!(shows(&state), (false, true));
}

#[test]
fn what_is_set_by_word_counts_as_one_step() {
    let mut state = ready();
    say(&mut state, "keep 30");
    say(&mut state, "keep 30");
    assert_eq!(tuning(&state).steps(), (1, 0));
    let mut draft = tuning(&state).draft().clone();
    draft.set(Set::Blend(Rule::LEARNED, 20));
    assert_eq!(draft.blend, None, "a rule is not mixed with itself");
}

/// Every kind of change has an effect on the largest shape. Its time is printed and not checked,
/// because the machine is shared.
#[test]
fn how_long_a_change_takes() {
    let mut state = session(LARGE, ColorDepth::True);
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
        let mut drafts = vec![tuning(&state).draft().clone()];
        for letter in ['[', ']', '[', ']', '[', ']', '['] {
            let began = std::time::Instant::now();
            press(&mut state, letter);
            draw(&state);
            times.push(began.elapsed().as_secs_f64() * 1e3);
            drafts.push(tuning(&state).draft().clone());
        }
        assert!(drafts.windows(2).any(|pair| pair[0] != pair[1]), "{what} changes nothing");
        times.sort_by(f64::total_cmp);
        worst = worst.max(times[3]);
        line += &format!("{what} {:.1} ms, ", times[3]);
    }
    println!("a change and its frame, 32x8x128, medians of 7: {line}worst {worst:.1} ms");
}

/// `keep 100` once stood for 90 % without a word.
#[test]
fn keep_says_what_is_kept_where_the_importance_ends() {
    let mut state = ready();
    state.size = (120, 40);
    let effects = say(&mut state, "keep 100");
    answer(&mut state, &effects);
    let kept = tuning(&state).proposed_tally(state.target_context).share * 100.0;
    assert!((80.0..95.0).contains(&kept), "one head in ten has no importance: {kept}");
    let frame = text(&draw(&state));
    assert!(frame.contains(&format!("▸keep       {kept:.1} % (100)")), "{frame}");
    assert!(frame.contains("importance is above 0 for 90.0 %"), "{frame}");
    // The exact budget keeps the others too, and the words go.
    say(&mut state, "split exact");
    let frame = text(&draw(&state));
    assert!(!frame.contains("importance is above 0"), "{frame}");
}

/// The knob once moved from 100 to 95 % and every channel stayed, which nothing said.
#[test]
fn what_a_knob_cannot_reach_is_said() {
    let mut state = ready();
    state.size = (120, 40);
    select_control(&mut state, Control::Keep);
    let unmoved = |state: &mut State| {
        let before = tuning(state).proposal().plan.clone();
        state.toast = None;
        press(state, '[');
        assert!(tuning(state).proposal().plan == before);
        state.toast.take().expect("said").sentence
    };
    // One head in ten has no importance.
    say(&mut state, "keep 100");
    let said = unmoved(&mut state);
    assert!(said.starts_with("the same channels as before: importance is above 0 for"), "{said}");

    // Of 640 channels 99 and 98 % are both less than 20 and more than 19 runs of 32.
    for words in ["split exact", "align 32", "keep 99"] {
        say(&mut state, words);
    }
    assert_eq!(tuning(&state).proposal().plan.mask().kept_counts().iter().sum::<usize>(), 608);
    let said = unmoved(&mut state);
    assert!(said.starts_with("the same channels as before: heads keep multiples of 32"), "{said}");
    let shown = text(&draw(&state));
    assert!(shown.contains("keep       95.0 % (98)"), "{shown}");
}

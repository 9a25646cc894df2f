//! Manual edits of channels, heads and layers, and undo.

use super::*;

#[test]
fn flips_go_on_top_of_every_selection_and_are_the_only_difference() {
    let mut state = ready();
    (state.at.layer, state.at.head, state.at.channel) = (1, 0, 40);
    let before = tuning(&state).proposal().mask().clone();
    let was = before.head(1, 0)[40];
    press(&mut state, 't');
    let flipped = tuning(&state).proposal().mask().clone();
    assert_eq!(flipped.head(1, 0)[40], !was);
    assert_eq!(flipped.bits().iter().zip(before.bits()).filter(|(a, b)| a != b).count(), 1);
    // Whatever the selection gives, the channel stays as set by hand, and nothing else differs.
    for keep in [100_u16, 400, 700, 1000] {
        say(&mut state, &format!("keep {}", keep / 10));
        let plain =
            select(&importance(), &Options::new(f64::from(1000 - keep) / 1000.0, 8)).unwrap();
        let mask = tuning(&state).proposal().mask();
        let expected =
            ChannelMask::from_fn(SMALL, |layer, head, channel| match (layer, head, channel) {
                (1, 0, 40) => !was,
                _ => plain.head(layer, head)[channel],
            });
        assert_eq!(mask, &expected, "keep {keep}");
    }
    say(&mut state, "keep 50");
    if tuning(&state).proposal().selected.mask().head(1, 0)[40] != was {
        press(&mut state, 't');
    }
    press(&mut state, 't');
    // A whole head: all, then none.
    press(&mut state, 'T');
    assert!(tuning(&state).proposal().mask().head(1, 0).iter().all(|&kept| kept));
    press(&mut state, 'T');
    assert_eq!(tuning(&state).proposal().mask().kept_count(1, 0), 0);
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
    let locked = tuning(&state).proposal().mask().head(2, 1).to_vec();
    for words in ["keep 10", "keep 95", "rule random", "align 32", "split exact"] {
        say(&mut state, words);
        assert_eq!(tuning(&state).proposal().mask().head(2, 1), locked, "{words}");
    }
    press(&mut state, 'x');
    assert!(tuning(&state).draft().locks.is_empty());
    say(&mut state, "keep 95");
    assert_ne!(tuning(&state).proposal().mask().head(2, 1), locked);
    // A layer: the key locks all of its heads at once, then unlocks them. A head that was locked
    // before stays locked.
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
    assert!(tuning(&state).proposal().mask().kept_counts().iter().all(|&count| count >= 16));
    state.at.layer = 3;
    select_control(&mut state, Control::LayerFloor);
    for _ in 0..5 {
        press(&mut state, ']');
    }
    assert_eq!(tuning(&state).draft().layer_floors.get(&3), Some(&32));
    assert!((0..2).all(|head| tuning(&state).proposal().mask().kept_count(3, head) >= 32));
    // A budget below the floors is refused with a message, and nothing changes.
    say(&mut state, "split exact");
    let toast = state.toast.clone().expect("a refusal");
    assert!(toast.failed && toast.sentence.contains("floors and locks"), "{toast:?}");
    assert_eq!(tuning(&state).draft().split, Budget::Global);
}

/// One random edit, by key, palette command or place.
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

/// A thousand random edits, each answered at once. The set mask equals a fresh computation and the
/// mask in use, the history is bounded, and undo and redo return exactly.
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
        let underlined = |cell: &ratatui::buffer::Cell| {
            cell.modifier.contains(ratatui::style::Modifier::UNDERLINED)
        };
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
    assert_eq!(
        (other.label.as_str(), other.plan.mask()),
        ("learned-50 (saved)", info(SMALL).mask.unwrap().mask())
    );
    // Without the difference, the map compares with the mask that the session was given.
    press(&mut state, 'd');
    press(&mut state, 'd');
    assert_eq!(state.other.as_ref().map(|other| other.label.as_str()), Some("slowest"));
}

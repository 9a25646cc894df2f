//! What is written to a file, and what would be lost.

use super::*;

/// Identical channels once had "align −3 ch" as set and "−72 ch" as saved: an importance that reaches
/// few channels is not the alignment's doing in either.
#[test]
fn channels_of_alignment_are_counted_alike_for_what_is_set_and_what_is_saved() {
    let mut state = ready();
    state.model.as_mut().unwrap().info.fingerprint = "f00d".repeat(16);
    // A tenth of the channels has importance.
    let scores = |i: usize| if i.is_multiple_of(10) { 1.0 + (i % 7) as f32 } else { 0.0 };
    let scores: Vec<f32> = (0..SMALL.entries()).map(scores).collect();
    let importance = Importance::new(SMALL, scores.clone()).unwrap();
    let mask = select(&importance, &Options::new(0.5, 8)).unwrap();
    let mask = crate::decode::worker::event::MaskInfo {
        plan: CachePlan::of_mask(&mask),
        importance: Some(scores),
        ..info(SMALL).mask.unwrap()
    };
    let window = Window::default();
    state.screens.tune.as_mut().unwrap().adopt(std::sync::Arc::new(mask), window);
    // As a file is.
    let of = |state: &State| {
        let tuning = tuning(state);
        (tuning.proposed_tally(2_560).over, tuning.saved_tally(2_560).over)
    };
    let (set, saved) = of(&state);
    assert_eq!(set, saved);
    assert!(saved.is_some_and(|over| over.abs() < 100), "not 256 too few: {saved:?}");
    // As it was selected here and saved.
    let effects = say(&mut state, "keep 20");
    answer(&mut state, &effects);
    let effects = say(&mut state, "save mine.safetensors");
    let [Effect::Save(saving)] = effects.as_slice() else { panic!("{effects:?}") };
    update(&mut state, Action::Saved(saving.clone()));
    assert!(!tuning(&state).is_unsaved());
    let (set, saved) = of(&state);
    assert_eq!(set, saved);
    // And with other settings beside it.
    let effects = say(&mut state, "align 16");
    answer(&mut state, &effects);
    assert_eq!(of(&state).1, saved);
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
    assert_eq!(effects, [Effect::ListFolder(String::new())]);
    let Some(Overlay::Path(prompt)) = &state.overlay else { panic!("a name is asked for") };
    let offered = prompt.list.input.value().to_owned();
    assert!(
        offered.starts_with("test-model-keep") && offered.ends_with(".safetensors"),
        "{offered}"
    );
    key(&mut state, KeyCode::Esc);
    let effects = say(&mut state, &format!("save {}", path.display()));
    let [Effect::Save(saving)] = effects.as_slice() else { panic!("{effects:?}") };
    assert!(tuning(&state).is_unsaved(), "not before it is on disk");
    assert!(!saving.replaces, "a file that is there stays");
    files::save(&saving.path, &Contents::Mask(saving.file.clone()), false).unwrap();
    update(&mut state, Action::Saved(saving.clone()));
    assert!(!tuning(&state).is_unsaved());
    assert_eq!(tuning(&state).saved().mask.label, "mine");
    assert_eq!(
        tuning(&state).saved().measured.as_ref().map(|(_, figures)| figures.divergence.kld.mean),
        Some(0.0625)
    );
    let read = files::read(&path, &Split::default()).unwrap().into_mask("mine").unwrap();
    assert_eq!(read, saving.file);
    assert_eq!(read.mask(), tuning(&state).proposal().mask());
    assert_eq!(read.importance.as_ref(), tuning(&state).proposal().importance.as_ref());
    assert_eq!(
        (read.target_sparsity, read.origin.align, read.origin.window.sink),
        (Some(0.6), 8, 32)
    );
    assert_eq!(
        (read.origin.model.as_str(), read.origin.fingerprint.as_str()),
        ("test-model", "f00d".repeat(16).as_str())
    );
    let recipe = &read.origin.recipe;
    assert_eq!(recipe["rule"], "75 % learned + 25 % think");
    assert_eq!(
        (recipe["base"].as_str(), recipe["locks"][0].as_str()),
        (Some("learned-50"), Some("1:1"))
    );
    assert_eq!(recipe["selection"]["floors"][0], "8");
    assert_eq!(recipe["flips"][0]["head"], "1:1");
    assert_eq!(
        (recipe["measured"]["kld"]["mean"].as_f64(), recipe["measured"]["steps"].as_u64()),
        (Some(0.0625), Some(64))
    );
    // Reset returns to the saved mask from any settings.
    for words in ["keep 90", "rule random"] {
        say(&mut state, words);
    }
    assert!(tuning(&state).is_unsaved());
    press(&mut state, 'R');
    assert_eq!(tuning(&state).proposal().mask(), read.mask());
    assert!(!tuning(&state).is_unsaved());
}

/// A mask by a rule of the prompt was saved; then another prompt gave the rule other figures.
#[test]
fn another_prompt_leaves_what_is_saved_saved() {
    let mut state = ready();
    for words in ["rule think", "keep 40"] {
        let effects = say(&mut state, words);
        answer(&mut state, &effects);
    }
    let effects = say(&mut state, "save mine.safetensors");
    let [Effect::Save(saving)] = effects.as_slice() else { panic!("{effects:?}") };
    update(&mut state, Action::Saved(saving.clone()));
    assert!(!tuning(&state).is_unsaved());
    let saved = tuning(&state).proposal().plan.clone();
    let rising = |i: usize| (i % SMALL.head_dim + 1) as f32;
    let other = crate::decode::worker::event::Rules::new([
        (Rule::KEY_NORM, vec![1.0; SMALL.entries()]),
        (Rule::THINK, (0..SMALL.entries()).map(rising).collect()),
    ]);
    send(&mut state, Event::Rules(Box::new(other)));
    assert!(!tuning(&state).is_unsaved(), "nobody changed anything");
    assert_eq!(tuning(&state).proposal().plan, saved);
    assert!(tuning(&state).is_applied(state.model.as_ref().unwrap()));
    assert!(!text(&draw(&state)).contains("unsaved"));
    // What the user sets from then on is by the new figures.
    say(&mut state, "rule think");
    assert_ne!(tuning(&state).proposal().plan, saved);
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
    assert!(
        state
            .toast
            .as_ref()
            .is_some_and(|toast| toast.failed && toast.sentence.contains(".safetensors"))
    );
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

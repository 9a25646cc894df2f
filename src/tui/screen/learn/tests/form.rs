//! The form: its fields by keys, mouse and typing, and what it orders.

use super::*;

/// A path that is not there is told when it is typed, not when a run starts.
#[test]
fn a_path_that_is_not_there_is_typed_again() {
    let mut state = on_screen();
    key(&mut state, KeyCode::Enter);
    press(&mut state, "none.txt");
    let effects = key(&mut state, KeyCode::Enter);
    assert!(looked_for(&mut state, effects, Some("none.txt: there is no such file or folder")));
    assert_eq!(state.screens.learn.form.haystack, "", "it is not taken");
    assert_eq!(state.context(), KeyContext::List, "what was typed can be corrected");
    let toast = state.toast.as_ref().expect("told");
    assert!(toast.failed && toast.sentence.starts_with("none.txt"), "{toast:?}");
    let effects = key(&mut state, KeyCode::Enter);
    assert!(looked_for(&mut state, effects, None));
    assert_eq!(state.screens.learn.form.haystack, "none.txt", "now it is there");
    assert_eq!(state.toast, None, "and no line says that it is not");
}

#[test]
fn the_form_is_set_by_keys_and_ordered_as_set() {
    let mut state = on_screen();
    key(&mut state, KeyCode::Enter);
    assert_eq!(state.context(), KeyContext::List, "a path is typed");
    // Letters are text now, whatever they do elsewhere.
    press(&mut state, " notes.mq");
    key(&mut state, KeyCode::Backspace);
    press(&mut state, "d");
    let effects = key(&mut state, KeyCode::Enter);
    assert!(looked_for(&mut state, effects, None));
    assert_eq!(
        (state.screens.learn.form.haystack.as_str(), state.context()),
        ("notes.md", KeyContext::Screen(Screen::Learn))
    );
    let steps = [
        (Field::Method, "]"),
        (Field::Sparsity, "]]"),
        (Field::Align, "]"),
        (Field::Context, "["),
        (Field::Pool, "["),
        (Field::Steps, "]"),
        (Field::Seed, "]]]"),
        (Field::Check, "["),
    ];
    for (field, keys) in steps {
        press(&mut state, "j");
        assert_eq!(state.screens.learn.field, field);
        press(&mut state, keys);
    }
    press(&mut state, "G");
    key(&mut state, KeyCode::Enter);
    (0..40).for_each(|_| drop(key(&mut state, KeyCode::Backspace)));
    press(&mut state, "m/a.safetensors");
    let effects = key(&mut state, KeyCode::Enter);
    assert!(looked_for(&mut state, effects, None));
    let effects = press(&mut state, "s");
    let order = ordered(&effects);
    let base = Settings::for_sparsity(0.8);
    assert_eq!(
        *order,
        Learn {
            generation: 1,
            method: LearnMethod::Leank,
            haystack: vec!["notes.md".into()],
            settings: Settings { align: 16, seed: 3, steps: base.steps + 10, ..base },
            lengths: (256, 1024),
            windows: 12,
            pool: 48,
            check_prompts: 50,
            resume: false,
            out: "m/a.safetensors".into(),
        }
    );
    assert_eq!(state.screens.learn.part, LearningPart::Pool(0, 56));
}

#[test]
fn every_value_stays_within_what_can_be_learned() {
    let mut state = on_screen();
    for field in Field::ALL {
        for keys in ["[", "]"] {
            state.screens.learn.field = field;
            (0..80).for_each(|_| drop(press(&mut state, keys)));
            let form = state.screens.learn.form.clone();
            let settings = form.settings(Default::default());
            assert!(settings.check().is_ok(), "{field:?}: {form:?}");
            let (least, most) = form.lengths();
            assert!(64 <= least && least <= most && most <= 32_768, "{form:?}");
            state.screens.learn.form = Default::default();
        }
    }
    // Leaving a typed field keeps its value.
    state.screens.learn.field = Field::Out;
    key(&mut state, KeyCode::Enter);
    press(&mut state, "zzz");
    key(&mut state, KeyCode::Esc);
    assert_eq!(
        (state.screens.learn.form.out.as_str(), state.screen),
        ("learned.safetensors", Screen::Learn)
    );
    state.screens.learn.field = Field::Seed;
    key(&mut state, KeyCode::Enter);
    assert!(state.screens.learn.typing.is_some(), "numbers are typed too");
    key(&mut state, KeyCode::Esc);
}

#[test]
fn what_cannot_be_learned_is_refused_in_a_sentence() {
    let refused = |state: &mut State, key: &str, word: &str| {
        state.toast = None;
        assert_eq!(press(state, key), [], "{word}");
        let toast = state.toast.as_ref().expect("a sentence");
        assert!(toast.sentence.contains(word), "{}", toast.sentence);
    };
    let mut state = blank(ColorDepth::None);
    press(&mut state, "6");
    refused(&mut state, "s", "not there yet");
    let mut state = on_screen();
    refused(&mut state, "x", "no learning");
    state.screens.learn.form.out = "mask.txt".to_owned();
    refused(&mut state, "s", ".safetensors");
    state.screens.learn.form = Default::default();
    ordered(&press(&mut state, "s"));
    refused(&mut state, "s", "running");
    refused(&mut state, "R", "running");
    tell_learning(&mut state, Told::Cancelled { resumes: false });
    refused(&mut state, "R", "no checkpoint");
    state.replay = true;
    refused(&mut state, "R", "recording");
}

#[test]
fn the_mouse_selects_and_changes_fields() {
    let mut state = on_screen();
    let form = layout::learn(&state, areas::areas(&state).main).form;
    let click = |state: &mut State, row: usize| {
        let event = MouseEvent {
            kind: MouseEventKind::Down(MouseButton::Left),
            column: form.x + 4,
            row: form.y + 1 + row as u16,
            modifiers: KeyModifiers::NONE,
        };
        update(state, Action::Mouse(event));
    };
    for method in LearnMethod::ALL {
        state.screens.learn.form.method = method;
        for (row, field) in Field::of(method).into_iter().enumerate() {
            click(&mut state, row);
            assert_eq!(state.screens.learn.field, field);
        }
    }
    click(&mut state, 2);
    click(&mut state, 2);
    assert_eq!(state.screens.learn.form.percent, 75, "a double click takes the next value");
    click(&mut state, 9);
    click(&mut state, 9);
    assert_eq!(state.context(), KeyContext::List, "and types a path");
    key(&mut state, KeyCode::Esc);
    click(&mut state, 3);
    assert_eq!(
        (state.context(), state.screens.learn.field),
        (KeyContext::Screen(Screen::Learn), Field::Align)
    );
    let wheel = MouseEvent {
        kind: MouseEventKind::ScrollDown,
        column: 50,
        row: 20,
        modifiers: KeyModifiers::NONE,
    };
    update(&mut state, Action::Mouse(wheel));
    assert_eq!(state.screens.learn.field, Field::Context);
}

#[test]
fn what_is_pasted_goes_into_the_field() {
    let mut state = on_screen();
    key(&mut state, KeyCode::Enter);
    update(&mut state, Action::Paste("texts/mine.txt\n".to_owned()));
    let effects = key(&mut state, KeyCode::Enter);
    assert!(looked_for(&mut state, effects, None));
    assert_eq!(state.screens.learn.form.haystack, "texts/mine.txt");
}

#[test]
fn numbers_are_typed_and_what_cannot_be_stays_out() {
    let mut state = session(SMALL, ColorDepth::True);
    state.screen = Screen::Learn;
    let mut type_in = |field: Field, text: &str| {
        state.screens.learn.field = field;
        key(&mut state, KeyCode::Enter);
        for _ in 0..20 {
            key(&mut state, KeyCode::Backspace);
        }
        press(&mut state, text);
        let effects = key(&mut state, KeyCode::Enter);
        if field.is_text() {
            assert!(looked_for(&mut state, effects, None));
        }
        assert!(state.screens.learn.typing.is_none());
        let failed = state.toast.take().is_some_and(|toast| toast.failed);
        (state.screens.learn.form.clone(), failed)
    };
    let (form, failed) = type_in(Field::Sparsity, "65%");
    assert_eq!((form.percent, failed), (65, false));
    assert_eq!(type_in(Field::Sparsity, "100"), (form.clone(), true));
    assert_eq!(type_in(Field::Align, "12"), (form.clone(), true));
    assert_eq!(type_in(Field::Method, "lean"), (form, true));
    assert_eq!(type_in(Field::Method, "leank").0.method, LearnMethod::Leank);
    assert_eq!(type_in(Field::Windows, "4").0.windows, 4);
    assert_eq!(type_in(Field::Pool, "96").0.pool, 96);
    assert_eq!(type_in(Field::Steps, "33").0.steps, Some(33));
    assert_eq!(type_in(Field::Steps, "").0.steps, None);
    assert_eq!(type_in(Field::Seed, "7").0.seed, 7);
    type_in(Field::Haystack, "a.txt, ~/texts ,b.md");
    let paths = state.screens.learn.haystack();
    assert_eq!(paths, ["a.txt", "~/texts", "b.md"].map(std::path::PathBuf::from));
}

#[test]
fn a_run_is_estimated_once_for_every_form_before_it_starts() {
    let mut state = session(SMALL, ColorDepth::True);
    let asked = |effects: &[Effect]| {
        effects.iter().filter(|effect| matches!(effect, Effect::EstimateLearning(_))).count()
    };
    let effects = press(&mut state, "6");
    let [Effect::EstimateLearning(of)] = &effects[..] else { panic!("{effects:?}") };
    let (order, pace) = &**of;
    assert_eq!((order.windows, order.lengths), (12, (512, 2048)));
    assert_eq!(pace.prefill_seconds, 0.0815, "the measured prefill of the session");
    assert!(pace.step_seconds > 0.0);
    assert_eq!(asked(&press(&mut state, "j")), 0, "moving changes no form");
    let estimate =
        crate::learn::estimate::RunEstimate { seconds: [60.0, 120.0, 30.0], bytes: 3 << 30 };
    update(&mut state, Action::Estimated(estimate, Some(2 << 30)));
    let shown = crate::tui::testing::text(&crate::tui::testing::draw(&state));
    assert!(shown.contains("about 4 min") && shown.contains("more than is free"), "{shown}");
    state.screens.learn.field = Field::Windows;
    assert_eq!(asked(&press(&mut state, "[")), 1, "fewer windows take another time");
    state.screens.learn.field = Field::Method;
    assert_eq!(asked(&press(&mut state, "]")), 1, "so does the other method");
    state.screens.learn.field = Field::Pool;
    assert_eq!(asked(&press(&mut state, "[")), 1, "and there another pool");
}

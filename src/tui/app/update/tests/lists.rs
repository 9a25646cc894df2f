//! The palette, the help and what they run.

use super::*;
use crate::tui::app::palette::entries;

#[test]
fn the_palette_goes_to_places_and_runs_commands() {
    let mut state = ready();
    key(&mut state, KeyCode::Char(':'));
    assert_eq!(state.context(), KeyContext::List);
    letters(&mut state, "l3 h1 c40");
    assert_eq!(
        key(&mut state, KeyCode::Enter),
        [Effect::Engine(Order::Watch { layer: 3, head: 1 })]
    );
    assert_eq!(
        (state.at, state.overlay.is_none()),
        (Place { layer: 3, head: 1, channel: 40 }, true)
    );
    for (typed, holds) in [
        (
            "theme cividis",
            &(|state: &State| state.theme.colormap == Colormap::Cividis) as &dyn Fn(&State) -> bool,
        ),
        ("theme light", &|state| state.theme.light),
        ("metric live", &|state| state.metric == Metric::Live),
        ("scale rank", &|state| state.scale() == Scale::Rank),
        ("context 4096", &|state| state.target_context == 4096),
        ("context 32k", &|state| state.target_context == 32_768),
        ("context 8,192", &|state| state.target_context == 8192),
        ("show-perf", &|state| state.screen == Screen::Perf),
    ] {
        act(&mut state, Command::Palette);
        letters(&mut state, typed);
        key(&mut state, KeyCode::Enter);
        assert!(holds(&state) && state.overlay.is_none(), "{typed}");
    }
    act(&mut state, Command::Palette);
    letters(&mut state, "no such thing");
    assert_eq!(key(&mut state, KeyCode::Enter), []);
    assert!(state.toast.as_ref().is_some_and(|toast| toast.sentence.contains("nothing fits")));
}

#[test]
fn exports_come_with_a_name_that_says_what_they_are_or_with_one_s_own() {
    let mut state = ready();
    for format in ExportFormat::ALL {
        act(&mut state, Command::Export);
        letters(&mut state, format.name());
        let effects = key(&mut state, KeyCode::Enter);
        let [Effect::Write { path, bytes, .. }] = effects.as_slice() else {
            panic!("{format:?}: {effects:?}")
        };
        assert_eq!(
            path.to_str(),
            Some(format!("out/kscope-test-model-map.{}", format.name()).as_str())
        );
        assert!(bytes.len() > 1000);
    }
    act(&mut state, Command::Export);
    letters(&mut state, "svg my map.svg");
    let effects = key(&mut state, KeyCode::Enter);
    assert!(
        matches!(&effects[..], [Effect::Write { path, .. }] if path.to_str() == Some("my map.svg")),
        "{effects:?}"
    );
}

/// The ending of a file says the format, so that it need not be typed twice.
#[test]
fn an_export_takes_its_format_from_the_ending_of_the_file() {
    let mut state = ready();
    for (typed, named, format) in [
        ("my rows.csv", "my rows.csv", ExportFormat::Csv),
        ("a.tex", "a.tex", ExportFormat::Tex),
        ("json b.txt", "b.txt", ExportFormat::Json),
    ] {
        let expected = crate::tui::export::make(&state, format).unwrap();
        act(&mut state, Command::Export);
        letters(&mut state, typed);
        let effects = key(&mut state, KeyCode::Enter);
        let [Effect::Write { path, bytes, .. }] = effects.as_slice() else {
            panic!("{typed}: {effects:?}")
        };
        assert_eq!((path.to_str(), bytes), (Some(named), &expected), "{typed}");
    }
    act(&mut state, Command::Export);
    letters(&mut state, "rows.gif");
    assert_eq!(key(&mut state, KeyCode::Enter), [], "no such format");
}

#[test]
fn the_help_finds_its_glossary() {
    let mut state = ready();
    act(&mut state, Command::Help);
    letters(&mut state, "glossary");
    let all = crate::tui::app::palette::entries(&state);
    let words = crate::tui::app::glossary::words();
    assert!(!all.is_empty());
    assert_eq!(all.len(), words.len());
    assert!(all.iter().zip(&words).all(|(entry, (word, _))| entry.title == *word));
}

#[test]
fn help_searches_and_runs_what_counts_here() {
    let mut state = ready();
    key(&mut state, KeyCode::Char('?'));
    letters(&mut state, "colour map");
    key(&mut state, KeyCode::Enter);
    assert_eq!(state.theme.colormap, Colormap::Cividis);
    act(&mut state, Command::Help);
    letters(&mut state, "edit-prompt");
    key(&mut state, KeyCode::Enter);
    assert!(
        !state.screens.text.editing
            && state.toast.as_ref().is_some_and(|toast| toast.sentence.contains("counts on the"))
    );
    act(&mut state, Command::Help);
    key(&mut state, KeyCode::Esc);
    assert!(state.overlay.is_none());
}

#[test]
fn every_command_that_takes_more_is_listed_and_waits_for_the_rest() {
    let mut state = ready();
    for word in ["keep", "fit", "rule", "sink", "context", "save-as", "open", "model"] {
        act(&mut state, Command::Palette);
        letters(&mut state, word);
        let listed = crate::tui::app::palette::entries(&state);
        assert!(listed.iter().any(|entry| entry.title.starts_with(&format!("{word} "))), "{word}");
        key(&mut state, KeyCode::Esc);
    }
    act(&mut state, Command::Palette);
    letters(&mut state, "percent of");
    key(&mut state, KeyCode::Esc);
    act(&mut state, Command::Palette);
    letters(&mut state, "so many channels");
    key(&mut state, KeyCode::Enter);
    let typed = |state: &State| match &state.overlay {
        Some(Overlay::Palette(list)) => list.input.value().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(typed(&state), "floor ");
    letters(&mut state, "8");
    key(&mut state, KeyCode::Enter);
    assert_eq!(state.screens.tune.as_ref().unwrap().draft().floor, 8);
}

#[test]
fn a_name_that_is_taken_is_asked_about_and_replaced_only_after_yes() {
    let mut state = ready();
    act(&mut state, Command::Palette);
    letters(&mut state, "export csv a.csv");
    let effects = key(&mut state, KeyCode::Enter);
    let [Effect::Write { path, bytes, taken: Taken::Ask }] = &effects[..] else {
        panic!("{effects:?}")
    };
    let (path, bytes) = (path.clone(), bytes.clone());
    let over = Effect::Write { path: path.clone(), bytes, taken: Taken::Replace };
    update(&mut state, Action::Taken { path, then: Box::new(over.clone()), otherwise: None });
    let Some(Overlay::Question(question)) = &state.overlay else { panic!("{:?}", state.overlay) };
    assert!(question.sentence.contains("a.csv is there already"), "{}", question.sentence);
    for no in [KeyCode::Esc, KeyCode::Char('n')] {
        let mut left = state.clone();
        assert_eq!((key(&mut left, no), left.overlay.is_none()), (Vec::new(), true));
    }
    // What is neither yes nor no answers nothing, and no command runs meanwhile.
    for other in [KeyCode::Char('q'), KeyCode::Enter, KeyCode::Char('5')] {
        assert_eq!(key(&mut state, other), []);
        assert!(matches!(state.overlay, Some(Overlay::Question(_))), "{other:?}");
    }
    assert_eq!(key(&mut state, KeyCode::Char('y')), [over]);
    assert!(state.overlay.is_none());
    act(&mut state, Command::Palette);
    letters(&mut state, "export! csv a.csv");
    let effects = key(&mut state, KeyCode::Enter);
    assert!(matches!(&effects[..], [Effect::Write { taken: Taken::Replace, .. }]), "{effects:?}");
}

#[test]
fn the_help_has_the_words_and_shows_a_selected_entry_in_whole() {
    let mut state = ready();
    state.size = (80, 24);
    act(&mut state, Command::Help);
    letters(&mut state, "next-token probabilities");
    let drawn = crate::tui::testing::text(&crate::tui::testing::draw(&state));
    assert!(drawn.contains("above .1 is much"), "{drawn}");
}

#[test]
fn a_value_that_a_command_does_not_take_is_answered_with_what_it_takes() {
    let mut state = ready();
    for (typed, takes) in [
        ("seek 999%", "seek 999%: expected a token from 1 on, or 0% to 100%"),
        ("seek 0", "seek 0: expected a token from 1 on, or 0% to 100%"),
        ("speed 0", "speed 0: expected 0.01 to 1000"),
        ("keep 101", "keep 101: expected 0 to 100, in per cent"),
        ("bytes 0", "bytes 0: expected 0.1 to 100, in per cent"),
        ("align 3", "align 3: expected 1, 2, 4, 8, 16 or 32"),
        ("split all", "split all: expected global or exact"),
        ("floor 65", "floor 65: expected 0 to 64 channels"),
        ("recent 0", "recent 0: expected a number of tokens, 1 or more: 512, 32k"),
        ("rule thin", "rule thin: expected one of"),
        ("width ch 5", "width ch 5: expected ch, k, v or layer, and 16, 8, 4, 2 or 0 bits"),
        ("fit much", "fit much: expected a size with a unit, and a context: 1.5GiB@32k"),
        ("context 0", "context 0: expected a number of tokens, 1 or more"),
        ("l5 h0", "l5 h0: expected l0 to l4, h0 to h1, c0 to c63"),
    ] {
        act(&mut state, Command::Palette);
        letters(&mut state, typed);
        let list = crate::tui::testing::text(&crate::tui::testing::draw(&state));
        assert!(list.contains(takes), "{typed}: {list}");
        assert_eq!(key(&mut state, KeyCode::Enter), []);
        let told = state.toast.take().expect("told").sentence;
        assert!(told.starts_with(takes), "{typed}: {told}");
        assert!(state.overlay.take().is_some(), "{typed}: what was typed is gone");
    }
}

#[test]
fn a_setting_says_what_came_of_it_on_every_screen() {
    for screen in [Screen::Map, Screen::Text, Screen::Tune] {
        let mut state = ready();
        state.screen = screen;
        for typed in ["keep 0", "keep 0", "keep 20", "align 32"] {
            act(&mut state, Command::Palette);
            letters(&mut state, typed);
            state.toast = None;
            key(&mut state, KeyCode::Enter);
            let told = state.toast.as_ref().map(|toast| toast.sentence.clone());
            assert!(
                told.is_some_and(|told| told.contains('%') || told.contains("expected")),
                "{typed}"
            );
        }
    }
}

#[test]
fn home_and_end_go_to_the_ends_of_a_list() {
    let mut state = ready();
    act(&mut state, Command::Help);
    key(&mut state, KeyCode::End);
    let last = entries(&state).len() - 1;
    assert_eq!(state.list_mut().map(|list| list.selected), Some(last));
    key(&mut state, KeyCode::Home);
    assert_eq!(state.list_mut().map(|list| list.selected), Some(0));
}

/// Typed letters were once put behind the name that was offered.
#[test]
fn typing_replaces_the_name_that_is_offered_and_editing_keeps_it() {
    let typed = |state: &mut State| {
        state.list_mut().map(|list| list.input.value().to_owned()).expect("a prompt")
    };
    let mut state = ready();
    act(&mut state, Command::SaveMask);
    let offered = typed(&mut state);
    assert!(offered.ends_with(".safetensors"));
    letters(&mut state, "mine.safetensors");
    assert_eq!(typed(&mut state), "mine.safetensors");
    key(&mut state, KeyCode::Esc);
    act(&mut state, Command::SaveMask);
    key(&mut state, KeyCode::Home);
    letters(&mut state, "my-");
    assert_eq!(typed(&mut state), format!("my-{offered}"));
    key(&mut state, KeyCode::Esc);
    act(&mut state, Command::SaveMask);
    update(&mut state, Action::Paste("x.safetensors".to_owned()));
    assert_eq!(typed(&mut state), "x.safetensors");
    key(&mut state, KeyCode::Esc);
    act(&mut state, Command::SaveMask);
    assert!(matches!(&key(&mut state, KeyCode::Enter)[..], [Effect::Save(_)]), "as it is offered");
}

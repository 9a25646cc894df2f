//! Every screen, as text and colours.

use crate::decode::worker::event::{Event, Started};
use crate::mask::Shape;
use crate::printable::is_obeyed;
use crate::tui::app::action::Command;
use crate::tui::app::state::State;
use crate::tui::app::summary;
use crate::tui::color::ColorDepth;
use crate::tui::export::{self, ExportFormat};
use crate::tui::screen::Screen;
use crate::tui::screen::map::state::Level;
use crate::tui::testing::{
    LARGE, SMALL, act, blank, draw, info, letters, pair, send, session, text, token,
};

#[test]
fn the_help_and_the_palette() {
    for (name, command) in [("help", Command::Help), ("palette", Command::Palette)] {
        let mut state = session(SMALL, ColorDepth::None);
        act(&mut state, command);
        insta::assert_snapshot!(name, text(&draw(&state)));
    }
}

#[test]
fn control_characters_reach_neither_a_screen_nor_an_export() {
    let hostile = "a\u{1b}[31m\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\r\u{7f}b";
    let mut state = blank(ColorDepth::True);
    let mut info = info(SMALL);
    info.name = hostile.to_owned();
    info.warnings.push(hostile.to_owned());
    for mask in [&mut info.mask, &mut info.other].into_iter().flatten() {
        mask.label = hostile.to_owned();
    }
    state.loading_name = hostile.to_owned();
    let is_obeyed = |c: char| c != '\n' && is_obeyed(c);
    let check = |state: &State, shows: bool| {
        let frame = text(&draw(state));
        assert!(!frame.contains(is_obeyed), "{frame:?}");
        assert!(!shows || frame.contains("a\\x1b[31m"), "{frame}");
    };
    check(&state, true);
    send(&mut state, Event::Loaded(Box::new(info.clone())));
    let started = Started {
        prompt: hostile.to_owned(),
        prompt_tokens: 400,
        max_new: 256,
        sampling: Default::default(),
        prefill_ms: 1.0,
        ttft_ms: 1.0,
        kept: false,
    };
    send(&mut state, Event::Started(Box::new(started)));
    for n in 1..=9 {
        let Event::Token(mut said) = token(&info, n, 399 + n) else { unreachable!("a token") };
        said.text = hostile.to_owned();
        let Event::Pair(mut both) = pair(&info, n, 399 + n) else { unreachable!("a pair") };
        for voice in [&mut both.a, &mut both.b].into_iter().flatten() {
            voice.text = hostile.to_owned();
            voice.top.iter_mut().for_each(|likely| likely.text = hostile.to_owned());
        }
        send(&mut state, Event::Pair(both));
        send(&mut state, Event::Token(said));
    }
    state.size = (160, 50);
    state.screens.text.editor.insert_str(hostile);
    for screen in Screen::ALL {
        state.screen = screen;
        for command in [Command::Log, Command::EditPrompt, Command::Palette] {
            act(&mut state, command);
            check(&state, false);
        }
        for format in ExportFormat::ALL.into_iter().filter(|format| *format != ExportFormat::Png) {
            // Pictures are of the map alone.
            if format.is_picture() && screen != Screen::Map {
                continue;
            }
            let made = String::from_utf8(export::make(&state, format).unwrap()).unwrap();
            assert!(!made.contains(is_obeyed), "{format:?} of {screen:?}: {made:?}");
        }
    }
}

#[test]
fn the_first_frame_says_what_is_loading() {
    let frame = text(&draw(&blank(ColorDepth::True)));
    assert!(frame.contains("loading demo") && frame.contains("loading 0 %"), "{frame}");
}

#[test]
fn too_small_a_terminal_says_what_is_needed() {
    let mut state = session(SMALL, ColorDepth::True);
    state.size = (50, 20);
    assert_eq!(text(&draw(&state)).lines().next(), Some("kscope needs 60x16, this is 50x20"));
}

#[test]
fn every_screen_draws_at_every_size_and_depth() {
    for shape in [
        SMALL,
        LARGE,
        Shape { layers: 80, kv_heads: 32, head_dim: 128 },
        Shape { layers: 1, kv_heads: 1, head_dim: 16 },
    ] {
        for depth in [ColorDepth::True, ColorDepth::Ascii] {
            for size in
                [(1, 1), (59, 16), (60, 16), (80, 24), (99, 17), (100, 30), (131, 41), (300, 100)]
            {
                let mut state = session(shape, depth);
                state.size = size;
                for screen in Screen::ALL {
                    for level in [Level::Model, Level::Layer] {
                        (state.screen, state.screens.map.level) = (screen, level);
                        for command in [
                            Command::Help,
                            Command::Palette,
                            Command::Find,
                            Command::Log,
                            Command::Panel,
                        ] {
                            act(&mut state, command);
                            let frame = text(&draw(&state));
                            let header = frame.lines().next().unwrap_or_default();
                            // Below the least size there is only a sentence, or its beginning.
                            let expected = match size.0 >= 60 && size.1 >= 16 {
                                true => header.contains("test-model"),
                                false => header.starts_with('k'),
                            };
                            assert!(expected, "{screen:?} {command:?} {size:?}:\n{frame}");
                            state.overlay = None;
                        }
                    }
                }
            }
        }
    }
}

/// The numbers of four digits or more before one of these units that have no separators.
fn bare_thousands(text: &str) -> Vec<String> {
    let bare = |unit: &str| -> Vec<String> {
        let before = text.match_indices(unit).map(|(at, _)| &text[..at]);
        let digits = before.map(|text| {
            let number = text.trim_end_matches(|letter: char| letter.is_ascii_digit());
            format!("{}{unit}", &text[number.len()..])
        });
        digits.filter(|number| number.len() >= 4 + unit.len()).collect()
    };
    [" tokens", " bytes", " tok/s"].into_iter().flat_map(bare).collect()
}

#[test]
fn thousands_have_separators_on_every_screen_and_in_the_summary() {
    assert_eq!(bare_thousands("8192 tokens, 8,192 bytes, 999 tok/s"), ["8192 tokens"]);
    let mut state = session(SMALL, ColorDepth::None);
    let info = info(SMALL);
    let started = state.run.started.clone().expect("the session has begun");
    send(&mut state, Event::Started(Box::new(Started { prompt_tokens: 7_000, ..started })));
    for n in 121..=160 {
        send(&mut state, pair(&info, n, 6_879 + n));
        send(&mut state, token(&info, n, 6_879 + n));
    }
    let mut seen = summary::text(&state);
    state.target_context = 16_384;
    for typed in ["", "context 16384", "sink 4096", "recent 2048", "chunk 1024", "fit 12MiB@8k"] {
        act(&mut state, Command::Palette);
        letters(&mut state, typed);
        seen += &text(&draw(&state));
        state.overlay = None;
    }
    for size in [(80, 24), (120, 40), (200, 60)] {
        state.size = size;
        for screen in Screen::ALL {
            for level in [Level::Model, Level::Layer] {
                (state.screen, state.screens.map.level) = (screen, level);
                seen += &text(&draw(&state));
            }
        }
    }
    assert_eq!(bare_thousands(&seen), [""; 0]);
    for number in ["prefill 7,000 tokens", "16,384 tokens", "first 4,096 tokens", "1,024 tokens"] {
        assert!(seen.contains(number), "{number}: {seen}");
    }
}

#[test]
fn plain_terminals_get_plain_characters() {
    for screen in Screen::ALL {
        let mut state = session(SMALL, ColorDepth::Ascii);
        state.screen = screen;
        let frame = text(&draw(&state));
        assert!(
            frame.is_ascii(),
            "{screen:?}: {:?}",
            frame.chars().filter(|c| !c.is_ascii()).collect::<Vec<_>>()
        );
        assert!(
            !frame.contains('?') || screen != Screen::Map || frame.matches('?').count() == 1,
            "only the help key: {frame}"
        );
    }
}

#[test]
fn why_a_run_failed_stays_in_sight() {
    let mut state = session(SMALL, ColorDepth::None);
    state.size = (80, 24);
    let sentence = "the GPU's memory is full";
    send(&mut state, Event::Failed { sentence: sentence.to_owned(), code: 1 });
    assert!(state.toast.take().is_some_and(|toast| toast.failed));
    let frame = text(&draw(&state));
    assert!(
        frame.contains("FAILED") && frame.contains(sentence) && frame.contains("help"),
        "{frame}"
    );
}

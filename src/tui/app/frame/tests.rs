//! Every screen, as text and colours.

use crate::decode::worker::event::Event;
use crate::mask::Shape;
use crate::tui::app::action::Command;
use crate::tui::color::ColorDepth;
use crate::tui::screen::Screen;
use crate::tui::screen::map::state::Level;
use crate::tui::testing::{LARGE, SMALL, act, blank, draw, send, session, text};

#[test]
fn the_help_and_the_palette() {
    for (name, command) in [("help", Command::Help), ("palette", Command::Palette)] {
        let mut state = session(SMALL, ColorDepth::None);
        act(&mut state, command);
        insta::assert_snapshot!(name, text(&draw(&state)));
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

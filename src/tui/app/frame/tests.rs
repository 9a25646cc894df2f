//! Every screen, as text and colours.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use crate::decode::worker::EngineOrder;
use crate::decode::worker::event::{Event, Started};
use crate::mask::Shape;
use crate::printable::is_obeyed;
use crate::tui::app::action::{Command, Effect};
use crate::tui::app::run::Phase;
use crate::tui::app::state::State;
use crate::tui::app::{splits, summary};
use crate::tui::color::{BUILT_IN, ColorDepth, Colormap, Palette, Role, Theme, contrast, rgb};
use crate::tui::export::{self, ExportFormat};
use crate::tui::screen::Screen;
use crate::tui::screen::map::state::Level;
use crate::tui::testing::{
    LARGE, SMALL, act, blank, draw, info, learned, learning, letters, lost, pair, send, session,
    text, token,
};

mod cut;
mod signs;

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
                                false => header.starts_with(['k', '…', '.']),
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
    assert!(state.toast.is_none(), "it is said once, and stays");
    let frame = text(&draw(&state));
    assert!(
        frame.contains("FAILED") && frame.contains(sentence) && frame.contains("help"),
        "{frame}"
    );
}

#[test]
fn a_theme_of_the_other_kind_than_the_terminal_paints_its_ground() {
    for (name, _) in BUILT_IN {
        for terminal_light in [false, true] {
            let mut state = session(SMALL, ColorDepth::True);
            let palette = Palette::built_in(name).expect("known");
            let ground = rgb(palette.ground);
            let differs = palette.is_light() != terminal_light;
            state.theme = Theme::of(ColorDepth::True, palette, Colormap::Viridis);
            state.terminal_light = terminal_light;
            for screen in Screen::ALL {
                state.screen = screen;
                let frame = draw(&state);
                let bare = frame.content.iter().filter(|cell| cell.bg == Color::Reset).count();
                let painted = frame.content.iter().filter(|cell| cell.bg == ground).count();
                let as_expected = if differs { bare == 0 && painted > 0 } else { bare > 0 };
                assert!(as_expected, "{name}, {terminal_light}, {screen:?}: {bare}, {painted}");
            }
        }
    }
}

#[test]
fn a_recording_shows_no_key_that_needs_a_model() {
    let mut state = session(SMALL, ColorDepth::None);
    state.size = (200, 60);
    state.replay = true;
    let footer = |state: &State| text(&draw(state)).lines().last().unwrap_or_default().to_owned();
    for screen in Screen::ALL {
        state.screen = screen;
        let shown = footer(&state);
        for row in state.keys.of(state.context()) {
            if row.works_in_recording() || row.label.is_empty() {
                continue;
            }
            let key = row.keys.first().expect("a key");
            let hint = format!("{key} {}  ", row.label);
            assert!(!shown.contains(&hint), "{screen:?} shows {hint}: {shown}");
        }
        assert!(shown.contains("pause") && shown.contains("? help"), "{screen:?}: {shown}");
    }
    // The same keys are there with a model.
    state.replay = false;
    state.screen = Screen::Learn;
    assert!(footer(&state).contains("s start"), "{}", footer(&state));
}

/// The largest rectangle of cells that show nothing, as columns and rows.
fn largest_blank(buffer: &Buffer, area: Rect) -> (u16, u16) {
    let is_blank = |x: u16, y: u16| {
        let cell = &buffer[(x, y)];
        cell.symbol() == " " && cell.bg == Color::Reset
    };
    let mut best = (0, 0);
    let mut heights = vec![0_u16; usize::from(area.width)];
    for y in area.top()..area.bottom() {
        for (at, height) in heights.iter_mut().enumerate() {
            *height = if is_blank(area.x + at as u16, y) { *height + 1 } else { 0 };
        }
        for start in 0..heights.len() {
            let mut least = u16::MAX;
            for (at, height) in heights.iter().enumerate().skip(start) {
                least = least.min(*height);
                let width = (at - start + 1) as u16;
                if u32::from(width) * u32::from(least) > u32::from(best.0) * u32::from(best.1) {
                    best = (width, least);
                }
            }
        }
    }
    best
}

/// The screens as they are at first and at work, by name.
fn rooms(shape: Shape) -> Vec<(String, State)> {
    let mut all = Vec::new();
    for screen in Screen::ALL {
        let mut state = session(shape, ColorDepth::True);
        // A text as long as a minute of speech.
        let info = info(shape);
        for n in 121..=600 {
            send(&mut state, pair(&info, n, 399 + n));
            send(&mut state, token(&info, n, 399 + n));
        }
        if let Some(started) = &mut state.run.started {
            started.prompt = "The harbour was quiet that morning, and the keeper ".repeat(300);
        }
        state.screen = screen;
        all.push((format!("{screen:?}"), state.clone()));
        match screen {
            Screen::Learn => {
                learning(&mut state, 60);
                all.push(("Learn while it learns".to_owned(), state.clone()));
                learned(&mut state);
            }
            Screen::Bench => {
                state.phase = Phase::Paused;
                act(&mut state, Command::PinRules);
                act(&mut state, Command::PinNamed);
                state.toast = None;
            }
            Screen::Eval => {
                act(&mut state, Command::Evaluate);
                state.toast = None;
            }
            _ => continue,
        }
        all.push((format!("{screen:?} at work"), state));
    }
    all
}

/// The parts that upright lines divide a screen into.
fn divided(state: &State) -> Vec<Rect> {
    let upright = splits::of(state).into_iter().filter(|divider| divider.is_upright);
    upright
        .flat_map(|divider| {
            let (line, (from, wide)) = (divider.line, divider.whole);
            let left = Rect { x: from, width: line.x - from, ..line };
            let right = Rect { x: line.right(), width: from + wide - line.right(), ..line };
            [left, right]
        })
        .collect()
}

/// A panel is about half of a screen, so a third of one is a sixth of the screen; where a line
/// divides it, it is what stands beside the line.
#[test]
fn no_screen_has_a_third_of_a_panel_empty() {
    let mut wrong = Vec::new();
    for (shape, size) in [SMALL, LARGE]
        .into_iter()
        .flat_map(|shape| [(120, 40), (200, 60)].map(|size| (shape, size)))
    {
        for (name, mut state) in rooms(shape) {
            state.size = size;
            // The engine answers what A/B asks it.
            let tick = crate::tui::app::action::Action::Tick(state.now_ms);
            let asked = crate::tui::app::update::update(&mut state, tick);
            for effect in asked {
                if let Effect::Engine(EngineOrder::Explain(asked)) = effect {
                    send(&mut state, lost(asked));
                }
            }
            let main = Rect::new(0, 2, size.0, size.1 - 4);
            let frame = draw(&state);
            let (width, height) = largest_blank(&frame, main);
            let share = f64::from(width) * f64::from(height)
                / (f64::from(main.width) * f64::from(main.height));
            if share >= 1.0 / 6.0 {
                wrong.push(format!(
                    "{name} at {size:?}, {shape}: {width}x{height} blank cells\n{}",
                    text(&frame)
                ));
            }
            for part in divided(&state) {
                let (width, height) = largest_blank(&frame, part);
                let blank = u32::from(width) * u32::from(height);
                if 3 * blank >= part.area() {
                    wrong.push(format!(
                        "{name} at {size:?}, {shape}: {width}x{height} blank cells of {part}\n{}",
                        text(&frame)
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} screens:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every text on every screen, in every theme, against its own ground.
#[test]
fn every_text_on_every_screen_is_legible_in_every_theme() {
    // Blocks, lines, dots and marks show quantities and borders, which are not read as text.
    let is_text = |symbol: &str| symbol.chars().all(|c| c.is_alphanumeric());
    for (name, _) in BUILT_IN {
        for screen in Screen::ALL {
            let mut state = session(SMALL, ColorDepth::True);
            let palette = Palette::built_in(name).expect("known");
            let ground = rgb(palette.ground);
            state.theme = Theme::of(ColorDepth::True, palette, Colormap::Viridis);
            (state.size, state.screen) = ((160, 50), screen);
            let frame = draw(&state);
            for (at, cell) in frame.content.iter().enumerate() {
                if !is_text(cell.symbol()) || cell.modifier.contains(Modifier::REVERSED) {
                    continue;
                }
                let over = |color, other| if color == Color::Reset { other } else { color };
                let own =
                    over(cell.fg, rgb(Palette::built_in(name).expect("known").color(Role::Text)));
                let found = contrast(own, over(cell.bg, ground));
                let (x, y) = (at % 160, at / 160);
                assert!(
                    found >= 4.5 || cell.symbol() == "ˣ" || cell.symbol() == "ₓ",
                    "{name}, {screen:?} at {x}, {y}: {:?} has {found:.2}",
                    cell.symbol()
                );
            }
        }
    }
}

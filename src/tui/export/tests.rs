//! Pictures of screens.

use crate::tui::app::action::Command;
use crate::tui::app::state::State;
use crate::tui::color::{BUILT_IN, ColorDepth, Palette, Theme, parts};
use crate::tui::export::{ExportFormat, make};
use crate::tui::graphics::Raster;
use crate::tui::screen::Screen;
use crate::tui::testing::{LARGE, SMALL, act, session};

/// A session in a theme. Its terminal may show less than a file can.
fn shown(theme: &str, depth: ColorDepth) -> State {
    let mut state = session(SMALL, depth);
    let palette = Palette::built_in(theme).expect("known");
    let colormap = palette.colormap;
    state.theme = Theme::of(depth, palette, colormap);
    state
}

fn svg(state: &State) -> String {
    String::from_utf8(make(state, ExportFormat::Svg).expect("a picture")).expect("text")
}

fn png(state: &State) -> Raster {
    Raster::from_png(&make(state, ExportFormat::Png).expect("a picture"))
}

/// The number of an attribute.
fn number(tag: &str, name: &str) -> Option<f32> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split_once('"')?.0.parse().ok()
}

/// Left end, right end and content of every text.
fn texts(svg: &str) -> Vec<(f32, f32, String)> {
    let one = |part: &str| {
        let (tag, rest) = part.split_once('>')?;
        let content = rest.split_once("</text>")?.0.to_owned();
        let (x, width) = (number(tag, "x")?, number(tag, "textLength")?);
        let left = match tag {
            tag if tag.contains("\"middle\"") => x - width / 2.0,
            tag if tag.contains("\"end\"") => x - width,
            _ => x,
        };
        Some((left, left + width, content))
    };
    svg.split("<text").skip(1).map(|part| one(part).expect("a text with a width")).collect()
}

#[test]
fn every_screen_has_a_picture_of_its_own_with_its_title_in_every_theme() {
    for (theme, _) in BUILT_IN {
        let mut seen = Vec::new();
        for screen in Screen::ALL {
            let mut state = shown(theme, ColorDepth::True);
            state.screen = screen;
            let picture = svg(&state);
            let ground = format!("fill=\"#{:06x}\"/>", state.theme.palette.ground);
            assert!(picture.lines().nth(1).is_some_and(|line| line.ends_with(&ground)), "{theme}");
            let all: String = texts(&picture).into_iter().map(|text| text.2 + " ").collect();
            assert!(all.contains("test-model · learned-50"), "{theme}, {screen:?}: {all}");
            assert!(!seen.contains(&all), "{screen:?} has the picture of another screen");
            seen.push(all);
        }
    }
}

#[test]
fn no_text_of_a_picture_is_cut_at_its_edges() {
    let long = "a-mask-with-a-rather-long-name-".repeat(6);
    for (shape, size) in
        [(SMALL, (60, 16)), (SMALL, (120, 40)), (LARGE, (80, 24)), (LARGE, (200, 60))]
    {
        for screen in Screen::ALL {
            let mut state = session(shape, ColorDepth::True);
            (state.size, state.screen) = (size, screen);
            if let Some(mask) = state.model.as_mut().and_then(|model| model.info.mask.as_mut()) {
                mask.label = long.clone();
            }
            let picture = svg(&state);
            let width = number(picture.lines().next().expect("a head"), "width").expect("a width");
            for (left, right, text) in texts(&picture) {
                assert!(
                    left >= 0.0 && right <= width + 0.5,
                    "{screen:?} at {size:?}: {text:?} from {left} to {right} of {width}"
                );
            }
        }
    }
}

#[test]
fn the_pixels_show_what_the_vectors_show() {
    for screen in [Screen::Map, Screen::Head, Screen::Bench] {
        for theme in ["dark", "light"] {
            // What a terminal without colours shows is no reason for a picture without them.
            let mut state = shown(theme, ColorDepth::None);
            state.screen = screen;
            let (picture, pixels) = (svg(&state), png(&state));
            let head = picture.lines().next().expect("a head");
            let size = ["width", "height"].map(|name| number(head, name).expect("a number"));
            let twice = size.map(|length| (2.0 * length).round() as isize);
            assert!((pixels.width as isize - twice[0]).abs() <= 2, "{screen:?}: {}", pixels.width);
            assert!(
                (pixels.height as isize - twice[1]).abs() <= 2,
                "{screen:?}: {}",
                pixels.height
            );
            let ground = state.theme.palette.ground;
            assert_eq!(pixels.at(0, 0), ground, "{screen:?} in {theme}");
            // In the band of the title there are letters, in tones between ground and ink.
            let (mut ink, mut tones) = (0, std::collections::HashSet::new());
            for y in 0..60 {
                for x in 0..pixels.width {
                    let color = pixels.at(x, y);
                    if color != ground {
                        ink += 1;
                        tones.insert(parts(color));
                    }
                }
            }
            assert!(ink > 400 && tones.len() > 8, "{screen:?} in {theme}: {ink}, {}", tones.len());
        }
    }
}

#[test]
fn every_channel_of_every_head_is_in_the_picture_of_the_map_and_the_layer_is_as_it_is_shown() {
    let mut state = session(LARGE, ColorDepth::True);
    let whole = svg(&state).matches("<rect").count();
    assert!(whole > LARGE.entries(), "{whole}");
    act(&mut state, Command::Open);
    let layer = texts(&svg(&state)).into_iter().map(|text| text.2).collect::<Vec<_>>().join(" ");
    assert!(layer.contains("L0"), "{layer}");
}

#[test]
fn blocks_and_lines_of_cells_are_shapes_that_meet() {
    let mut state = session(SMALL, ColorDepth::True);
    state.screen = Screen::Tune;
    let all: String = texts(&svg(&state)).into_iter().map(|text| text.2).collect();
    let left: Vec<char> = all
        .chars()
        .filter(|c| "─│█▀▄▌▐░▒▓".contains(*c) || ('\u{2800}'..='\u{28ff}').contains(c))
        .collect();
    assert_eq!(left, [], "drawn as letters");
}

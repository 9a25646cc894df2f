//! No number and no name on a screen is cut.

use crate::mask::{CachePlan, Shape};
use crate::model::additions::{LayerKind, Rotation};
use crate::tui::app::action::Command;
use crate::tui::app::frame::tests::rooms;
use crate::tui::app::state::State;
use crate::tui::app::table::Metric;
use crate::tui::color::ColorDepth;
use crate::tui::screen::Screen;
use crate::tui::screen::map::state::Level;
use crate::tui::testing::{
    LARGE, SMALL, act, draw, info, learned, learning, session, session_of, text,
};

/// Names as models and masks in use have them, with layers of two kinds.
fn long_names(shape: Shape) -> State {
    let mut info = info(shape);
    info.name = "SmolLM2-135M-Instruct".to_owned();
    info.dtype = "q8_0 + q5_0 + q4_k + q6_k + f32".to_owned();
    let local = LayerKind { window: Some(512), rotation: Rotation::Local };
    info.kinds = (0..shape.layers)
        .map(|layer| if layer % 6 == 5 { LayerKind::default() } else { local })
        .collect();
    if let Some(mask) = &mut info.mask {
        mask.label = "smollm2-135m-0.7".to_owned();
    }
    session_of(info, ColorDepth::None)
}

/// The states whose frames are looked at: every screen at first and at work, the map's layer, the
/// attention of a head, a learning at its end.
fn states(shape: Shape) -> Vec<(String, State)> {
    let mut all = rooms(shape);
    for screen in Screen::ALL {
        let mut state = long_names(shape);
        (state.screen, state.at.layer) = (screen, 1);
        all.push((format!("{screen:?} with long names"), state));
    }
    let mut state = long_names(shape);
    state.screens.map.level = Level::Layer;
    all.push(("Layer".to_owned(), state.clone()));
    state.metric = Metric::Live;
    state.model.as_mut().expect("loaded").live_from = (1_460, 123_456);
    all.push(("Live layer".to_owned(), state.clone()));
    state.metric = Metric::Mask;
    state.screen = Screen::Head;
    act(&mut state, Command::Open);
    all.push(("Attention".to_owned(), state));
    let mut state = session(shape, ColorDepth::None);
    learning(&mut state, 40);
    learned(&mut state);
    all.push(("Learned".to_owned(), state));
    let mut state = long_names(shape);
    let plan = CachePlan::named("k8v4", shape).expect("a plan");
    state.model.as_mut().expect("loaded").info.mask.as_mut().expect("a mask").plan = plan;
    all.push(("Map under a plan".to_owned(), state));
    all
}

#[test]
fn no_number_and_no_name_on_a_screen_is_cut() {
    let mut wrong = Vec::new();
    for shape in [SMALL, LARGE, Shape { layers: 30, kv_heads: 3, head_dim: 64 }] {
        for (name, state) in states(shape) {
            for size in [(60, 16), (80, 24), (120, 40), (200, 60)] {
                let mut state = state.clone();
                state.size = size;
                let frame = text(&draw(&state));
                // The end of a path says that it is one, and on small terminals a knob shows both ends
                // of a long name.
                let is_fair = |line: &str| {
                    line.contains("…/") || size.0 <= 80 && line.contains("SmolLM2-…Instruct")
                };
                let cut = frame.lines().filter(|line| line.contains('…') && !is_fair(line));
                wrong.extend(cut.map(|line| format!("{name}, {shape}, {size:?}: {line}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} lines:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_help_shows_its_texts_in_whole() {
    let known = "the row of the bench that others are compared with";
    for size in [(60, 16), (80, 24), (120, 40), (200, 60)] {
        let mut state = session(SMALL, ColorDepth::None);
        state.size = size;
        act(&mut state, Command::Help);
        let mut seen = String::new();
        // From top to bottom.
        for _ in 0..400 {
            let frame = text(&draw(&state));
            assert!(!frame.contains('…'), "{size:?}: {frame}");
            seen += &frame;
            act(&mut state, Command::Down);
        }
        // A sentence over several rows has the frame's edges in between.
        let words: Vec<&str> = seen.split_whitespace().filter(|word| *word != "│").collect();
        assert!(words.join(" ").contains(known), "{size:?}: {seen}");
    }
}

//! The map and its layer level.

mod widths;

use ratatui::crossterm::event::KeyCode;

use crate::decode::worker::EngineOrder as Order;
use crate::decode::worker::event::Event;
use crate::mask::Shape;
use crate::tui::app::action::{Command, Effect};
use crate::tui::app::areas;
use crate::tui::app::place::Place;
use crate::tui::app::state::{Overlay, State};
use crate::tui::app::table::{Metric, Scale};
use crate::tui::color::{ColorDepth, Colormap};
use crate::tui::screen::Screen;
use crate::tui::screen::map::layout;
use crate::tui::screen::map::state::Level;
use crate::tui::testing::{
    LARGE, SMALL, act, blank, draw, frames, info, key, letters, send, session, text,
};

fn ready() -> State {
    session(SMALL, ColorDepth::True)
}

#[test]
fn the_map() {
    for (name, dump) in frames("map", LARGE, |state| {
        for _ in 0..14 {
            act(state, Command::Down);
        }
        act(state, Command::Right);
    }) {
        insta::assert_snapshot!(name, dump);
    }
}

#[test]
fn a_layer() {
    for (name, dump) in frames("layer", SMALL, |state| {
        act(state, Command::Open);
        act(state, Command::Right);
        state.metric = Metric::Live;
    }) {
        insta::assert_snapshot!(name, dump);
    }
}

#[test]
fn small_models_fill_the_screen_as_well_as_large_ones() {
    for shape in [
        SMALL,
        Shape { layers: 30, kv_heads: 3, head_dim: 64 },
        LARGE,
        Shape { layers: 4, kv_heads: 1, head_dim: 32 },
    ] {
        let mut state = session(shape, ColorDepth::True);
        state.size = (120, 40);
        let main = areas::areas(&state).main;
        let grid = layout::grid(&state, main, shape);
        let (first, last) = (
            grid.strip_of(0, 0).expect("shown"),
            grid.strip_of(shape.layers - 1, shape.kv_heads - 1).expect("shown"),
        );
        let share = f32::from(last.right() - first.left()) * f32::from(last.bottom() - first.top())
            / (f32::from(main.width) * f32::from(main.height));
        assert!(share > 0.6, "{shape}: {share}");
    }
}

#[test]
fn a_dropped_head_is_told_by_shape_on_every_depth() {
    for depth in ColorDepth::ALL {
        let mut state = session(LARGE, depth);
        state.size = (200, 60);
        let mark = if depth == ColorDepth::Ascii { 'x' } else { '×' };
        let frame = text(&draw(&state));
        // One head in seven is dropped, with a mark in every second cell of each row. The legend
        // explains the mark once.
        assert!(frame.matches(mark).count() > 30, "{depth:?}");
        assert!(frame.contains("dropped head (36 of 256)"), "{frame}");
    }
}

#[test]
fn moving_stays_inside_the_model_and_tells_the_engine_where() {
    let mut state = ready();
    assert_eq!(key(&mut state, KeyCode::Up), []);
    let effects = key(&mut state, KeyCode::Down);
    assert_eq!(effects, [Effect::Engine(Order::Watch { layer: 1, head: 0 })]);
    act(&mut state, Command::Last);
    act(&mut state, Command::Down);
    act(&mut state, Command::Right);
    act(&mut state, Command::Right);
    assert_eq!((state.at.layer, state.at.head), (4, 1));
    act(&mut state, Command::First);
    act(&mut state, Command::HalfDown);
    assert_eq!(state.at.layer, 4);
}

#[test]
fn drilling_goes_in_and_comes_out_with_the_selection_kept() {
    let mut state = ready();
    act(&mut state, Command::Down);
    key(&mut state, KeyCode::Enter);
    assert_eq!((state.screen, state.screens.map.level), (Screen::Map, Level::Layer));
    act(&mut state, Command::Right);
    act(&mut state, Command::Down);
    assert_eq!(state.at, Place { layer: 1, head: 1, channel: 1 });
    key(&mut state, KeyCode::Enter);
    assert_eq!(state.screen, Screen::Head);
    act(&mut state, Command::Down);
    assert_eq!(state.at.channel, 33, "the partner");
    act(&mut state, Command::Last);
    assert_eq!(state.at.channel, 63);
    key(&mut state, KeyCode::Esc);
    key(&mut state, KeyCode::Esc);
    assert_eq!((state.screen, state.screens.map.level), (Screen::Map, Level::Model));
    assert_eq!(state.at, Place { layer: 1, head: 1, channel: 63 });
}

#[test]
fn metrics_scales_and_colours_cycle() {
    let mut state = ready();
    let mut seen = Vec::new();
    for _ in 0..5 {
        act(&mut state, Command::Metric);
        seen.push(state.metric);
    }
    assert_eq!(
        seen,
        [Metric::Importance, Metric::KeyNorm, Metric::Think, Metric::Live, Metric::Mask]
    );
    state.metric = Metric::Live;
    act(&mut state, Command::Scale);
    assert_eq!(
        (state.scale(), state.scales[Metric::Mask as usize]),
        (Scale::Rank, Scale::Linear),
        "each metric has its own"
    );
    act(&mut state, Command::Colormap);
    assert_eq!(state.theme.colormap, Colormap::Cividis);
}

#[test]
fn the_difference_to_the_second_mask_is_shown_and_left_by_the_next_metric() {
    use crate::tui::app::shader::Shader;
    use crate::tui::color::Shade;
    let mut state = ready();
    act(&mut state, Command::Diff);
    let shader = Shader::of(&state).expect("a map");
    let other = state.other.as_ref().expect("the session has a second mask");
    for channel in 0..SMALL.head_dim {
        let shade = shader.pool(1, 0, std::iter::once(channel));
        let (ours, theirs) =
            (shader.model.mask.head(1, 0)[channel], other.plan.mask().head(1, 0)[channel]);
        let wanted = match (ours, theirs) {
            (true, false) => 1.0,
            (false, true) => 0.0,
            _ => 0.5,
        };
        assert_eq!(shade, Shade::Difference(wanted));
    }
    assert_eq!(
        (shader.title().as_str(), shader.legend(1.0).as_str()),
        ("difference to slowest", "only mask")
    );
    act(&mut state, Command::Metric);
    assert!(!state.diff);
}

#[test]
fn metrics_without_numbers_are_passed_over() {
    let mut state = blank(ColorDepth::True);
    let mut dense = info(SMALL);
    (dense.mask, dense.other) = (None, None);
    send(&mut state, Event::Loaded(Box::new(dense)));
    assert_eq!(state.shown_metric(), None, "nothing to show before the prompt is read");
    act(&mut state, Command::Metric);
    act(&mut state, Command::Diff);
    assert!(!state.diff && state.toast.is_some());
}

#[test]
fn find_goes_from_head_to_head() {
    let mut state = session(LARGE, ColorDepth::True);
    key(&mut state, KeyCode::Char('/'));
    letters(&mut state, "dropped");
    assert!(matches!(state.overlay, Some(Overlay::Find(_))));
    key(&mut state, KeyCode::Enter);
    let first = (state.at.layer, state.at.head);
    assert_eq!(state.model.as_ref().unwrap().kept(first.0, first.1), 0);
    key(&mut state, KeyCode::Char('n'));
    assert_ne!((state.at.layer, state.at.head), first);
    key(&mut state, KeyCode::Char('N'));
    assert_eq!((state.at.layer, state.at.head), first);
    key(&mut state, KeyCode::Char('N'));
    assert!((state.at.layer, state.at.head) > first, "around the end");
}

#[test]
fn a_mark_is_jumped_to_and_swapped() {
    let mut state = ready();
    act(&mut state, Command::Mark);
    act(&mut state, Command::Down);
    assert_eq!(
        act(&mut state, Command::Jump),
        [Effect::Engine(Order::Watch { layer: 0, head: 0 })]
    );
    act(&mut state, Command::Jump);
    assert_eq!(state.at.layer, 1);
}

/// Rows of two layers once hid five of seven dropped heads.
#[test]
fn every_dropped_head_has_its_mark_where_layers_share_rows() {
    for shape in [LARGE, Shape { layers: 30, kv_heads: 3, head_dim: 64 }] {
        let mut state = session(shape, ColorDepth::True);
        state.size = (80, 24);
        let frame = draw(&state);
        let grid = layout::grid(&state, areas::areas(&state).main, shape);
        assert!(grid.lines.iter().any(|line| line.len() > 1), "{shape}: no row is shared");
        let model = state.model.as_ref().unwrap();
        let mut seen = 0;
        for layer in 0..shape.layers {
            for head in (0..shape.kv_heads).filter(|&head| model.kept(layer, head) == 0) {
                let strip = grid.strip_of(layer, head).expect("all layers are shown");
                let mut cells = (strip.left()..strip.right())
                    .flat_map(|x| (strip.top()..strip.bottom()).map(move |y| (x, y)));
                let is_mark = |at| ["×", "ˣ", "ₓ"].contains(&frame[at].symbol());
                assert!(cells.any(is_mark), "{shape}: layer {layer}, head {head}");
                seen += 1;
            }
        }
        assert!(seen > 5, "{shape}: {seen}");
    }
}

/// At 184 columns the panel once stood 21 columns right of the demo's strips.
#[test]
fn the_panel_stands_beside_the_strips_at_every_width() {
    for shape in [SMALL, LARGE, Shape { layers: 30, kv_heads: 3, head_dim: 64 }] {
        let mut state = session(shape, ColorDepth::None);
        for width in 100..=240 {
            state.size = (width, 40);
            let areas = areas::areas(&state);
            let side = areas.side.expect("shown");
            let grid = layout::grid(&state, areas.main, shape);
            let last = grid.strip_of(0, grid.heads.end - 1).expect("a strip");
            let gap = side.x - last.right();
            assert!(gap <= 4, "{gap} columns at {width}, {shape}");
        }
    }
}

/// At 80 columns the right third of the map of three KV heads was once empty, and the axis stood far
/// below its strips where those were few.
#[test]
fn what_strips_leave_shows_the_layers_and_the_axis_stands_below_them() {
    let shape = Shape { layers: 30, kv_heads: 3, head_dim: 64 };
    let mut state = session(shape, ColorDepth::None);
    state.size = (80, 24);
    let shown = text(&draw(&state));
    assert!(shown.contains("kept, by layer"), "{shown}");
    let bars = shown.lines().filter(|line| line.contains('─') && line.trim_end().ends_with('%'));
    assert!(bars.count() > 10, "{shown}");
    let few = Shape { layers: 4, kv_heads: 1, head_dim: 32 };
    for height in 16..40 {
        let mut state = session(few, ColorDepth::None);
        state.size = (80, height);
        let main = areas::areas(&state).main;
        let grid = layout::grid(&state, main, few);
        let last = grid.strip_of(few.layers - 1, 0).expect("a strip");
        let frame = text(&draw(&state));
        let axis = frame.lines().position(|line| line.contains("fast ")).expect("an axis");
        assert!(axis < usize::from(last.bottom()) + 2, "{height}: {frame}");
    }
}

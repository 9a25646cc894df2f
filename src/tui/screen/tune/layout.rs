//! Positions on the tune screen.

use std::ops::Range;

use ratatui::layout::Rect;

use crate::mask::Shape;
use crate::tui::app::areas::PANEL_FROM;
use crate::tui::app::splits::Divider;
use crate::tui::app::state::State;
use crate::tui::app::strips::window;

/// The parts of the tune screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tune {
    /// A sentence about sessions without a dense side.
    pub notice: Option<Rect>,
    /// The controls, title included.
    pub controls: Rect,
    /// Kept share or bytes per layer, title included.
    pub layers: Option<Rect>,
    /// The figures of the mask or plan in use, set and saved.
    pub effect: Rect,
    /// The plot with title, axes and read-out.
    pub plot: Option<Rect>,
}

/// Rows that all figures need, and the minimum on a small screen.
const EFFECT_ROWS: (u16, u16) = (22, 12);
/// Fewest rows in which a plot is useful.
const LEAST_PLOT: u16 = 7;
/// Columns left of the plot's points, and rows above and below them.
const PLOT_FRAME: (u16, u16, u16) = (9, 1, 3);

/// From this width on controls, layers and figures stand side by side.
const THREE_COLUMNS_FROM: u16 = 116;

/// The lines right of the controls and of the layers.
const CONTROLS: &str = "tune.controls";
const LAYERS: &str = "tune.layers";

/// The lines that can be moved.
pub fn splits(state: &State, main: Rect) -> Vec<Divider> {
    let areas = tune(state, main);
    let effect = Rect { height: areas.controls.height, ..areas.effect };
    let layers = areas.layers.filter(|layers| layers.x < effect.x);
    let whole = |right: Rect| Rect { width: effect.right() - right.x, ..right };
    let first = Divider::upright(CONTROLS, areas.controls, whole(layers.unwrap_or(effect)));
    std::iter::once(first).chain(layers.map(|at| Divider::upright(LAYERS, at, effect))).collect()
}

/// Divides the tune screen. A narrow screen shows the layers in place of the plot when the panel is
/// on.
pub fn tune(state: &State, main: Rect) -> Tune {
    let solo = state.model.as_ref().is_some_and(|model| model.info.solo);
    let notice = solo.then_some(Rect {
        x: main.x + 1,
        width: main.width.saturating_sub(2),
        height: 1.min(main.height),
        ..main
    });
    let top = u16::from(solo);
    let area = Rect {
        x: main.x + 1,
        y: main.y + top,
        width: main.width.saturating_sub(2),
        height: main.height.saturating_sub(top),
    };
    let wide = main.width >= THREE_COLUMNS_FROM;
    let left = match main.width {
        160.. => 44,
        PANEL_FROM.. => 36,
        _ => 31,
    };
    let left = state.split_columns(CONTROLS, area.width, left);
    let controls = Rect { width: left.min(area.width), ..area };
    let column = |x: u16, width: u16| Rect { x, width, ..area };
    let (layers, right) = if wide {
        let width = if main.width >= 160 { 40 } else { 24 };
        let rest = area.right().saturating_sub(controls.right() + 2);
        let width = state.split_columns(LAYERS, rest, width.min(rest));
        let layers = column(controls.right() + 2, width);
        (Some(layers), column(layers.right() + 2, area.right().saturating_sub(layers.right() + 2)))
    } else {
        (None, column(controls.right() + 1, area.right().saturating_sub(controls.right() + 1)))
    };
    let rows =
        if right.height >= EFFECT_ROWS.0 + LEAST_PLOT { EFFECT_ROWS.0 } else { EFFECT_ROWS.1 };
    let effect = Rect { height: rows.min(right.height), ..right };
    let below = Rect { y: effect.bottom(), height: right.height - effect.height, ..right };
    let plot = (below.height >= LEAST_PLOT).then_some(below);
    match (layers, plot) {
        (None, Some(below)) if state.shows_panel(false) => {
            Tune { notice, controls, layers: Some(below), effect, plot: None }
        }
        _ => Tune { notice, controls, layers, effect, plot },
    }
}

/// The area of the points, within that of the plot.
pub fn plot_points(plot: Rect) -> Rect {
    let (left, above, below) = PLOT_FRAME;
    Rect {
        x: plot.x + left.min(plot.width),
        y: plot.y + above,
        width: plot.width.saturating_sub(left),
        height: plot.height.saturating_sub(above + below),
    }
}

/// The controls that are shown below their title; the selected one is among them.
pub fn tune_controls(area: Rect, selected: usize, all: usize) -> Range<usize> {
    // Without the title and two status rows.
    window(selected, usize::from(area.height.saturating_sub(3)), all)
}

/// One row of the layers pane: a layer, or one of its heads.
pub type LayerRow = (usize, Option<usize>);

/// The rows below the title of the layers: with heads where all fit, or at least those of the
/// selected layer.
pub fn tune_layers(area: Rect, shape: Shape, selected: usize) -> Vec<LayerRow> {
    let room = usize::from(area.height.saturating_sub(1));
    let heads_of = |layer: usize| (0..shape.kv_heads).map(move |head| (layer, Some(head)));
    let with_heads = |shown: &dyn Fn(usize) -> bool| -> Vec<LayerRow> {
        let rows = |layer| {
            std::iter::once((layer, None)).chain(heads_of(layer).filter(move |_| shown(layer)))
        };
        (0..shape.layers).flat_map(rows).collect()
    };
    if shape.layers + shape.heads() <= room {
        with_heads(&|_| true)
    } else if shape.layers + shape.kv_heads <= room {
        with_heads(&|layer| layer == selected)
    } else {
        window(selected, room, shape.layers).map(|layer| (layer, None)).collect()
    }
}

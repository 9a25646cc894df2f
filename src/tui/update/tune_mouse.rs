//! The mouse on the tune screen: click selects, a second click on a point takes it, the wheel
//! changes the selected control.

use crate::tui::action::{Command, Effect};
use crate::tui::geometry;
use crate::tui::state::State;
use crate::tui::state::tune::Control;
use crate::tui::update::{navigate, run};
use crate::tui::widget::Scatter;

/// The wheel: over the layers it goes through them, elsewhere it changes the selected control.
pub fn wheel(state: &mut State, x: u16, y: u16, up: bool) -> Vec<Effect> {
    let areas = geometry::tune(state, geometry::areas(state).main);
    let over_layers = areas.layers.is_some_and(|area| area.contains((x, y).into()));
    let command = match (over_layers, up) {
        (true, true) => Command::PrevLayer,
        (true, false) => Command::NextLayer,
        (false, true) => Command::More,
        (false, false) => Command::Less,
    };
    run(state, command)
}

/// A press of the left button.
pub fn press(state: &mut State, x: u16, y: u16, is_double: bool) -> Vec<Effect> {
    let generation = state.run.generation;
    let areas = geometry::tune(state, geometry::areas(state).main);
    let (Some(model), Some(tuning)) = (&state.model, &mut state.tuning) else { return Vec::new() };
    let inside = |area: ratatui::layout::Rect| area.contains((x, y).into());
    if inside(areas.controls) {
        let shown =
            geometry::tune_controls(areas.controls, tuning.control as usize, Control::ALL.len());
        let row = usize::from((y - areas.controls.y).saturating_sub(1));
        if y > areas.controls.y && row < shown.len() {
            (tuning.control, tuning.cursor) = (Control::ALL[shown.start + row], None);
        }
    } else if let Some(area) = areas.layers.filter(|&area| inside(area)) {
        let before = state.at;
        let rows = geometry::tune_layers(area, model.shape(), state.at.layer);
        if let Some(&(layer, head)) =
            (y > area.y).then(|| rows.get(usize::from(y - area.y - 1))).flatten()
        {
            state.at.layer = layer;
            state.at.head = head.unwrap_or(state.at.head);
        }
        return navigate::watch(state, before);
    } else if let Some(area) = areas.plot.filter(|&area| inside(area)) {
        let plot = tuning.plot(model, state.target_context, generation);
        let Some(scatter) =
            Scatter::of(plot.x_range(), plot.y_range(), geometry::plot_points(area))
        else {
            return Vec::new();
        };
        let near = |spot: &crate::tui::state::tune::Spot| {
            let (px, py) = scatter.cell(spot.place.x, spot.place.y)?;
            let away = (px.abs_diff(x), py.abs_diff(y));
            (away.0 <= 1 && away.1 <= 1).then_some(away.0 + away.1)
        };
        let hit = plot.spots.iter().filter_map(|spot| Some((near(spot)?, spot.id))).min();
        if let Some((_, id)) = hit {
            tuning.cursor = Some(id);
            if is_double {
                return run(state, Command::Open);
            }
        }
    }
    Vec::new()
}

//! The mouse on the tune screen. A click selects, and a second click on a point takes its mask. The
//! wheel scrolls the list under it and never changes the mask.

use ratatui::layout::Rect;

use crate::tui::app::action::{Command, Effect};
use crate::tui::app::areas;
use crate::tui::app::dispatch::run;
use crate::tui::app::place::Place;
use crate::tui::app::state::State;
use crate::tui::screen::tune::layout;
use crate::tui::screen::tune::state::{Control, Spot};
use crate::tui::screen::{Press, Wheel};
use crate::tui::widget::Scatter;

/// The wheel moves through the layers or the controls; elsewhere it does nothing.
pub fn wheel(state: &State, wheel: Wheel) -> Option<Command> {
    let areas = layout::tune(state, areas::areas(state).main);
    let over = |area: Rect| area.contains((wheel.x, wheel.y).into());
    match (areas.layers.is_some_and(over), over(areas.controls), wheel.up) {
        (true, _, true) => Some(Command::PrevLayer),
        (true, _, false) => Some(Command::NextLayer),
        (false, true, true) => Some(Command::Up),
        (false, true, false) => Some(Command::Down),
        (false, false, _) => None,
    }
}

/// The layer or head under the mouse.
pub fn hovered(state: &State, x: u16, y: u16) -> Option<Place> {
    let shape = state.shape()?;
    let area = layout::tune(state, areas::areas(state).main).layers?;
    let row = usize::from(y.checked_sub(area.y + 1)?);
    let rows = layout::tune_layers(area, shape, state.at.layer);
    let &(layer, head) = rows.get(row).filter(|_| area.contains((x, y).into()))?;
    Some(Place { layer, head: head.unwrap_or(state.at.head), ..state.at })
}

/// A press of the left button.
pub fn press(state: &mut State, press: Press) -> Vec<Effect> {
    let Press { x, y, is_double } = press;
    let generation = state.run.generation;
    let areas = layout::tune(state, areas::areas(state).main);
    let (Some(model), Some(tuning)) = (&state.model, &mut state.screens.tune) else {
        return Vec::new();
    };
    let inside = |area: Rect| area.contains((x, y).into());
    if inside(areas.controls) {
        let shown =
            layout::tune_controls(areas.controls, tuning.control as usize, Control::ALL.len());
        let row = usize::from((y - areas.controls.y).saturating_sub(1));
        if y > areas.controls.y && row < shown.len() {
            (tuning.control, tuning.cursor) = (Control::ALL[shown.start + row], None);
        }
    } else if let Some(area) = areas.layers.filter(|&area| inside(area)) {
        let before = state.at;
        let rows = layout::tune_layers(area, model.shape(), state.at.layer);
        if let Some(&(layer, head)) =
            (y > area.y).then(|| rows.get(usize::from(y - area.y - 1))).flatten()
        {
            state.at.layer = layer;
            state.at.head = head.unwrap_or(state.at.head);
        }
        return state.watch(before);
    } else if let Some(area) = areas.plot.filter(|&area| inside(area)) {
        let plot = tuning.plot(model, state.target_context, generation);
        let Some(scatter) = Scatter::of(plot.x_range(), plot.y_range(), layout::plot_points(area))
        else {
            return Vec::new();
        };
        let near = |spot: &Spot| {
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

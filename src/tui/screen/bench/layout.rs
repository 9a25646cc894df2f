//! Where the parts of the screen are, and what the mouse does there.

use ratatui::layout::Rect;

use crate::tui::app::action::{Command, Effect};
use crate::tui::app::areas;
use crate::tui::app::splits::Divider;
use crate::tui::app::state::State;
use crate::tui::screen::bench::view;
use crate::tui::screen::{Press, Wheel};

/// Fewest rows of the screen that leave room for the plot below the table.
const PLOT_FROM: u16 = 17;
/// Fewest rows of the plot.
const LEAST_PLOT: u16 = 7;
/// Rows of the title of the table and of its columns.
const HEAD: u16 = 2;

/// The parts of the screen.
pub(super) struct BenchAreas {
    /// The table with its title.
    pub table: Rect,
    /// The plot, where there is room for it.
    pub plot: Option<Rect>,
}

/// The line below the table.
const TABLE: &str = "bench.table";

/// The lines that can be moved.
pub fn splits(state: &State, main: Rect) -> Vec<Divider> {
    let parts = view::areas(state, main);
    parts.plot.map(|plot| Divider::lying(TABLE, parts.table, plot)).into_iter().collect()
}

/// Rows of the table's place while nothing is pinned: what a pin is, and the keys.
const EMPTY: u16 = 9;

/// The area without a column at either side.
pub(super) fn inside(area: Rect) -> Rect {
    Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area }
}

/// The table above, with the `notes` lines that are said below its rows, and the plot below it. A
/// short table leaves the plot more.
pub(super) fn parts(
    state: &State,
    area: Rect,
    (rows, notes): (usize, usize),
    wants_plot: bool,
) -> BenchAreas {
    let area = inside(area);
    if !wants_plot || area.height < PLOT_FROM {
        return BenchAreas { table: area, plot: None };
    }
    let wanted = match rows {
        0 => EMPTY,
        rows => (rows.max(3) as u16).saturating_add(HEAD + 1),
    };
    // What is said of the rows comes before the plot.
    let height = wanted.min(area.height * 11 / 20) + notes as u16;
    if height + LEAST_PLOT > area.height {
        return BenchAreas { table: area, plot: None };
    }
    let height = state.split_rows(TABLE, area.height, height);
    let plot = Rect { y: area.y + height, height: area.height - height, ..area };
    BenchAreas { table: Rect { height, ..area }, plot: Some(plot) }
}

/// The first shown row, so that the selected one is among them.
pub(super) fn first_row(area: Rect, selected: usize) -> usize {
    let rows = usize::from(area.height.saturating_sub(HEAD));
    (selected + 1).saturating_sub(rows.max(1))
}

/// The area of the plot's points: its labels are on the left and below.
pub(super) fn points(area: Rect) -> Rect {
    Rect {
        x: area.x + 8,
        y: area.y + 1,
        width: area.width.saturating_sub(8),
        height: area.height.saturating_sub(4),
    }
}

/// The wheel moves through the rows.
pub fn wheel(state: &State, wheel: Wheel) -> Option<Command> {
    let area = view::areas(state, areas::areas(state).main).table;
    let command = if wheel.up { Command::Up } else { Command::Down };
    area.contains((wheel.x, wheel.y).into()).then_some(command)
}

/// A press selects a row; a second one uses it.
pub fn press(state: &mut State, press: Press) -> Vec<Effect> {
    let area = view::areas(state, areas::areas(state).main).table;
    if !area.contains((press.x, press.y).into()) || press.y < area.y + HEAD {
        return Vec::new();
    }
    let ids = view::shown_ids(state);
    let selected = state.screens.bench.selected;
    let at = ids.iter().position(|id| Some(*id) == selected).unwrap_or(0);
    let row = first_row(area, at) + usize::from(press.y - area.y - HEAD);
    let Some(&id) = ids.get(row) else { return Vec::new() };
    state.screens.bench.selected = Some(id);
    match press.is_double {
        true => super::update::update(state, Command::Open).unwrap_or_default(),
        false => Vec::new(),
    }
}

//! The pictures with real pixels that the current screen has, where the terminal shows them.

use ratatui::layout::Rect;

use crate::tui::app::state::{Overlay, State};
use crate::tui::color::ColorDepth;
use crate::tui::graphics::{Graphics, MOST_CELLS, PlacedPicture, Raster};
use crate::tui::screen::head::attention;
use crate::tui::screen::map::pixels;

/// Pixels of a cell: as high as twice as wide.
pub const CELL: (usize, usize) = (8, 16);

/// Whether there are pictures now.
pub fn are_shown(state: &State) -> bool {
    // A list over a picture would have to cut holes into it.
    let covered =
        state.overlay.as_ref().is_some_and(|overlay| !matches!(overlay, Overlay::Find(_)));
    // The number of a picture is a colour, which fewer colours would change.
    state.graphics != Graphics::Cells && state.theme.depth == ColorDepth::True && !covered
}

/// Whether a picture of these cells can be shown.
pub fn fits(area: Rect) -> bool {
    !area.is_empty() && area.width <= MOST_CELLS && area.height <= MOST_CELLS
}

/// What the current screen shows in pixels.
pub fn placed(state: &State) -> Vec<PlacedPicture> {
    pixels::picture(state).into_iter().chain(attention::pictures(state)).collect()
}

/// The pixels of one of them.
pub fn raster(state: &State, picture: PlacedPicture) -> Option<Raster> {
    match pixels::picture(state) {
        Some(map) if map == picture => pixels::raster(state),
        _ => attention::raster(state, picture),
    }
}

//! Positions of the bars on the head screen.

use std::ops::Range;

use ratatui::layout::Rect;

use crate::mask::Shape;
use crate::tui::app::areas::areas;
use crate::tui::app::place::Place;
use crate::tui::app::state::State;
use crate::tui::app::strips::{columns, pairs_at};

/// The pair chart of the head screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadChart {
    /// The bars.
    pub bars: Rect,
    /// Columns in use, a multiple of the pairs or a fraction of them.
    pub columns: u16,
    /// Rotation pairs.
    pub pairs: usize,
    /// Rows of an energy strip; 0 where there is no space.
    pub energy: u16,
}

/// Columns left of the bars.
pub const HEAD_LABEL: u16 = 8;
/// Rows below the bars without the energies: axis, wavelengths, two rows of mask.
const HEAD_BELOW: u16 = 4;

/// Positions of the bars on the head screen.
pub fn head_chart(state: &State, main: Rect, shape: Shape) -> HeadChart {
    let rest = main.height.saturating_sub(2 + HEAD_BELOW);
    let energy = match rest {
        18.. => 3,
        11.. => 2,
        _ => 0,
    };
    let wide = main.width.saturating_sub(HEAD_LABEL + 1);
    let (columns, _) = columns(wide, Shape { kv_heads: 1, ..shape }, state.screens.map.zoom.min(0));
    let height = rest.saturating_sub(2 * energy + u16::from(energy > 0));
    let bars = Rect { x: main.x + HEAD_LABEL, y: main.y + 2, width: columns.min(wide), height };
    HeadChart { bars, columns: columns.min(wide), pairs: shape.pairs(), energy }
}

impl HeadChart {
    /// Columns of one pair; 1 where several pairs share a column.
    pub fn per_pair(&self) -> u16 {
        (usize::from(self.columns) / self.pairs.max(1)).max(1) as u16
    }

    /// The pairs of a column.
    pub fn pairs_of(&self, column: u16) -> Range<usize> {
        pairs_at(self.pairs, self.columns, column)
    }

    /// The first column of a pair.
    pub fn column_of(&self, pair: usize) -> u16 {
        (pair * usize::from(self.columns) / self.pairs.max(1)) as u16
    }

    /// The pair under a cell of the bars or the rows below them.
    pub fn pair_at(&self, x: u16, y: u16) -> Option<usize> {
        let column = x.checked_sub(self.bars.x).filter(|&column| column < self.columns)?;
        (y >= self.bars.y).then(|| self.pairs_of(column).start)
    }
}

/// The pair under the mouse, in the half of the head that is selected.
pub fn hovered(state: &State, x: u16, y: u16) -> Option<Place> {
    let shape = state.shape()?;
    let main = areas(state).main;
    let chart = head_chart(state, main, shape);
    let pair = chart.pair_at(x, y).filter(|_| main.contains((x, y).into()))?;
    let half = if state.at.channel >= shape.pairs() { shape.pairs() } else { 0 };
    Some(Place { channel: pair + half, ..state.at })
}

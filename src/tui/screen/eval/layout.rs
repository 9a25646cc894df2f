//! Positions on the eval screen.

use ratatui::layout::Rect;

use crate::tui::app::areas::PANEL_FROM;
use crate::tui::app::splits::Divider;
use crate::tui::app::state::State;
use crate::tui::screen::eval::state::EvalField;

/// The parts of the eval screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvalAreas {
    /// The form, title included.
    pub form: Rect,
    /// Progress and the control.
    pub progress: Rect,
    /// Heat map, tables and lost samples.
    pub right: Rect,
}

/// The line right of the form.
const FORM: &str = "eval.form";

/// The lines that can be moved.
pub fn splits(state: &State, main: Rect) -> Vec<Divider> {
    let parts = parts(state, main);
    let left = Rect { height: main.height, ..parts.form };
    vec![Divider::upright(FORM, left, parts.right)]
}

/// Divides the eval screen.
pub fn parts(state: &State, main: Rect) -> EvalAreas {
    let area = Rect { x: main.x + 1, width: main.width.saturating_sub(2), ..main };
    let left = match main.width {
        PANEL_FROM.. => 38,
        _ => 27,
    };
    let left = state.split_columns(FORM, area.width, left);
    let left = Rect { width: left.min(area.width), ..area };
    let rows = (EvalField::ALL.len() as u16 + 1).min(left.height);
    let gap = u16::from(left.height > rows + 8);
    let progress =
        Rect { y: left.y + rows + gap, height: left.height.saturating_sub(rows + gap), ..left };
    let right =
        Rect { x: left.right() + 2, width: area.width.saturating_sub(left.width + 2), ..area };
    EvalAreas { form: Rect { height: rows, ..left }, progress, right }
}

impl EvalAreas {
    /// The field on a row of the form.
    pub fn field_at(&self, x: u16, y: u16) -> Option<EvalField> {
        let inside = self.form.contains((x, y).into());
        let row = usize::from(y.checked_sub(self.form.y + 1)?);
        EvalField::ALL.get(row).copied().filter(|_| inside)
    }
}

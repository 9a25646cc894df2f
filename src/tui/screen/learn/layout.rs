//! Positions on the learn screen.

use ratatui::layout::Rect;

use crate::learn::run::LearnMethod;
use crate::tui::app::areas::PANEL_FROM;
use crate::tui::app::splits::Divider;
use crate::tui::app::state::State;
use crate::tui::screen::learn::form::Field;

/// The parts of the learn screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learn {
    /// The form, title included.
    pub form: Rect,
    /// Progress.
    pub progress: Rect,
    /// Importance, curves and verdict.
    pub right: Rect,
}

/// The line right of the form.
const FORM: &str = "learn.form";

/// The lines that can be moved.
pub fn splits(state: &State, main: Rect) -> Vec<Divider> {
    let parts = learn(state, main);
    let left = Rect { height: main.height, ..parts.form };
    vec![Divider::upright(FORM, left, parts.right)]
}

/// Divides the learn screen.
pub fn learn(state: &State, main: Rect) -> Learn {
    let area = Rect { x: main.x + 1, width: main.width.saturating_sub(2), ..main };
    let left = match main.width {
        PANEL_FROM.. => 40,
        _ => 32,
    };
    let left = state.split_columns(FORM, area.width, left);
    let left = Rect { width: left.min(area.width), ..area };
    let rows = (Field::MOST as u16 + 1).min(left.height);
    let form = Rect { height: rows, ..left };
    let gap = u16::from(left.height > rows + 10);
    let progress = Rect {
        y: form.bottom() + gap,
        height: left.height - rows - gap.min(left.height - rows),
        ..left
    };
    let right =
        Rect { x: left.right() + 2, width: area.width.saturating_sub(left.width + 2), ..area };
    Learn { form, progress, right }
}

impl Learn {
    /// The field on a row of a method's form.
    pub fn field_at(&self, method: LearnMethod, x: u16, y: u16) -> Option<Field> {
        let inside = self.form.contains((x, y).into());
        let row = usize::from(y.checked_sub(self.form.y + 1)?);
        Field::of(method).get(row).copied().filter(|_| inside)
    }
}

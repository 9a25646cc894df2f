//! Points on two axes: along x linear, along y logarithmic.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::tui::paint::put;

/// Under a point that lies below the y axis.
pub const BELOW: &str = "↓";

/// One point.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// Along x.
    pub x: f64,
    /// Along y; `None` is drawn on the x axis, because there is no value yet.
    pub y: Option<f64>,
    /// Its glyph.
    pub glyph: &'static str,
    /// Its style.
    pub style: Style,
}

/// Draws a glyph where nothing else is drawn.
fn set_free(buffer: &mut Buffer, at: (u16, u16), glyph: &str, style: Style) {
    if buffer.area.contains(at.into()) && buffer[at].symbol() == " " {
        buffer[at].set_symbol(glyph).set_style(style);
    }
}

/// The axes of a plot within its area.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scatter {
    x: (f64, f64),
    y: (f64, f64),
    area: Rect,
}

impl Scatter {
    /// Axes over these ranges; `None` where there is no range or no space, or where `y` reaches 0,
    /// which has no logarithm.
    pub fn of(x: Option<(f64, f64)>, y: (f64, f64), area: Rect) -> Option<Self> {
        let x = x?;
        (x.1 > x.0 && y.0 > 0.0 && y.1 > y.0 && area.width > 1 && area.height > 1).then_some(Self {
            x,
            y,
            area,
        })
    }

    /// Whether a value lies below the y axis, as 0 always does.
    pub fn is_below(&self, y: f64) -> bool {
        // The end of the axis is a power of ten, to rounding.
        y < self.y.0 * (1.0 - 1e-9)
    }

    /// The cell of a point. A point below the range is in the lowest row of the points, one without
    /// y on the axis below them. `None` for NaN.
    pub fn cell(&self, x: f64, y: Option<f64>) -> Option<(u16, u16)> {
        let share = (x - self.x.0) / (self.x.1 - self.x.0);
        let column = (share.clamp(0.0, 1.0) * f64::from(self.area.width - 1)).round() as u16;
        let row = match y {
            None => self.area.height,
            Some(y) if y.is_nan() => return None,
            Some(y) => {
                let share =
                    if y > 0.0 { (y / self.y.0).ln() / (self.y.1 / self.y.0).ln() } else { 0.0 };
                self.area.height
                    - 1
                    - (share.clamp(0.0, 1.0) * f64::from(self.area.height - 1)).round() as u16
            }
        };
        share.is_finite().then_some((self.area.x + column, self.area.y + row))
    }

    /// The value at a share of the y axis, 0 at the bottom.
    pub fn y_at(&self, share: f64) -> f64 {
        self.y.0 * (self.y.1 / self.y.0).powf(share)
    }

    /// The rows that have a label and a line of the grid, from the top, with their values: both ends,
    /// and some between them where there is room.
    pub fn rows(&self) -> Vec<(u16, f64)> {
        let parts = match self.area.height {
            ..7 => 1,
            7..16 => 2,
            _ => 4,
        };
        let last = self.area.height - 1;
        let row = |part: u16| (f64::from(last) * f64::from(part) / f64::from(parts)).round() as u16;
        let value = |row: u16| self.y_at(1.0 - f64::from(row) / f64::from(last));
        (0..=parts).map(|part| (self.area.y + row(part), value(row(part)))).collect()
    }

    /// The columns that have a label and a line of the grid, from the left, with their values.
    pub fn columns(&self) -> Vec<(u16, f64)> {
        let parts = if self.area.width < 44 { 1 } else { 4 };
        let last = self.area.width - 1;
        let column =
            |part: u16| (f64::from(last) * f64::from(part) / f64::from(parts)).round() as u16;
        let value =
            |column: u16| self.x.0 + (self.x.1 - self.x.0) * f64::from(column) / f64::from(last);
        (0..=parts).map(|part| (self.area.x + column(part), value(column(part)))).collect()
    }

    /// Draws lines between the labels of both axes, where nothing else is drawn.
    pub fn grid(&self, style: Style, buffer: &mut Buffer) {
        self.lines(style, buffer);
        let Rect { y, height, .. } = self.area;
        for (column, _) in self.columns().into_iter().skip(1) {
            (y..y + height).for_each(|row| set_free(buffer, (column, row), "┊", style));
        }
    }

    /// Draws the lines of the labels of the y axis alone.
    pub fn lines(&self, style: Style, buffer: &mut Buffer) {
        let Rect { x, y, width, height } = self.area;
        for (row, _) in self.rows().into_iter().take_while(|(row, _)| row + 1 < y + height) {
            (x..x + width).for_each(|column| set_free(buffer, (column, row), "┄", style));
        }
    }

    /// Writes the values of the rows at the left of the plot, right-aligned at the axis, and those of
    /// the columns below it, as far as they do not touch. `left` are the columns before the axis.
    pub fn labels(
        &self,
        left: u16,
        down: impl Fn(f64) -> String,
        across: impl Fn(f64) -> String,
        style: Style,
        buffer: &mut Buffer,
    ) {
        let before = Rect {
            x: self.area.x.saturating_sub(left),
            width: left.saturating_sub(1),
            ..self.area
        };
        for (row, value) in self.rows() {
            let text = down(value);
            let wide = Span::raw(&text).width() as u16;
            let x = before.width.saturating_sub(wide);
            put(buffer, before, x, row - before.y, Line::styled(text, style));
        }
        let below = Rect { y: self.area.bottom() + 1, height: 1, ..self.area };
        let mut free = 0;
        let all = self.columns();
        let (last, end) = (all.len() - 1, self.area.width);
        let rightmost = all.last().map_or(0, |(_, value)| across(*value).chars().count() as u16);
        for (at, (column, value)) in all.into_iter().enumerate() {
            let text = across(value);
            let wide = Span::raw(&text).width() as u16;
            let own = column - self.area.x;
            let x = match at {
                0 => 0,
                at if at == last => end.saturating_sub(wide),
                _ => own.saturating_sub(wide / 2),
            };
            // The last one has its place before those between.
            let touches = at != last && x + wide + 2 > end.saturating_sub(rightmost);
            if x >= free && !touches {
                put(buffer, below, x, 0, Line::styled(text, style));
                free = x + wide + 2;
            }
        }
    }

    /// Joins places by a line of glyphs, where nothing else is drawn. Those below the y axis have
    /// none: where they are is not shown.
    pub fn join(&self, places: &[(f64, f64)], glyph: &str, style: Style, buffer: &mut Buffer) {
        let cells = places
            .iter()
            .filter(|at| !self.is_below(at.1))
            .filter_map(|&(x, y)| self.cell(x, Some(y)));
        let cells: Vec<(u16, u16)> = cells.collect();
        for pair in cells.windows(2) {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            let steps = x0.abs_diff(x1).max(y0.abs_diff(y1));
            let along = |from: u16, to: u16, step: u16| {
                let share = f64::from(step) / f64::from(steps.max(1));
                (f64::from(from) + (f64::from(to) - f64::from(from)) * share).round() as u16
            };
            for step in 1..steps {
                let at = (along(x0, x1, step), along(y0, y1, step));
                if buffer.area.contains(at.into()) && buffer[at].symbol() == " " {
                    buffer[at].set_symbol(glyph).set_style(style);
                }
            }
        }
    }

    /// Draws the axes and the points, later ones over earlier ones. A point below the y axis has an
    /// arrow under it.
    pub fn render(&self, marks: impl IntoIterator<Item = Mark>, axis: Style, buffer: &mut Buffer) {
        let Rect { x, y, width, height } = self.area;
        let left = x.saturating_sub(1);
        let mut set = |at: (u16, u16), glyph: &str, style: Style| {
            if buffer.area.contains(at.into()) {
                buffer[at].set_symbol(glyph).set_style(style);
            }
        };
        (y..y + height).for_each(|row| set((left, row), "│", axis));
        (x..x + width).for_each(|column| set((column, y + height), "─", axis));
        set((left, y + height), "└", axis);
        for mark in marks {
            if let Some(at) = self.cell(mark.x, mark.y) {
                set(at, mark.glyph, mark.style);
                if mark.y.is_some_and(|y| self.is_below(y)) {
                    set((at.0, y + height), BELOW, mark.style);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Rect = Rect { x: 3, y: 2, width: 11, height: 5 };

    #[test]
    fn points_stand_where_the_axes_say() {
        let plot = Scatter::of(Some((0.0, 10.0)), (1e-4, 1.0), AREA).expect("axes");
        assert_eq!(plot.cell(0.0, Some(1.0)), Some((3, 2)), "top left");
        assert_eq!(plot.cell(10.0, Some(1e-4)), Some((13, 6)), "bottom right");
        assert_eq!(plot.cell(5.0, Some(1e-2)), Some((8, 4)), "the middle of four decades");
        assert_eq!(plot.cell(5.0, Some(0.0)), Some((8, 6)), "no loss is the lowest row");
        assert_eq!(plot.cell(5.0, None), Some((8, 7)), "no number is the axis");
        assert_eq!(plot.cell(f64::NAN, Some(1.0)), None);
        assert!((plot.y_at(0.5) - 1e-2).abs() < 1e-12);
    }

    #[test]
    fn later_marks_cover_earlier_ones_and_the_axis_is_drawn() {
        let area = Rect::new(0, 0, 16, 9);
        let mut buffer = Buffer::empty(area);
        let plot = Scatter::of(Some((0.0, 10.0)), (1e-4, 1.0), AREA).expect("axes");
        let mark = |glyph| Mark { x: 5.0, y: Some(1e-2), glyph, style: Style::new() };
        plot.render([mark("a"), mark("b")], Style::new(), &mut buffer);
        assert_eq!(
            (buffer[(8, 4)].symbol(), buffer[(2, 7)].symbol(), buffer[(9, 7)].symbol()),
            ("b", "└", "─")
        );
    }

    #[test]
    fn a_point_below_the_axis_has_an_arrow_and_no_line() {
        let area = Rect::new(0, 0, 16, 9);
        let plot = Scatter::of(Some((0.0, 10.0)), (1e-4, 1.0), AREA).expect("axes");
        for (y, below) in [(0.0, true), (1e-9, true), (-1e-12, true), (1e-4, false), (0.5, false)] {
            let mut buffer = Buffer::empty(area);
            let mark = Mark { x: 5.0, y: Some(y), glyph: "a", style: Style::new() };
            plot.render([mark], Style::new(), &mut buffer);
            plot.join(&[(0.0, 1.0), (5.0, y)], "·", Style::new(), &mut buffer);
            let drawn =
                |glyph: &str| buffer.content.iter().filter(|cell| cell.symbol() == glyph).count();
            assert_eq!(drawn("a"), 1, "{y}");
            assert_eq!(buffer[(8, 7)].symbol() == BELOW, below, "{y}");
            assert_eq!(drawn("·") == 0, below, "{y}");
        }
    }

    #[test]
    fn ranges_without_extent_have_no_axes() {
        assert_eq!(Scatter::of(None, (1e-4, 1.0), AREA), None);
        assert_eq!(Scatter::of(Some((1.0, 1.0)), (1e-4, 1.0), AREA), None);
        assert_eq!(Scatter::of(Some((0.0, 1.0)), (0.0, 1.0), AREA), None);
        assert_eq!(Scatter::of(Some((0.0, 1.0)), (1e-4, 1.0), Rect { width: 1, ..AREA }), None);
    }
}

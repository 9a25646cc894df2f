//! A time series in braille dots: two columns and four rows of dots per cell.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// A filled curve over any number of values.
pub struct Chart<'a> {
    values: &'a [f64],
    highest: f64,
    style: Style,
}

impl<'a> Chart<'a> {
    /// A curve from 0 to the largest value.
    pub fn new(values: &'a [f64], style: Style) -> Self {
        let highest = values.iter().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
        Self { values, highest, style }
    }

    /// Raises the top of the scale.
    pub fn up_to(mut self, highest: f64) -> Self {
        self.highest = self.highest.max(highest);
        self
    }

    /// The value at the top.
    pub fn highest(&self) -> f64 {
        self.highest
    }

    /// Draws the curve; the newest value is at the right.
    pub fn render(&self, area: Rect, buffer: &mut Buffer) {
        let area = area.intersection(buffer.area);
        if area.is_empty() || self.values.is_empty() || self.highest <= 0.0 {
            return;
        }
        let (dots, rows) = (usize::from(area.width) * 2, u32::from(area.height) * 4);
        let shown = dots.min(self.values.len());
        let level = |dot: usize| {
            // The values are spread evenly over the columns; each column shows the mean of its
            // values.
            let (from, to) =
                (dot * self.values.len() / shown, (dot + 1) * self.values.len() / shown);
            let part = &self.values[from..to.max(from + 1)];
            let mean = part.iter().sum::<f64>() / part.len() as f64;
            ((mean / self.highest * f64::from(rows)).round() as u32).clamp(1, rows)
        };
        let first = dots - shown;
        for x in 0..usize::from(area.width) {
            let mut bits = vec![0_u8; usize::from(area.height)];
            for (side, column) in BITS.iter().enumerate() {
                let Some(dot) = (2 * x + side).checked_sub(first) else { continue };
                for height in 0..level(dot) as usize {
                    bits[height / 4] |= column[height % 4];
                }
            }
            for (cell, bits) in bits.iter().enumerate().filter(|(_, bits)| **bits != 0) {
                let y = area.bottom() - 1 - cell as u16;
                let glyph = char::from_u32(0x2800 + u32::from(*bits)).unwrap_or(' ');
                buffer[(area.x + x as u16, y)].set_char(glyph).set_style(self.style);
            }
        }
    }
}

/// Dots of a braille cell from below: left and right column.
const BITS: [[u8; 4]; 2] = [[0x40, 0x04, 0x02, 0x01], [0x80, 0x20, 0x10, 0x08]];

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(values: &[f64], width: u16) -> String {
        let area = Rect::new(0, 0, width, 1);
        let mut buffer = Buffer::empty(area);
        Chart::new(values, Style::new()).render(area, &mut buffer);
        (0..width).map(|x| buffer[(x, 0)].symbol().to_owned()).collect()
    }

    #[test]
    fn values_fill_from_the_right_and_many_are_averaged() {
        assert_eq!(draw(&[1.0, 4.0], 2), " \u{28f8}");
        assert_eq!(draw(&[4.0, 4.0, 4.0, 4.0, 2.0, 2.0, 2.0, 2.0], 1), "\u{28e7}");
        assert_eq!(draw(&[], 1), " ");
    }
}

//! A picture of shades: two pixels per cell as half blocks, or glyphs of growing weight where there
//! is no colour.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

use crate::tui::color::{Role, Shade, Theme};

/// A picture, `pixel(x, y)` with `y` counting half cells.
pub struct Heatmap<'a, F> {
    theme: &'a Theme,
    pixel: F,
    /// Whether the upper and the lower pixels are of something that is dropped.
    crossed: [bool; 2],
}

impl<'a, F: Fn(u16, u16) -> Shade> Heatmap<'a, F> {
    /// A picture whose pixels `pixel` gives.
    pub fn new(theme: &'a Theme, pixel: F) -> Self {
        Self { theme, pixel, crossed: [false; 2] }
    }

    /// Marks the whole picture as dropped, by crosses that cannot be mistaken for a colour.
    pub fn crossed(mut self, crossed: bool) -> Self {
        self.crossed = [crossed; 2];
        self
    }

    /// Marks the upper or the lower pixels as dropped, where they show different things.
    pub fn crossed_halves(mut self, top: bool, bottom: bool) -> Self {
        self.crossed = [top, bottom];
        self
    }

    /// Draws into every cell of `area`.
    pub fn render(&self, area: Rect, buffer: &mut Buffer) {
        let area = area.intersection(buffer.area);
        for y in 0..area.height {
            for x in 0..area.width {
                let (top, bottom) = ((self.pixel)(x, 2 * y), (self.pixel)(x, 2 * y + 1));
                let cell = &mut buffer[(area.x + x, area.y + y)];
                if self.theme.depth.has_map_colours() {
                    let (top, bottom) = (self.color(top), self.color(bottom));
                    if top == bottom {
                        // A space has no gaps between cells in any font, and a run of spaces is
                        // short to send.
                        cell.set_symbol(" ").set_style(Style::new().bg(top).fg(Color::Reset));
                    } else {
                        cell.set_symbol("▀").set_style(Style::new().fg(top).bg(bottom));
                    }
                } else {
                    cell.set_symbol(self.glyph(top, bottom)).set_style(Style::new());
                }
                let (mark, ground) = match self.crossed {
                    // One cell in six is enough to tell a head by, and leaves what is kept louder.
                    _ if !(x + 3 * (y % 2)).is_multiple_of(6) => continue,
                    [false, false] => continue,
                    [true, true] => ("×", self.theme.color(Role::Neutral)),
                    // The other half keeps its colour.
                    [true, false] => ("ˣ", self.color(bottom)),
                    [false, true] => ("ₓ", self.color(top)),
                };
                cell.set_symbol(mark);
                if self.theme.depth.has_map_colours() {
                    cell.set_style(Style::new().fg(self.theme.ink_on(ground)).bg(ground));
                }
            }
        }
    }

    fn color(&self, shade: Shade) -> Color {
        match shade {
            Shade::Share(share) => self.theme.ramp(share),
            Shade::Difference(share) => self.theme.diverging(share),
            Shade::Absent => self.theme.color(Role::Neutral),
        }
    }

    /// One glyph for two pixels.
    fn glyph(&self, top: Shade, bottom: Shade) -> &'static str {
        let ramp = self.theme.depth.ramp();
        match (top, bottom) {
            (Shade::Share(top), Shade::Share(bottom)) => step(ramp, (top + bottom) / 2.0),
            (Shade::Share(one), _) | (_, Shade::Share(one)) => step(ramp, one / 2.0),
            (Shade::Difference(top), Shade::Difference(bottom)) => match top + bottom {
                sum if sum > 1.0 => "+",
                sum if sum < 1.0 => "-",
                _ => " ",
            },
            _ => "·",
        }
    }
}

fn step(ramp: &[&'static str], share: f32) -> &'static str {
    // Everything above zero is visible: the first glyph, a blank, is only for zero.
    let last = ramp.len() - 1;
    if share <= 0.0 {
        ramp[0]
    } else {
        ramp[((share * last as f32).ceil() as usize).clamp(1, last)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::color::{ColorDepth, Colormap};

    fn draw(depth: ColorDepth, crossed: bool, pixel: impl Fn(u16, u16) -> Shade) -> Buffer {
        let theme = Theme::new(depth, false, Colormap::Grey);
        let area = Rect::new(0, 0, 3, 1);
        let mut buffer = Buffer::empty(area);
        Heatmap::new(&theme, pixel).crossed(crossed).render(area, &mut buffer);
        buffer
    }

    #[test]
    fn two_pixels_share_a_cell_and_equal_ones_are_a_blank() {
        let buffer = draw(ColorDepth::True, false, |x, y| {
            Shade::Share(if x == 0 { f32::from(y) } else { 1.0 })
        });
        assert_eq!(buffer[(0, 0)].symbol(), "▀");
        assert_eq!(
            (buffer[(0, 0)].fg, buffer[(0, 0)].bg),
            (Color::Rgb(20, 20, 20), Color::Rgb(252, 252, 252))
        );
        assert_eq!((buffer[(1, 0)].symbol(), buffer[(1, 0)].bg), (" ", Color::Rgb(252, 252, 252)));
    }

    #[test]
    fn without_colour_weight_tells_the_value_and_absence_has_its_own_glyph() {
        let shades = [Shade::Share(0.0), Shade::Share(1.0), Shade::Absent];
        let symbols = |depth| -> Vec<String> {
            let buffer = draw(depth, false, |x, _| shades[usize::from(x)]);
            (0..3).map(|x| buffer[(x, 0)].symbol().to_owned()).collect()
        };
        assert_eq!(symbols(ColorDepth::None), [" ", "█", "·"]);
        assert_eq!(symbols(ColorDepth::Ascii), [" ", "@", "·"]);
    }

    #[test]
    fn a_dropped_head_is_marked_by_shape_on_every_depth() {
        for depth in ColorDepth::ALL {
            let buffer = draw(depth, true, |_, _| Shade::Share(0.0));
            assert_eq!(buffer[(0, 0)].symbol(), "×");
        }
    }
}

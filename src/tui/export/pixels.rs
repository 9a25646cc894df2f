//! Pixels with lines and letters.

use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, PxScale, point};
use ratatui::text::Span;

use crate::Result;
use crate::tui::color::{Rgb, parts};
use crate::tui::export::canvas::LETTER;
use crate::tui::graphics::Raster;

/// The font of pictures.
fn font() -> &'static FontRef<'static> {
    static FONT: OnceLock<FontRef<'static>> = OnceLock::new();
    FONT.get_or_init(|| {
        FontRef::try_from_slice(epaint_default_fonts::HACK_REGULAR).expect("the font is whole")
    })
}

/// Red, green and blue, row by row.
pub struct Pixels {
    width: usize,
    height: usize,
    rgb: Vec<[u8; 3]>,
}

impl Pixels {
    /// Pixels of one colour.
    pub fn new(width: usize, height: usize, ground: Rgb) -> Self {
        Self { width, height, rgb: vec![parts(ground); width * height] }
    }

    /// The pixels as a PNG.
    ///
    /// # Errors
    /// When there are none.
    pub fn png(&self) -> Result<Vec<u8>> {
        let value = |[red, green, blue]: [u8; 3]| {
            u32::from(red) << 16 | u32::from(green) << 8 | u32::from(blue)
        };
        Raster::of(self.width, self.height, |x, y| value(self.rgb[y * self.width + x])).png()
    }

    /// Fills a rectangle, given by its corners; what is outside is left out.
    pub fn fill(&mut self, from: (f32, f32), to: (f32, f32), color: [u8; 3]) {
        let within = |value: f32, most: usize| (value.max(0.0) as usize).min(most);
        let (left, right) = (within(from.0, self.width), within(to.0, self.width));
        for y in within(from.1, self.height)..within(to.1, self.height) {
            if left < right {
                self.rgb[y * self.width + left..y * self.width + right].fill(color);
            }
        }
    }

    /// A line of one pixel and a half.
    pub fn line(&mut self, from: (f32, f32), to: (f32, f32), color: [u8; 3]) {
        let steps = (to.0 - from.0).abs().max((to.1 - from.1).abs()).ceil().max(1.0);
        for step in 0..=steps as usize {
            let share = step as f32 / steps;
            let (x, y) = (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share);
            self.mix(x as isize, y as isize, color, 1.0);
            self.mix(x as isize + 1, y as isize, color, 0.5);
        }
    }

    /// Letters from a place on, each in columns of its own; `at` is on the line that they stand on.
    /// A character that the font lacks is an empty box.
    pub fn text(&mut self, at: (f32, f32), text: &str, size: f32, color: [u8; 3], bold: bool) {
        let font = font();
        // The size of a text is that of its square, as in SVG; a scale counts the whole line.
        let units = font.units_per_em().unwrap_or(2048.0);
        let scale = PxScale::from(size * font.height_unscaled() / units);
        let mut x = at.0;
        for c in text.chars() {
            let columns = Span::raw(c.to_string()).width() as f32;
            let id = font.glyph_id(c);
            let places: &[f32] = if bold { &[0.0, 0.6] } else { &[0.0] };
            for shift in places {
                let glyph = id.with_scale_and_position(scale, point(x + shift, at.1));
                if let Some(outline) = font.outline_glyph(glyph) {
                    let corner = outline.px_bounds().min;
                    outline.draw(|dx, dy, share| {
                        let (x, y) =
                            (corner.x as isize + dx as isize, corner.y as isize + dy as isize);
                        self.mix(x, y, color, share);
                    });
                }
            }
            x += columns * size * LETTER;
        }
    }

    /// Mixes a colour into a pixel.
    fn mix(&mut self, x: isize, y: isize, color: [u8; 3], share: f32) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x >= self.width || y >= self.height {
            return;
        }
        let pixel = &mut self.rgb[y * self.width + x];
        for (own, new) in pixel.iter_mut().zip(color) {
            let mixed =
                f32::from(*own) + (f32::from(new) - f32::from(*own)) * share.clamp(0.0, 1.0);
            *own = mixed.round() as u8;
        }
    }
}

//! What pictures of screens are drawn on: rectangles, lines and text, as SVG or as pixels.

use std::fmt::Write;

use crate::printable::without_markup;
use crate::tui::color::{Rgb, parts};
use crate::tui::export::pixels::Pixels;
use crate::{Error, Result};

/// Width of a letter, as a share of the size of the text: that of the font and of those that take
/// its place.
pub const LETTER: f32 = 0.602;

/// Which point of a text its place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// Its left end.
    Start,
    /// Its middle.
    Middle,
    /// Its right end.
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextLook {
    /// Its size.
    pub size: f32,
    /// Its colour.
    pub color: Rgb,
    /// Whether it is bold.
    pub bold: bool,
    /// Which point of it its place is.
    pub anchor: Anchor,
}

/// Something to draw on. Places are from the upper left corner, in the picture's own unit.
pub trait Canvas {
    /// A filled rectangle: its corner and its size.
    fn rect(&mut self, at: (f32, f32), size: (f32, f32), color: Rgb);
    /// A line.
    fn line(&mut self, from: (f32, f32), to: (f32, f32), color: Rgb);
    /// A text; the second number of its place is the line that letters stand on.
    fn text(&mut self, at: (f32, f32), text: &str, look: TextLook);
}

/// Columns that a text takes at a size.
pub fn text_width(text: &str, size: f32) -> f32 {
    ratatui::text::Span::raw(text).width() as f32 * size * LETTER
}

/// A picture as SVG.
pub struct Svg {
    out: String,
}

impl Svg {
    /// An empty picture on a ground.
    pub fn new(size: (f32, f32), ground: Rgb) -> Self {
        let (width, height) = size;
        let mut svg = Self { out: String::new() };
        svg.add(format_args!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" font-family="Hack, 'DejaVu Sans Mono', Menlo, Consolas, monospace" shape-rendering="crispEdges" xml:space="preserve">"#
        ));
        svg.add(format_args!(r##"<rect width="100%" height="100%" fill="#{ground:06x}"/>"##));
        svg
    }

    fn add(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.out.write_fmt(line);
        self.out.push('\n');
    }

    /// The whole text of the picture.
    pub fn finish(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }
}

/// A number with no more digits than it needs.
fn short(number: f32) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Canvas for Svg {
    fn rect(&mut self, at: (f32, f32), size: (f32, f32), color: Rgb) {
        let [x, y, width, height] = [at.0, at.1, size.0, size.1].map(short);
        self.add(format_args!(
            r##"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="#{color:06x}"/>"##
        ));
    }

    fn line(&mut self, from: (f32, f32), to: (f32, f32), color: Rgb) {
        let [x, y, right, below] = [from.0, from.1, to.0, to.1].map(short);
        self.add(format_args!(
            r##"<path d="M{x} {y}L{right} {below}" stroke="#{color:06x}" stroke-width="1.5" fill="none" shape-rendering="auto"/>"##
        ));
    }

    fn text(&mut self, at: (f32, f32), text: &str, look: TextLook) {
        let anchor = match look.anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let bold = if look.bold { r#" font-weight="bold""# } else { "" };
        let [x, y, size] = [at.0, at.1, look.size].map(short);
        // Whatever font there is, the text is as wide as it is meant to be.
        let length = short(text_width(text, look.size));
        self.add(format_args!(
            r##"<text x="{x}" y="{y}" font-size="{size}"{bold}{anchor} fill="#{:06x}" textLength="{length}" lengthAdjust="spacingAndGlyphs">{}</text>"##,
            look.color,
            without_markup(text)
        ));
    }
}

/// A picture as pixels, at twice its unit.
pub struct Bitmap {
    pixels: Pixels,
}

/// Pixels of a unit.
const SCALE: f32 = 2.0;

impl Bitmap {
    /// An empty picture on a ground.
    ///
    /// # Errors
    /// For more pixels than anybody can look at.
    pub fn new(size: (f32, f32), ground: Rgb) -> Result<Self> {
        const MOST: f32 = 1e8;
        let (width, height) = ((size.0 * SCALE).ceil(), (size.1 * SCALE).ceil());
        if width * height > MOST {
            return Err(Error::run(format!(
                "a picture of {width:.0} x {height:.0} pixels is too large: svg has no such limit"
            )));
        }
        Ok(Self { pixels: Pixels::new(width as usize, height as usize, ground) })
    }

    /// The picture as a PNG.
    ///
    /// # Errors
    /// When it has no pixels.
    pub fn finish(self) -> Result<Vec<u8>> {
        self.pixels.png()
    }
}

impl Canvas for Bitmap {
    fn rect(&mut self, at: (f32, f32), size: (f32, f32), color: Rgb) {
        let [x, y, right, below] =
            [at.0, at.1, at.0 + size.0, at.1 + size.1].map(|place| (place * SCALE).round());
        self.pixels.fill((x, y), (right, below), parts(color));
    }

    fn line(&mut self, from: (f32, f32), to: (f32, f32), color: Rgb) {
        let scaled = |(x, y): (f32, f32)| (x * SCALE, y * SCALE);
        self.pixels.line(scaled(from), scaled(to), parts(color));
    }

    fn text(&mut self, at: (f32, f32), text: &str, look: TextLook) {
        let size = look.size * SCALE;
        let width = text_width(text, size);
        let x = at.0 * SCALE
            - match look.anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => width / 2.0,
                Anchor::End => width,
            };
        self.pixels.text((x, at.1 * SCALE), text, size, parts(look.color), look.bold);
    }
}

//! A picture as pixels.

use crate::tui::color::{Rgb, parts};
use crate::{Error, Result};

/// Pixels, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue of every pixel.
    rgb: Vec<u8>,
}

impl Raster {
    /// A picture whose pixels `pixel(x, y)` gives.
    pub fn of(width: usize, height: usize, mut pixel: impl FnMut(usize, usize) -> Rgb) -> Self {
        let mut rgb = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                rgb.extend(parts(pixel(x, y)));
            }
        }
        Self { width, height, rgb }
    }

    /// The colour of a pixel.
    pub fn at(&self, x: usize, y: usize) -> Rgb {
        let at = 3 * (y * self.width + x);
        let part = |offset: usize| u32::from(self.rgb[at + offset]);
        part(0) << 16 | part(1) << 8 | part(2)
    }

    /// The picture as a PNG.
    ///
    /// # Errors
    /// For a picture without pixels.
    pub fn png(&self) -> Result<Vec<u8>> {
        let failed = |cause: png::EncodingError| Error::run(format!("making a PNG: {cause}"));
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&self.rgb).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(bytes)
    }

    /// The picture of a PNG.
    #[cfg(test)]
    pub fn from_png(bytes: &[u8]) -> Self {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a PNG");
        let mut rgb = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut rgb).expect("a picture");
        assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
        Self { width: info.width as usize, height: info.height as usize, rgb }
    }
}

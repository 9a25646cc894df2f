//! The one module that knows colours: roles, colour maps, and the colour depths from 24-bit down to
//! plain ASCII.

mod depth;
mod lut;
mod palette;
mod shade;
#[cfg(test)]
mod tests;
mod theme;

pub use depth::{ColorDepth, of_256, parts};
pub use lut::{Colormap, DIVERGING, Rgb, STEPS};
pub use palette::{BUILT_IN, Palette};
pub use shade::{Shade, paint};
pub use theme::{Role, Theme, contrast, rgb};

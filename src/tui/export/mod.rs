//! Exports of the inspector: the screen's data as CSV or JSON, the map as SVG or PNG.

pub mod channels;
mod content;
mod picture;
mod sheet;
pub mod take;

pub use content::{ExportFormat, make, value};
pub use sheet::Sheet;

//! Exports of the inspector: the screen's data as CSV, JSON, Markdown or LaTeX, and pictures of
//! every screen as SVG or PNG.

mod canvas;
mod cells;
pub mod channels;
mod content;
mod picture;
mod pixels;
mod screen;
mod sheet;
pub mod take;
#[cfg(test)]
mod tests;

pub use content::{ExportFormat, make, value};
pub use sheet::{PrintedColumn, PrintedTable, Sheet, ShownAs};

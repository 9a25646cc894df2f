//! Widgets that do not know the state: pictures, bars and curves.

mod bars;
mod chart;
mod heatmap;
pub mod pane;
mod scatter;

pub use bars::{Bar, BarPart, columns, meter, stacked};
pub use chart::Chart;
pub use heatmap::Heatmap;
pub use scatter::{BELOW, Mark, Scatter};

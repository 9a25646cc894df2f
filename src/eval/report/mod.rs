//! Reports of an evaluation: one self-contained HTML file, and its tables.

mod html;
mod map;
mod plot;
pub mod stability;
pub mod tables;
mod worst;

pub use html::{Report, Speed, html};
pub use map::MapPicture;
pub use worst::{Worst, worst};

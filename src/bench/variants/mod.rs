//! Ways to make a mask, compared at equal bytes: each is repeated over seeds, and all masks are checked
//! on the same held-out windows of text and prompts. What is finished stays in a folder, from which an
//! interrupted run goes on.

// What others wrote must not be able to end the program.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod check;
mod cut;
mod file;
mod make;
mod results;
mod run;
mod table;
mod variant;

pub use check::VariantCheck;
pub use file::VariantFile;
pub use results::RESULTS;
pub use run::{VariantProgress, run};
pub use table::{PairedLoss, RecallFigures, VariantReport, VariantRow};
pub use variant::{LearnVariant, VariantCut, VariantTarget};

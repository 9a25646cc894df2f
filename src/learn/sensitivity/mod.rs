//! The sensitivity of every K channel and of every head's V: what each width is predicted to cost.
//!
//! The KLD's second order in Fisher form (as in optimal brain damage, LeCun et al. 1989): half of
//! the mean square of what an error does to the log-probability of a token drawn from the model's
//! own distribution.

mod iterate;
mod measure;
mod recipe;
mod settings;
pub mod worker;

pub use iterate::{CutInside, prune_in_rounds};
pub use measure::{MeasuredSensitivity, calibration_windows, measure};
/// The name of the rule on the command line, in recipes and in results.
pub const SENSITIVITY: &str = "sensitivity";

pub use recipe::{costliest_share, recipe};
pub use settings::{SensitivitySettings, SensitivityStep};

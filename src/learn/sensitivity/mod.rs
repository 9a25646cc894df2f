//! The sensitivity of every K channel and of every head's V: what each width is predicted to cost.
//!
//! The KLD's second order in Fisher form (as in optimal brain damage, LeCun et al. 1989): half of
//! the mean square of what an error does to the log-probability of a token drawn from the model's
//! own distribution.

mod measure;
mod recipe;
mod settings;
pub mod worker;

pub use measure::{MeasuredSensitivity, measure};
/// The name of the rule on the command line, in recipes and in results.
pub const SENSITIVITY: &str = "sensitivity";

pub use recipe::{costliest_share, recipe};
pub use settings::{SensitivitySettings, SensitivityStep};

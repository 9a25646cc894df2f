//! Which channels matter: importance and masks learned from text, training-free scores, and the
//! check.

pub mod check;
pub mod data;
pub mod engine;
pub mod estimate;
pub mod optim;
pub mod run;
pub mod score;
pub mod sensitivity;
pub mod train;
pub mod worker;

//! Which channels matter: importance from running text through a model.

pub mod check;
pub mod data;
pub mod engine;
pub mod estimate;
pub mod optim;
pub mod run;
pub mod score;
pub mod train;
pub mod worker;

//! Which channels matter: importance from running text through a model.

pub mod data;
pub mod engine;
pub mod optim;
pub mod score;
pub mod train;

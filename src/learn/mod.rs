//! Which channels matter: importance from running text through a model.

pub mod score;

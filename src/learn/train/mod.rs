//! The two stages: importance as real factors, then the binary mask, with a straight-through
//! gradient.

mod pool;
mod settings;
mod state;
mod trainer;

pub use pool::{Answer, Dense, Pool, Wanted, tokens_of};
pub use settings::{Settings, Variant};
pub use state::TrainState;
pub use trainer::{Stage, Trainer, Update};

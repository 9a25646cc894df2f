//! The background engine: one thread that loads a model and decodes, commands in, events out, both
//! over bounded channels.
//!
//! Every event carries the generation of the run that made it. A panic in the thread becomes an
//! event.

pub mod command;
mod engine;
pub mod event;
mod kept;
mod mailbox;
mod measurements;
mod outbox;
mod run;
mod setup;
mod sides;
mod statistics;
mod thread;
mod widths;

pub use crate::decode::lost::Asked;
pub use command::{Ask, EngineOrder, Prompt, Retune, Start, Trial};
pub use engine::Engine;
pub use event::{Envelope, Event};
pub use run::prompt_tokens;
pub use setup::{Loader, Setup};
pub use sides::STRETCH;

#[cfg(test)]
mod tests;

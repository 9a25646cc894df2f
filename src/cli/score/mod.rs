//! `kscope score`: importance by rules that need no training, and sensitivity.

mod command;
mod importance;
mod sensitivity;

pub use command::{ScoreArgs, run};

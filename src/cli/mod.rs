//! Arguments -> ready objects -> one command -> exit code.
//!
//! One file per command: its arguments as data (help, man page and completions are made from them)
//! and `run`, which turns them once into objects and calls the module that does the work.

pub mod args;
mod baked;
pub mod bench;
mod beside;
mod chat;
mod closed;
pub mod compare;
pub mod completions;
pub mod eval;
pub mod fetch;
mod help;
pub mod inspect;
pub mod learn;
mod look;
pub mod man;
pub mod mask;
mod model;
pub mod output;
pub mod plan;
mod program;
mod progress;
pub mod replay;
pub mod report;
pub mod run;
pub mod score;
pub mod selftest;
mod stop;
pub mod sweep;
mod table;
pub mod values;
mod warnings;
mod weak_steps;
mod widths;

pub use program::{Cli, main};

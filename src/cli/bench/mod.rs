//! `kscope bench`: how fast the program is on this machine.

mod attention;
mod command;
mod decode;
mod gpu;
mod learn;
#[cfg(unix)]
mod tui;

pub use command::{BenchArgs, run};

//! The inspector as a program, with and without a terminal.

mod plain;
#[cfg(target_os = "linux")]
mod pty;
#[cfg(target_os = "linux")]
mod resize;
#[cfg(target_os = "linux")]
mod terminal;

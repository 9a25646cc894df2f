//! The inspector from the outside, with a terminal and without one.

mod plain;
#[cfg(target_os = "linux")]
mod pty;
#[cfg(target_os = "linux")]
mod resize;

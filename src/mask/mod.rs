//! Channel masks as pure data: shapes, kept channels, importance, selection, statistics and files.
//!
//! A mask is always in rotate-half channel order and in the checkpoint's original KV-head order. This room knows no tensor
//! library, no model and no terminal.

mod channel_mask;
mod window;

pub use channel_mask::{ChannelMask, Shape};
pub use window::Window;

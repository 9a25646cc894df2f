//! `kscope mask`: show, make, import, export, compare and check channel masks.

mod allocate;
mod bake;
mod colors;
mod command;
mod convert;
mod diff;
mod geometry;
mod kvpress;
mod make;
mod map;
mod report;
mod show;
mod split;
mod validate;
mod values;

pub use command::{MaskArgs, run};

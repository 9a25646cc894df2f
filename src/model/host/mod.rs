//! The forward pass on the CPU, over weights in this process's memory.

pub(in crate::model) mod attention;
mod dot;
pub mod matrix;
pub mod ops;
mod storage;

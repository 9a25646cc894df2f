//! The forward pass on the CPU, over weights in this process's memory.

mod ahead;
mod attention;
mod backend;
mod dot;
mod extend;
pub mod feed;
pub mod linear;
pub mod matrix;
pub mod ops;
mod prefill;
pub mod quant;
pub mod routing;
mod step;
mod storage;
pub mod wide;

pub(in crate::model) use backend::HostBackend;
pub(in crate::model) use step::StepScratch;

//! Decoding: sampling, sessions of one prompt or a batch, comparisons of dense with pruned, and
//! their measurements.

pub mod attended;
pub mod baked;
pub mod comparison;
pub mod divergence;
pub(crate) mod follow;
pub mod looping;
pub mod lost;
pub mod moments;
pub mod replay;
pub mod sampler;
pub mod session;
pub mod sweep;
pub mod worker;

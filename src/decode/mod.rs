//! Decoding: sampling, sessions of one prompt or a batch, and what they measure.

pub mod sampler;
pub mod session;
pub mod worker;

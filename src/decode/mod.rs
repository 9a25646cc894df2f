//! Decoding: sampling, sessions of one prompt or a batch, dense against pruned, and what they
//! measure.

pub mod comparison;
pub mod divergence;
pub mod lost;
pub mod replay;
pub mod sampler;
pub mod session;
pub mod squares;
pub mod sweep;
pub mod worker;

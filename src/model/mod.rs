//! Decoder models: configuration, weights, tokenizer, rotary embedding and the forward pass.

pub mod activation;
pub mod additions;
pub mod arch;
pub(crate) mod backend;
pub(crate) mod branch;
mod buffers;
pub mod config;
pub mod decoder;
pub mod demo;
pub mod device;
pub mod fetch;
mod hooks;
pub mod host;
pub mod load;
mod loaded;
pub mod mixture;
pub mod observed;
pub mod rope;
pub mod rope_scaling;
mod rope_speeds;
pub mod served;
pub mod states;
mod times;
pub mod tokenizer;
pub mod weight_types;
pub mod weights;

pub use loaded::Model;

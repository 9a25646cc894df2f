//! Decoder models: configuration, weights, tokenizer, rotary embedding and the forward pass.

pub mod config;
mod dot;
pub mod load;
pub mod matrix;
pub mod rope;
pub mod weights;

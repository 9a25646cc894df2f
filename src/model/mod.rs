//! Decoder models: configuration, weights, tokenizer, rotary embedding and the forward pass.

pub mod config;
pub mod decoder;
mod dot;
pub mod load;
pub mod matrix;
mod ops;
mod prefill_attention;
pub mod rope;
pub mod tokenizer;
pub mod weights;

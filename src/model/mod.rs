//! Decoder models: configuration, weights, tokenizer, rotary embedding and the forward pass.

pub mod config;
pub mod decoder;
pub mod demo;
mod dot;
pub mod fetch;
pub mod load;
pub mod matrix;
pub mod ops;
mod prefill_attention;
pub mod rope;
pub mod rope_scaling;
pub mod rows;
pub mod storage;
pub mod tensor;
pub mod tokenizer;
pub mod weights;

use std::sync::Arc;

use self::config::Config;
use self::decoder::Decoder;
use self::tokenizer::Tokenizer;
use crate::element::Dtype;
use crate::{Result, machine};

/// A model in memory, ready to run.
#[derive(Debug)]
pub struct Model {
    /// What the model calls itself.
    pub name: String,
    /// Weights and forward pass.
    pub decoder: Decoder,
    /// Its tokenizer; a model of random weights has none and works on token ids.
    pub tokenizer: Option<Arc<Tokenizer>>,
}

impl Model {
    /// The configuration.
    pub fn config(&self) -> &Config {
        self.decoder.config()
    }

    /// Refuses caches that this machine has no memory for; `what` names them. A device says itself
    /// when its own does not suffice.
    pub fn check_cache_memory(&self, what: &str, bytes: usize) -> Result<()> {
        if self.decoder.is_on_host() { machine::check_memory(what, bytes as u64) } else { Ok(()) }
    }

    /// The text of a token by itself; its number where there is no tokenizer.
    pub fn token_text(&self, id: u32) -> String {
        self.tokenizer.as_ref().map_or_else(|| id.to_string(), |tokenizer| tokenizer.token_text(id))
    }

    /// Element type of the weights, as they were read.
    pub fn dtype(&self) -> Dtype {
        self.decoder.dtype()
    }
}

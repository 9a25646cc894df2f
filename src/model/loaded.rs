//! A model as the rest of the program holds it.

use std::sync::Arc;

use crate::element::Dtype;
use crate::model::config::Config;
use crate::model::decoder::Decoder;
use crate::model::tokenizer::Tokenizer;
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

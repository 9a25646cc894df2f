//! A loaded model.

use std::sync::Arc;

use crate::element::Dtype;
use crate::model::config::Config;
use crate::model::decoder::Decoder;
use crate::model::tokenizer::Tokenizer;
use crate::{Result, machine};

/// A model in memory, ready to run.
#[derive(Debug)]
pub struct Model {
    /// The model's name.
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

    /// Refuses caches that this machine has no memory for; `what` names them. A device reports by
    /// itself when its memory does not suffice.
    pub fn check_cache_memory(&self, what: &str, bytes: usize) -> Result<()> {
        if self.decoder.is_on_host() { machine::check_memory(what, bytes as u64) } else { Ok(()) }
    }

    /// The text of one token; its number where there is no tokenizer.
    pub fn token_text(&self, id: u32) -> String {
        self.tokenizer.as_ref().map_or_else(|| id.to_string(), |tokenizer| tokenizer.token_text(id))
    }

    /// Element type of the weights, as they were read.
    pub fn dtype(&self) -> Dtype {
        self.decoder.dtype()
    }
}

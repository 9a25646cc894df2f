//! A loaded model.

use std::sync::Arc;

use crate::model::config::Config;
use crate::model::decoder::Decoder;
use crate::model::tokenizer::Tokenizer;
use crate::model::weight_types::WeightTypes;
use crate::{Error, Result};

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

    /// Refuses caches that this machine, or the device that the model is on, has no memory for;
    /// `what` names them. A device's caches take somewhat more than these bytes: each one checks
    /// again before it grows.
    pub fn check_cache_memory(&self, what: &str, bytes: usize) -> Result<()> {
        self.decoder.check_memory(what, bytes as u64)
    }

    /// Refuses ids that the model has no embedding for: the first, with its text where a tokenizer
    /// knows it. Tokenizers may be larger than the embedding; only a token that is used matters.
    pub fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        let rows = self.config().vocab;
        let bad = tokens.iter().copied().find(|&id| id as usize >= rows);
        let known = self.tokenizer.as_ref().zip(bad).and_then(|(tokenizer, id)| {
            let text = tokenizer.token_text(id);
            (!text.is_empty()).then_some((id, text))
        });
        match known {
            Some((id, text)) => Err(Error::input(format!(
                "token {id} ({text:?}) is outside the model's vocabulary: its embedding has {rows} rows"
            ))),
            None => self.decoder.check_tokens(tokens),
        }
    }

    /// The text of one token; its number where there is no tokenizer.
    pub fn token_text(&self, id: u32) -> String {
        self.tokenizer.as_ref().map_or_else(|| id.to_string(), |tokenizer| tokenizer.token_text(id))
    }

    /// The types of the weights in memory, with the bytes of each.
    pub fn weight_types(&self) -> &WeightTypes {
        self.decoder.weight_types()
    }
}

//! The prompt of the last run, kept so that no other run with it reads it again.

use std::sync::Arc;

use super::event::Rules;
use crate::cache::{CacheSpec, SequenceCache};

/// What reading a prompt gave besides its keys and values.
#[derive(Debug, Clone)]
pub struct ReadPrompt {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Logits after the last of them, `[vocab]`.
    pub logits: Vec<f32>,
    /// Importance by the rules that need a text.
    pub rules: Option<Rules>,
    /// Time of the prefill, milliseconds.
    pub prefill_ms: f64,
    /// Time to the first token, milliseconds.
    pub ttft_ms: f64,
}

/// A prompt with its keys and values: dense ones, or pruned ones where the pruned side runs alone.
/// Beside a dense side it takes no memory of its own but the logits: the dense side of the run
/// before becomes it, and the next run's dense side is made of it.
#[derive(Debug)]
pub struct Kept {
    /// The prompt.
    pub prompt: ReadPrompt,
    /// Its keys and values, and no token after them.
    pub cache: SequenceCache,
}

impl Kept {
    /// What a run of these tokens begins with, if this prompt is theirs: the dense cache, or one as
    /// `alone` says for a pruned side without a dense one.
    pub fn serve(
        self,
        tokens: &[u32],
        alone: Option<&Arc<CacheSpec>>,
    ) -> Option<(ReadPrompt, SequenceCache)> {
        let Self { prompt, cache } = self;
        if prompt.tokens != tokens {
            return None;
        }
        let of = cache.spec();
        let cache = match alone {
            None => Some(cache).filter(|cache| cache.spec().is_dense()),
            Some(spec) if of == spec => Some(cache),
            // A mask that prunes further gives what another prefill would; codes of codes do not.
            Some(spec) if of.plan().is_mask() => cache.narrowed(Arc::clone(spec)).ok(),
            Some(_) => None,
        };
        Some((prompt, cache?))
    }
}

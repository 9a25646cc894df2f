//! One chunk through all caches at once.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::base::BaseRow;
use super::chunks::first_scored;
use crate::Result;
use crate::cache::{CacheSpec, SequenceCache};
use crate::decode::divergence::StepDivergence;
use crate::decode::sampler::{argmax, logprob};
use crate::model::Model;
use crate::model::decoder::{StepBuffers, with_quiet_hooks};

/// What one cache lost in one chunk, one value per scored position.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChunkLosses {
    /// The mask's name.
    pub mask: String,
    /// KL(base || mask) in nats.
    pub kld: Vec<f32>,
    /// Negative log-probability of the text's next token under the base, in nats.
    pub nll_base: Vec<f32>,
    /// The same under the mask.
    pub nll: Vec<f32>,
    /// `1` where both put the same token first, otherwise `0`.
    pub same: String,
}

/// What caches are compared with.
pub enum ChunkReference<'a> {
    /// The first cache, which is dense.
    Dense,
    /// Rows of a base-logits file, one per scored position.
    File(&'a mut dyn FnMut(usize) -> Result<BaseRow>),
}

/// Prefills the first half of a chunk, feeds the second half to every cache, and compares. `begin`
/// replaces the first token. `see` gets the dense logits and the next token at every scored
/// position.
pub fn measure(
    model: &Model,
    (names, specs): (&[String], &[Arc<CacheSpec>]),
    (chunk, begin): (&[u32], Option<u32>),
    mut reference: ChunkReference<'_>,
    see: &mut dyn FnMut(&[f32]) -> Result<()>,
) -> Result<Vec<ChunkLosses>> {
    model.check_tokens(chunk)?;
    let (vocab, first) = (model.config().vocab, first_scored(chunk.len()));
    let mut prompt = chunk[..first].to_vec();
    if let (Some(begin), Some(token)) = (begin, prompt.first_mut()) {
        *token = begin;
    }
    let mut dense = SequenceCache::with_capacity(Arc::clone(&specs[0]), chunk.len());
    with_quiet_hooks(|hooks| model.decoder.prefill(&prompt, &mut [&mut dense], hooks))?;
    let mut caches = specs
        .iter()
        .map(|spec| dense.retuned(Arc::clone(spec)))
        .collect::<Result<Vec<SequenceCache>>>()?;
    drop(dense);
    let mut buffers = StepBuffers::new(model.config(), specs.len());
    let mut losses: Vec<ChunkLosses> = names
        .iter()
        .map(|name| ChunkLosses { mask: name.clone(), ..ChunkLosses::default() })
        .collect();
    for (at, pair) in chunk[first..].windows(2).enumerate() {
        let mut all: Vec<&mut SequenceCache> = caches.iter_mut().collect();
        let tokens = vec![pair[0]; specs.len()];
        model.decoder.step(&tokens, &mut all, &mut buffers, &mut |_, _, _| ())?;
        see(buffers.logits_of(0, vocab))?;
        let row = match &mut reference {
            ChunkReference::Dense => None,
            ChunkReference::File(row) => Some(row(at)?),
        };
        for (index, losses) in losses.iter_mut().enumerate() {
            let logits = buffers.logits_of(index, vocab);
            let nll = -logprob(logits, pair[1]);
            let (kld, nll_base, same) = match &row {
                None => {
                    let base = buffers.logits_of(0, vocab);
                    let step = StepDivergence::of(base, logits, pair[1]);
                    (step.kld, -logprob(base, pair[1]), step.same_top)
                }
                Some(row) => {
                    let same = row.top() == argmax(logits);
                    (row.kld(logits), -row.log_p(pair[1]), same)
                }
            };
            losses.kld.push(kld as f32);
            losses.nll_base.push(nll_base);
            losses.nll.push(nll);
            losses.same.push(if same { '1' } else { '0' });
        }
    }
    Ok(losses)
}

//! What all follow-ups of a conversation share, before any token of them is read.

use crate::cache::SequenceCache;
use crate::decode::comparison::NO_ROOM;
use crate::model::Model;
use crate::model::decoder::PrefillHooks;
use crate::model::tokenizer::NextTurn;
use crate::numbers::count;
use crate::{Error, Result};

/// All tokens of a conversation with its next turn, up to the next answer: those before the last
/// answer, the answer without the end token that ended it, and what the turn adds. The cache holds
/// the beginning of it; the last token of an answer that was cut has not been fed yet, and is among
/// the rest.
pub fn history(before: &[u32], answer: &[u32], turn: &NextTurn) -> Vec<u32> {
    match turn.again {
        Some(_) => turn.tokens.clone(),
        None => [before, answer, &turn.tokens].concat(),
    }
}

/// Refuses a conversation of `tokens` tokens that leaves no room for an answer in the context.
pub fn check_room(tokens: usize, max_new: usize, context: usize) -> Result<()> {
    if max_new == 0 {
        return Err(Error::input("a turn needs an answer of at least one token, not 0"));
    }
    if tokens >= context {
        return Err(Error::input(format!(
            "the conversation with this turn has {} tokens and {NO_ROOM} of {}",
            count(tokens),
            count(context)
        )));
    }
    Ok(())
}

/// Refuses a conversation that these caches have no memory to grow to, answer included.
pub fn check_memory<'a>(
    model: &Model,
    caches: impl IntoIterator<Item = &'a SequenceCache>,
    tokens: usize,
    max_new: usize,
    context: usize,
) -> Result<()> {
    let reach = tokens.saturating_add(max_new).min(context);
    let grows = caches.into_iter().map(|cache| {
        let spec = cache.spec();
        let now = spec.bytes_at(cache.tokens()).total();
        spec.bytes_at(reach).total().saturating_sub(now)
    });
    let what = format!("a conversation that grows to {} tokens", count(reach));
    model.check_cache_memory(&what, grows.sum())
}

/// Prefills a whole conversation into empty caches; gives the logits after its last token.
pub fn read_again(
    model: &Model,
    history: &[u32],
    caches: &mut [&mut SequenceCache],
    hooks: PrefillHooks<'_>,
) -> Result<Vec<f32>> {
    let states = model.decoder.prefill(history, caches, hooks)?;
    model.decoder.logits(&states.last()?)
}

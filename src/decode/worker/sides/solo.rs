//! The pruned side without a dense one.

use std::sync::Arc;

use super::{Followed, name_of_silent, push, step_ms};
use crate::Result;
use crate::cache::{CacheSpec, SequenceCache};
use crate::decode::session::{NewToken, Request, Session};
use crate::decode::worker::event::{Event, StepMs, Token};
use crate::decode::worker::outbox::milliseconds;
use crate::model::Model;
use crate::model::decoder::{PrefillHooks, StepObserver, StepTimes};
use crate::model::tokenizer::{Conversation, Detokenizer};

/// The pruned side alone.
pub struct Solo {
    pub(super) session: Session,
    stream: Option<Detokenizer>,
    parts: StepTimes,
    /// Tokens of the answers before this one.
    pub(super) earlier: usize,
    /// The cache right after the prompt, where it costs next to nothing.
    pub(super) prompt: Option<SequenceCache>,
}

impl Solo {
    /// Prefills and reports the first token.
    ///
    /// With a kept prompt, the request's, nothing is prefilled.
    pub fn start(
        model: &Arc<Model>,
        spec: &Arc<CacheSpec>,
        request: Request,
        kept: Option<(SequenceCache, &[f32])>,
        hooks: PrefillHooks<'_>,
    ) -> Result<(Self, Vec<Event>)> {
        let stream = model.tokenizer.clone().map(Detokenizer::new);
        let (session, first) = match kept {
            Some((cache, logits)) => Session::resume(model, request, cache, logits)?,
            None => Session::start(Arc::clone(model), spec, request, false, hooks)?,
        };
        let cache = &session.sequences()[0].cache;
        // A device has nothing to share between the two.
        let prompt = cache.remote().is_none().then(|| cache.copied()).transpose()?;
        let mut solo = Self { session, stream, parts: StepTimes::default(), earlier: 0, prompt };
        let events = first.iter().map(|token| solo.token(token, None)).collect();
        Ok((solo, events))
    }

    pub(super) fn follow(
        &mut self,
        talk: &Conversation,
        text: &str,
        hooks: PrefillHooks<'_>,
    ) -> Result<Followed> {
        let sequence = &self.session.sequences()[0];
        let before = &sequence.tokens[..sequence.prompt_len];
        let (talk, turn) = talk.next(before, sequence.spoken(), text)?;
        let (said, cached) = (sequence.generated().len(), sequence.cache.tokens());
        let first = self.session.follow(&turn, hooks)?;
        self.earlier += said;
        self.stream = self.session.model().tokenizer.clone().map(Detokenizer::new);
        let all = self.session.sequences()[0].prompt_len;
        let read = if turn.again.is_some() { all } else { all - cached };
        let events = vec![self.token(&first, None)];
        Ok(Followed { talks: [talk.clone(), talk], read, again: turn.again, events })
    }

    pub(super) fn step(&mut self, observe: &mut StepObserver<'_>) -> Result<Vec<Event>> {
        let new = self.session.step(observe)?;
        let total = self.session.step_times.last().copied().unwrap_or_default();
        let (now, before) =
            (self.session.parts, std::mem::replace(&mut self.parts, self.session.parts));
        let parts = StepTimes {
            attention: now.attention - before.attention,
            projections: now.projections - before.projections,
            logits: now.logits - before.logits,
            rest: now.rest - before.rest,
        };
        Ok(new
            .iter()
            .map(|token| self.token(token, Some(step_ms(milliseconds(total), parts))))
            .collect())
    }

    pub(super) fn token(&mut self, token: &NewToken, step: Option<StepMs>) -> Event {
        let sequence = &self.session.sequences()[0];
        let is_end = self.session.model().config().eos.contains(&token.id);
        Event::Token(Box::new(Token {
            n: self.earlier + sequence.generated().len(),
            id: token.id,
            text: push(&mut self.stream, token.id, is_end),
            special: name_of_silent(self.session.model(), token.id, is_end),
            logprob: token.logprob,
            cached: sequence.cache.tokens(),
            kv: sequence.cache.bytes(),
            step,
        }))
    }
}

//! The sequence that a run decodes: the pruned side alone, or a dense side beside it.

mod solo;

use std::collections::HashMap;
use std::sync::Arc;

use super::event::{EARLIER_TURN, Event, Likely, Pair, StepMs, Token, Voice};
use super::outbox::milliseconds;
use crate::cache::{CacheSpec, SequenceCache};
use crate::decode::attended::{Attended, attended};
use crate::decode::comparison::{self, Comparison, Mode, Side, Sides};
use crate::decode::divergence::top;
use crate::decode::follow;
use crate::decode::lost::{Asked, Lost, lost};
use crate::decode::replay::{DenseStep, Recent};
use crate::decode::sampler::{Sampling, logprob};
use crate::decode::session::{Finish, Request};
use crate::model::Model;
use crate::model::decoder::{PrefillHooks, StepObserver, StepTimes};
use crate::model::tokenizer::{Conversation, Detokenizer, NextTurn};
use crate::numbers::count;
use crate::{Error, Result};

pub use solo::Solo;

/// Number of likeliest tokens reported per side.
const LIKELIEST: usize = 5;
/// Number of dense steps that masks are measured over.
pub const STRETCH: usize = 64;

/// A turn that was read.
pub struct Followed {
    /// The conversation with it, as each side has it.
    pub talks: [Conversation; 2],
    /// Tokens that the pruned side read.
    pub read: usize,
    /// Why the whole conversation was read again, where it was.
    pub again: Option<String>,
    /// The events of the answer's first token.
    pub events: Vec<Event>,
}

/// The sides of a run.
pub enum RunSides {
    /// The pruned side alone.
    Solo(Box<Solo>),
    /// Both sides.
    Pair(Box<Both>),
}

impl RunSides {
    /// The pruned side's cache.
    pub fn cache(&self) -> &SequenceCache {
        match self {
            Self::Solo(solo) => &solo.session.sequences()[0].cache,
            Self::Pair(both) => &both.comparison.b.caches[0],
        }
    }

    /// Why the run ended, once it has.
    pub fn finish(&self) -> Option<Finish> {
        match self {
            Self::Solo(solo) => solo.session.sequences()[0].finish,
            Self::Pair(both) => both.finish,
        }
    }

    /// Number of tokens generated so far, in all answers.
    pub fn generated(&self) -> usize {
        match self {
            Self::Solo(solo) => solo.earlier + solo.session.sequences()[0].generated().len(),
            Self::Pair(both) => both.told(),
        }
    }

    /// Reads another turn of the conversation. After an error nothing has changed.
    pub fn follow(
        &mut self,
        talks: &[Conversation; 2],
        text: &str,
        hooks: PrefillHooks<'_>,
    ) -> Result<Followed> {
        match self {
            Self::Solo(solo) => solo.follow(&talks[1], text, hooks),
            Self::Pair(both) => both.follow(talks, text, hooks),
        }
    }

    /// The logits of the last step; before the first step, those after the prompt.
    pub fn logits(&self) -> &[f32] {
        match self {
            Self::Solo(solo) => solo.session.last_logits(0),
            Self::Pair(both) => both.comparison.a.logits(0, both.comparison.model().config().vocab),
        }
    }

    /// The cache of the first `tokens` tokens, if that is the prompt that is still at hand: the
    /// dense one where there is one. Everything else of the run goes.
    pub fn into_prompt(self, tokens: &[u32]) -> Option<SequenceCache> {
        match self {
            Self::Solo(solo) => solo.prompt,
            Self::Pair(both) => {
                let Side { caches, prompts, .. } = both.comparison.into_dense();
                // A template that rewrote earlier turns may have rewritten the prompt.
                let is_its = prompts[0].starts_with(tokens);
                let mut cache = caches.into_iter().next().filter(|_| is_its)?;
                cache.truncate(tokens.len(), None).ok()?;
                Some(cache)
            }
        }
    }

    /// Both sides, where there are two.
    pub fn pair(&mut self) -> Option<&mut Both> {
        match self {
            Self::Solo(_) => None,
            Self::Pair(both) => Some(both),
        }
    }

    /// Both sides for reading, where there are two.
    pub fn as_pair(&self) -> Option<&Both> {
        match self {
            Self::Solo(_) => None,
            Self::Pair(both) => Some(both),
        }
    }

    /// Makes one step and gives its events.
    pub fn step(&mut self, observe: &mut StepObserver<'_>) -> Result<Vec<Event>> {
        match self {
            Self::Solo(solo) => solo.step(observe),
            Self::Pair(both) => both.step(observe),
        }
    }

    /// Changes how the next tokens are chosen and whether end tokens end the run; gives the sampling
    /// from then on.
    pub fn go_on(&mut self, sampling: Option<Sampling>, ignore_end: bool) -> Result<Sampling> {
        match self {
            Self::Solo(solo) => solo.session.go_on(sampling, ignore_end),
            Self::Pair(both) => {
                let sampling = both.comparison.resample(sampling)?;
                both.ignore_end = ignore_end;
                both.settle();
                Ok(sampling)
            }
        }
    }

    /// Gives the pruned side another mask or window.
    pub fn retune(&mut self, spec: &Arc<CacheSpec>) -> Result<()> {
        match self {
            Self::Solo(solo) => solo.session.narrow(spec),
            Self::Pair(both) => both.retune(spec),
        }
    }
}

/// A dense and a pruned side of one sequence, and the conditions that end them.
pub struct Both {
    /// The two sides.
    pub comparison: Comparison,
    /// The dense side's last steps.
    pub recent: Recent,
    max_new: usize,
    context: usize,
    ignore_end: bool,
    finish: Option<Finish>,
    /// Tokens of the answers before this one.
    earlier: usize,
    streams: [Option<Detokenizer>; 2],
    texts: HashMap<u32, String>,
}

impl Both {
    /// Prefills once and reports the first token. With a kept prompt, the request's, nothing is
    /// prefilled.
    pub fn start(
        model: &Arc<Model>,
        [dense, pruned]: [&Arc<CacheSpec>; 2],
        mode: Mode,
        request: Request,
        kept: Option<(SequenceCache, &[f32])>,
        hooks: PrefillHooks<'_>,
    ) -> Result<(Self, Vec<Event>)> {
        let model = Arc::clone(model);
        let Request { prompts, sampling, max_new, context, ignore_end, .. } = request;
        let context = context.min(model.config().max_context);
        let setup = comparison::ComparisonSetup {
            prompts,
            dense: Arc::clone(dense),
            pruned: Arc::clone(pruned),
            sampling,
            mode,
            context,
        };
        let comparison = match kept {
            Some((cache, logits)) => Comparison::resume(model, setup, cache, logits.to_vec())?,
            None => Comparison::start(model, setup, hooks)?,
        };
        let mut both = Self {
            comparison,
            recent: Recent::new(STRETCH),
            max_new,
            context,
            ignore_end,
            finish: None,
            earlier: 0,
            streams: [None, None],
            texts: HashMap::new(),
        };
        both.restream(0);
        both.settle();
        let events = both.tell(Sides::Both, true);
        Ok((both, events))
    }

    /// Tokens generated so far in all answers, as events count them.
    pub fn told(&self) -> usize {
        self.earlier + self.generated()
    }

    /// Tokens of this answer so far, on the side that has more.
    fn generated(&self) -> usize {
        let Comparison { a, b, .. } = &self.comparison;
        a.generated[0].len().max(b.generated[0].len())
    }

    /// Each side reads the turn through its own cache, after its own answer. If the template rewrites
    /// what one side has, both are read again, so that they stay comparable.
    fn follow(
        &mut self,
        talks: &[Conversation; 2],
        text: &str,
        hooks: PrefillHooks<'_>,
    ) -> Result<Followed> {
        let Comparison { a, b, .. } = &self.comparison;
        // B may have got A's text since its last turn.
        let of_b = if a.prompts == b.prompts { &talks[0] } else { &talks[1] };
        let ended = self.ended();
        let next = |side: &Side, talk: &Conversation, ended: bool| {
            let said = &side.generated[0][..side.generated[0].len() - usize::from(ended)];
            let (talk, turn) = talk.next(&side.prompts[0], said, text)?;
            let history = follow::history(&side.prompts[0], said, &turn);
            Ok::<_, Error>((talk, turn, history))
        };
        let (talk_a, turn_a, history_a) = next(a, &talks[0], ended[0])?;
        let (talk_b, NextTurn { again, .. }, history_b) = next(b, of_b, ended[1])?;
        let again = turn_a.again.or(again);
        let longest = history_a.len().max(history_b.len());
        follow::check_room(longest, self.max_new, self.context)?;
        follow::check_memory(
            self.comparison.model(),
            [&a.caches[0], &b.caches[0]],
            longest,
            self.max_new,
            self.context,
        )?;
        let cached = if again.is_some() { 0 } else { b.caches[0].tokens() };
        let (read, said) = (history_b.len() - cached, self.generated());
        self.comparison.follow([history_a, history_b], again.is_some(), hooks)?;
        self.earlier += said;
        self.recent = Recent::new(STRETCH);
        self.restream(0);
        self.settle();
        let events = self.tell(Sides::Both, true);
        Ok(Followed { talks: [talk_a, talk_b], read, again, events })
    }

    /// What a step of this answer lost.
    pub fn lost(&self, asked: Asked) -> Result<Lost> {
        Ok(Lost { asked, ..lost(&self.comparison, self.of_answer(asked)?)? })
    }

    /// The attention of a step of this answer, summed up by `each` positions.
    pub fn attended(&self, asked: Asked, each: usize) -> Result<Attended> {
        Ok(Attended { asked, ..attended(&self.comparison, self.of_answer(asked)?, each)? })
    }

    /// The step, counted within this answer.
    fn of_answer(&self, asked: Asked) -> Result<Asked> {
        if asked.n <= self.earlier {
            return Err(earlier_turn(asked.n));
        }
        if self.earlier > 0 && asked.n == self.earlier + 1 {
            return Err(Error::input(
                "the pass over the turn gave the first token of this answer: no single step did",
            ));
        }
        Ok(Asked { n: asked.n - self.earlier, ..asked })
    }

    fn step(&mut self, observe: &mut StepObserver<'_>) -> Result<Vec<Event>> {
        let sides = match self.ended() {
            [true, false] => Sides::B,
            [false, true] => Sides::A,
            _ => Sides::Both,
        };
        let fed = self.comparison.a.generated[0].last().copied().unwrap_or_default();
        self.comparison.step(sides, observe)?;
        if sides != Sides::B {
            let vocab = self.comparison.model().config().vocab;
            let a = &self.comparison.a;
            self.recent.push(DenseStep {
                fed,
                next: a.generated[0].last().copied().unwrap_or_default(),
                logits: a.logits(0, vocab).into(),
            });
        }
        self.settle();
        Ok(self.tell(sides, false))
    }

    fn is_end(&self, id: u32) -> bool {
        self.comparison.model().config().eos.contains(&id)
    }

    /// Whether each side has generated an end token.
    fn ended(&self) -> [bool; 2] {
        let Comparison { a, b, .. } = &self.comparison;
        [a, b].map(|side| {
            !self.ignore_end && side.generated[0].last().is_some_and(|&id| self.is_end(id))
        })
    }

    fn settle(&mut self) {
        let Comparison { a, b, .. } = &self.comparison;
        let (n, prompt) = (self.generated(), a.prompts[0].len().max(b.prompts[0].len()));
        self.finish = if self.ended() == [true, true] {
            Some(Finish::EndToken)
        } else if n >= self.max_new {
            Some(Finish::MaxNew)
        } else if prompt + n >= self.context {
            Some(Finish::Context)
        } else {
            None
        };
    }

    /// The events of the last step.
    fn tell(&mut self, sides: Sides, is_first: bool) -> Vec<Event> {
        let (n, vocab) = (self.told(), self.comparison.model().config().vocab);
        let a = (sides != Sides::B).then(|| self.voice(0, is_first));
        let b = (sides != Sides::A).then(|| self.voice(1, is_first));
        let divergence = match is_first {
            true => self.comparison.first,
            false => self.comparison.steps[0].last().copied().flatten(),
        };
        let side = &self.comparison.b;
        let token = b.as_ref().map(|voice| {
            Event::Token(Box::new(Token {
                n: self.earlier + side.generated[0].len(),
                id: voice.id,
                text: voice.text.clone(),
                special: voice.special.clone(),
                logprob: logprob(side.logits(0, vocab), voice.id),
                cached: side.caches[0].tokens(),
                kv: side.caches[0].bytes(),
                step: voice.ms.map(|ms| step_ms(ms, side.parts())),
            }))
        });
        [Event::Pair(Box::new(Pair { n, a, b, divergence }))].into_iter().chain(token).collect()
    }

    fn side(&self, index: usize) -> &Side {
        if index == 0 { &self.comparison.a } else { &self.comparison.b }
    }

    fn voice(&mut self, index: usize, is_first: bool) -> Voice {
        let vocab = self.comparison.model().config().vocab;
        let side = self.side(index);
        let id = *side.generated[0].last().expect("a first token from the prefill");
        let ms = side.step_times.last().filter(|_| !is_first).map(|&time| milliseconds(time));
        let (kv, likely) = (side.kv_bytes(), top(side.logits(0, vocab), LIKELIEST));
        let is_end = self.is_end(id);
        let top =
            likely.into_iter().map(|(id, p)| Likely { id, text: self.text_of(id), p }).collect();
        let special = name_of_silent(self.comparison.model(), id, is_end);
        Voice { id, text: push(&mut self.streams[index], id, is_end), special, ms, kv, top }
    }

    /// The text of one token, cached.
    fn text_of(&mut self, id: u32) -> String {
        let model = self.comparison.model();
        self.texts.entry(id).or_insert_with(|| model.token_text(id)).clone()
    }

    fn retune(&mut self, spec: &Arc<CacheSpec>) -> Result<()> {
        self.comparison.retune(spec)?;
        self.restream(self.generated());
        self.settle();
        Ok(())
    }

    /// Changes which tokens the pruned side is fed.
    pub fn feed(&mut self, mode: Mode) -> Result<()> {
        self.comparison.set_mode(mode)?;
        self.restream(self.generated());
        self.settle();
        Ok(())
    }

    /// Rewinds to this many generated tokens of all answers, within this answer.
    pub fn rewind(&mut self, told: usize) -> Result<()> {
        if self.earlier > 0 && told <= self.earlier {
            return Err(earlier_turn(told));
        }
        let generated = told - self.earlier;
        let before = self.comparison.a.generated[0].len();
        self.comparison.rewind(generated)?;
        self.recent.forget(before - self.comparison.a.generated[0].len());
        self.restream(self.generated());
        self.settle();
        Ok(())
    }

    /// Restarts the text streams and feeds them the first `told` generated tokens.
    fn restream(&mut self, told: usize) {
        for index in 0..2 {
            let mut stream = self.comparison.model().tokenizer.clone().map(Detokenizer::new);
            for &id in self.side(index).generated[0].iter().take(told) {
                push(&mut stream, id, self.is_end(id));
            }
            self.streams[index] = stream;
        }
    }
}

fn earlier_turn(n: usize) -> Error {
    Error::input(format!("token {} {EARLIER_TURN}", count(n)))
}

/// Text that this token completes; an end token is no text.
fn push(stream: &mut Option<Detokenizer>, id: u32, is_end: bool) -> String {
    stream.as_mut().filter(|_| !is_end).map(|stream| stream.push(id)).unwrap_or_default()
}

/// The name of a token that is no text: a special token, or an end token.
fn name_of_silent(model: &Model, id: u32, is_end: bool) -> Option<String> {
    let is_special = model.tokenizer.as_ref().is_some_and(|tokenizer| tokenizer.is_special(id));
    (is_special || is_end).then(|| model.token_text(id))
}

fn step_ms(total: f64, parts: StepTimes) -> StepMs {
    StepMs {
        total,
        attention: milliseconds(parts.attention),
        projections: milliseconds(parts.projections),
        logits: milliseconds(parts.logits),
        rest: milliseconds(parts.rest),
    }
}

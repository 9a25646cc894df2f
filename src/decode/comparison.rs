//! A/B: dense and pruned decode over the same weights and the same prefill.
//!
//! Side A keeps a dense cache, side B a pruned one. *Forced* mode feeds A's tokens to both, so
//! every step can be compared; *free* mode feeds each side its own, and steps are compared up to
//! the first token that differs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::{CacheSpec, SequenceCache};
use crate::decode::divergence::StepDivergence;
use crate::decode::follow;
use crate::decode::sampler::{Sampler, Sampling};
use crate::model::Model;
use crate::model::decoder::{PrefillHooks, StepBuffers, StepObserver, StepTimes};
use crate::numbers::count;
use crate::{Error, Result};

/// The tokens that side B is fed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A's tokens.
    #[default]
    Forced,
    /// B's own tokens.
    Free,
}

/// The sides that make a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    /// Both sides; the only choice in forced mode.
    Both,
    /// The dense side, because the pruned one has ended.
    A,
    /// The pruned side, because the dense one has ended.
    B,
}

/// Settings of a comparison.
#[derive(Debug, Clone)]
pub struct ComparisonSetup {
    /// Token ids of each prompt.
    pub prompts: Vec<Vec<u32>>,
    /// Side A's cache.
    pub dense: Arc<CacheSpec>,
    /// Side B's cache.
    pub pruned: Arc<CacheSpec>,
    /// How tokens are chosen; sequence `i` draws with `seed + i`.
    pub sampling: Sampling,
    /// Which tokens B is fed.
    pub mode: Mode,
    /// Largest context, prompt included; the model's own where it is smaller.
    pub context: usize,
}

impl ComparisonSetup {
    /// Refuses prompts without room for a token after them, and sampling that cannot be.
    fn check(&self, model: &Model) -> Result<()> {
        self.sampling.check()?;
        let context = self.context.min(model.config().max_context);
        self.prompts.iter().try_for_each(|prompt| check_room(prompt.len(), context))
    }
}

/// What is said of tokens that leave no room for another one.
pub const NO_ROOM: &str = "leaves no room in the context";

/// Refuses a prompt of `tokens` tokens that leaves no room for a token in the context.
pub fn check_room(tokens: usize, context: usize) -> Result<()> {
    if tokens < context {
        return Ok(());
    }
    Err(Error::input(format!(
        "a prompt of {} tokens {NO_ROOM} of {}",
        count(tokens),
        count(context)
    )))
}

/// One side of a comparison, all sequences of it.
#[derive(Debug)]
pub struct Side {
    /// Keys and values of each sequence.
    pub caches: Vec<SequenceCache>,
    /// The tokens before the generated ones: prompts, or whole conversations. In free mode a
    /// conversation holds this side's own answers.
    pub prompts: Vec<Vec<u32>>,
    /// Generated tokens of each sequence, the first from the prefill; the last has not been fed
    /// yet.
    pub generated: Vec<Vec<u32>>,
    /// This side's own compute time of each step.
    pub step_times: Vec<Duration>,
    samplers: Vec<Sampler>,
    buffers: StepBuffers,
}

impl Side {
    /// Time of the last step by part.
    pub fn parts(&self) -> StepTimes {
        self.buffers.times
    }

    /// Logits of one sequence: of the last step, or of the prefill before the first.
    pub fn logits(&self, sequence: usize, vocab: usize) -> &[f32] {
        self.buffers.logits_of(sequence, vocab)
    }

    /// Bytes stored now, all sequences.
    pub fn kv_bytes(&self) -> usize {
        self.caches.iter().map(|cache| cache.bytes().total()).sum()
    }
}

/// A comparison in progress.
#[derive(Debug)]
pub struct Comparison {
    model: Arc<Model>,
    mode: Mode,
    /// The dense side.
    pub a: Side,
    /// The pruned side.
    pub b: Side,
    /// Divergence of each step, per sequence; `None` in free mode where the texts already differ.
    /// The first new token comes from the exact prefill and is left out, so entry `i` belongs to
    /// generated token `i + 1`.
    pub steps: Vec<Vec<Option<StepDivergence>>>,
    /// Divergence of the first token of an answer that follows on earlier turns: the pruned side
    /// read the last turn through its own cache. `None` for a first answer.
    pub first: Option<StepDivergence>,
    /// Time of the prefill.
    pub prefill_time: Duration,
    context: usize,
}

impl Comparison {
    /// Prefills once and fills both sides; afterwards both hold the same first token.
    pub fn start(
        model: Arc<Model>,
        setup: ComparisonSetup,
        hooks: PrefillHooks<'_>,
    ) -> Result<Self> {
        setup.check(&model)?;
        let began = Instant::now();
        let all = setup.prompts.len() as f32;
        let mut read = Vec::with_capacity(setup.prompts.len());
        for (i, prompt) in setup.prompts.iter().enumerate() {
            let empty = |spec| SequenceCache::with_capacity(Arc::clone(spec), prompt.len());
            let (mut a, mut b) = (empty(&setup.dense), empty(&setup.pruned));
            let hooks = PrefillHooks {
                chunk: hooks.chunk,
                progress: &mut |share| (hooks.progress)((i as f32 + share) / all),
                keep_going: hooks.keep_going,
                observe: hooks.observe,
            };
            let states = model.decoder.prefill(prompt, &mut [&mut a, &mut b], hooks)?;
            let logits = model.decoder.logits(&states.last()?)?;
            read.push(([a, b], logits));
        }
        Ok(Self::after(model, setup, read, began))
    }

    /// The same beginning without a prefill: `prompt` is a dense cache of the one prompt, and
    /// `logits` those after its last token.
    ///
    /// # Errors
    /// For a batch, for a cache of other tokens than the prompt's, and where B's cache cannot be
    /// gathered from it.
    pub fn resume(
        model: Arc<Model>,
        setup: ComparisonSetup,
        prompt: SequenceCache,
        logits: Vec<f32>,
    ) -> Result<Self> {
        setup.check(&model)?;
        let began = Instant::now();
        if setup.prompts.len() != 1 || setup.prompts[0].len() != prompt.tokens() {
            return Err(Error::run("a kept cache is that of one prompt, and of all its tokens"));
        }
        let pruned = prompt.retuned(Arc::clone(&setup.pruned))?;
        Ok(Self::after(model, setup, vec![([prompt, pruned], logits)], began))
    }

    /// A comparison right after its prompts: caches of both sides, and the logits after each.
    fn after(
        model: Arc<Model>,
        setup: ComparisonSetup,
        read: Vec<([SequenceCache; 2], Vec<f32>)>,
        began: Instant,
    ) -> Self {
        let ComparisonSetup { prompts, sampling, mode, context, .. } = setup;
        let config = model.config();
        let context = context.min(config.max_context);
        let sampler = |i: usize| Sampler::new(sampling.of_sequence(i));
        let side = || Side {
            caches: Vec::new(),
            prompts: prompts.clone(),
            generated: Vec::new(),
            step_times: Vec::new(),
            samplers: (0..prompts.len()).map(sampler).collect(),
            buffers: StepBuffers::new(config, prompts.len()),
        };
        let (mut a, mut b) = (side(), side());
        for (i, (caches, logits)) in read.into_iter().enumerate() {
            // Both samplers draw, so that their random numbers stay in step while the sides agree.
            let mut first = 0;
            for (side, cache) in [&mut b, &mut a].into_iter().zip(caches.into_iter().rev()) {
                side.caches.push(cache);
                side.buffers.logits[i * config.vocab..][..config.vocab].copy_from_slice(&logits);
                first = side.samplers[i].sample(&logits, &prompts[i]);
            }
            a.generated.push(vec![first]);
            b.generated.push(vec![first]);
        }
        Self {
            steps: vec![Vec::new(); prompts.len()],
            first: None,
            model,
            mode,
            a,
            b,
            prefill_time: began.elapsed(),
            context,
        }
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The dense side alone.
    pub fn into_dense(self) -> Side {
        self.a
    }

    /// How side B is fed.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The prompts of the dense side.
    pub fn prompts(&self) -> &[Vec<u32>] {
        &self.a.prompts
    }

    /// Whether the context has space for another step of every sequence.
    pub fn has_room(&self) -> bool {
        self.a
            .prompts
            .iter()
            .zip(&self.a.generated)
            .all(|(prompt, new)| prompt.len() + new.len() < self.context)
    }

    /// One step of these sides, which take turns in going first. `observe` is that of
    /// [`Decoder::step`](crate::model::decoder::Decoder::step), for B.
    pub fn step(&mut self, sides: Sides, observe: &mut StepObserver<'_>) -> Result<()> {
        assert!(
            sides == Sides::Both || self.mode == Mode::Free,
            "a side that is fed the other's tokens needs the other"
        );
        // Neither side always comes second, with the weights in the processor's caches or the clock
        // already fast: times of both would not be comparable.
        let is_a_first = self.steps.first().map_or(0, Vec::len).is_multiple_of(2);
        if sides != Sides::B && is_a_first {
            self.a.advance(&self.model, &mut |_, _, _| ())?;
        }
        if sides != Sides::A {
            // In forced mode B's text is A's, so B's last token is the one that A was fed.
            self.b.advance(&self.model, observe)?;
        }
        if sides != Sides::B && !is_a_first {
            self.a.advance(&self.model, &mut |_, _, _| ())?;
        }
        let vocab = self.model.config().vocab;
        for i in 0..self.a.prompts.len() {
            let together = sides == Sides::Both && self.is_together(i);
            if sides != Sides::B {
                self.a.choose(i, vocab);
            }
            match (sides, self.mode) {
                (Sides::A, _) => {}
                (_, Mode::Free) => self.b.choose(i, vocab),
                (_, Mode::Forced) => {
                    self.b.generated[i].push(self.a.generated[i][self.a.generated[i].len() - 1])
                }
            }
            let next = self.a.generated[i].last().copied().unwrap_or_default();
            let divergence = together.then(|| {
                StepDivergence::of(self.a.logits(i, vocab), self.b.logits(i, vocab), next)
            });
            self.steps[i].push(divergence);
        }
        Ok(())
    }

    /// Goes on with another turn of a conversation of one sequence, up to its first token. `a` and
    /// `b` are all tokens of each side's conversation; what a side's cache does not hold of it yet
    /// passes through that cache as it stands. With `again` both are prefilled anew. After an error
    /// nothing has changed.
    ///
    /// # Errors
    /// For a batch, for a context without room, and where the hooks stop it.
    pub fn follow(
        &mut self,
        [a, b]: [Vec<u32>; 2],
        again: bool,
        hooks: PrefillHooks<'_>,
    ) -> Result<()> {
        if self.a.prompts.len() != 1 {
            return Err(Error::input("a batch is not a conversation: it takes one turn"));
        }
        follow::check_room(a.len().max(b.len()), 1, self.context)?;
        let model = Arc::clone(&self.model);
        let is_same = a == b;
        let PrefillHooks { chunk, progress, keep_going, observe } = hooks;
        let mut half = |of: f32, run: &mut dyn FnMut(PrefillHooks<'_>) -> Result<Vec<f32>>| {
            let part = &mut |share: f32| progress((of + share) / 2.0);
            run(PrefillHooks { chunk, progress: part, keep_going, observe: &mut *observe })
        };
        let empty = |side: &Side, tokens: &[u32]| {
            SequenceCache::with_capacity(Arc::clone(side.caches[0].spec()), tokens.len())
        };
        let (mut to_a, mut to_b) = (empty(&self.a, &a), empty(&self.b, &b));
        let [of_a, of_b] = if again && is_same {
            let hooks = PrefillHooks { chunk, progress, keep_going, observe };
            let logits = follow::read_again(&model, &a, &mut [&mut to_a, &mut to_b], hooks)?;
            [logits.clone(), logits]
        } else if again {
            let of_a =
                half(0.0, &mut |hooks| follow::read_again(&model, &a, &mut [&mut to_a], hooks))?;
            let of_b =
                half(1.0, &mut |hooks| follow::read_again(&model, &b, &mut [&mut to_b], hooks))?;
            [of_a, of_b]
        } else {
            let mut read = |of: f32, side: &Side, tokens: &[u32], to: &mut SequenceCache| {
                half(of, &mut |hooks| {
                    let cache = &side.caches[0];
                    let (grown, logits) =
                        model.decoder.extend(&tokens[cache.tokens()..], cache, hooks)?;
                    *to = grown;
                    Ok(logits)
                })
            };
            [read(0.0, &self.a, &a, &mut to_a)?, read(1.0, &self.b, &b, &mut to_b)?]
        };
        for (side, cache, prompt, logits) in
            [(&mut self.a, to_a, a, &of_a), (&mut self.b, to_b, b, &of_b)]
        {
            (side.caches[0], side.prompts[0]) = (cache, prompt);
            side.buffers.logits.copy_from_slice(logits);
            side.generated[0].clear();
        }
        let vocab = model.config().vocab;
        self.a.choose(0, vocab);
        match self.mode {
            Mode::Free => self.b.choose(0, vocab),
            Mode::Forced => self.b.generated[0].clone_from(&self.a.generated[0]),
        }
        self.steps[0].clear();
        let next = self.a.generated[0][0];
        self.first = (is_same && !again).then(|| StepDivergence::of(&of_a, &of_b, next));
        Ok(())
    }

    /// Whether both sides have the same text so far.
    fn is_together(&self, sequence: usize) -> bool {
        let Self { a, b, .. } = self;
        a.generated[sequence] == b.generated[sequence] && a.prompts[sequence] == b.prompts[sequence]
    }

    /// Chooses the next tokens of both sides so, with equal draws from here on; gives the sampling
    /// of the first sequence.
    ///
    /// # Errors
    /// Settings out of range; nothing has then changed.
    pub fn resample(&mut self, sampling: Option<Sampling>) -> Result<Sampling> {
        if let Some(sampling) = sampling {
            sampling.check()?;
            for side in [&mut self.a, &mut self.b] {
                for (i, sampler) in side.samplers.iter_mut().enumerate() {
                    *sampler = Sampler::new(sampling.of_sequence(i));
                }
            }
        }
        let first = self.a.samplers.first();
        Ok(first.map(|sampler| sampler.sampling().clone()).unwrap_or_default())
    }

    /// Changes which tokens B is fed from the next step on. When it is to be fed A's, its text is
    /// first cut back to A's.
    pub fn set_mode(&mut self, mode: Mode) -> Result<()> {
        self.mode = mode;
        let spec = Arc::clone(self.b.caches[0].spec());
        let is_together = (0..self.a.prompts.len()).all(|i| self.is_together(i));
        if mode == Mode::Forced && !is_together { self.retune(&spec) } else { Ok(()) }
    }

    /// Index of the first generated token that differs, of one sequence.
    pub fn first_divergence(&self, sequence: usize) -> Option<usize> {
        self.a.generated[sequence].iter().zip(&self.b.generated[sequence]).position(|(a, b)| a != b)
    }

    /// Gives B a cache of another mask or window, gathered from A's full keys and values without
    /// another prefill. Everything decoded so far counts as prefilled; in free mode B's text is
    /// first cut back to A's.
    pub fn retune(&mut self, pruned: &Arc<CacheSpec>) -> Result<()> {
        let caches = self
            .a
            .caches
            .iter()
            .map(|cache| cache.retuned(Arc::clone(pruned)))
            .collect::<Result<Vec<_>>>()?;
        self.b.caches = caches;
        self.b.generated.clone_from(&self.a.generated);
        self.b.prompts.clone_from(&self.a.prompts);
        self.b.samplers.clone_from(&self.a.samplers);
        Ok(())
    }

    /// Rewinds both sides to `generated` tokens (at least the first). B's own cache is truncated if
    /// it still has every key that needs all channels again. Otherwise B gets a cache gathered from
    /// A's, and A's text, as in a retune.
    pub fn rewind(&mut self, generated: usize) -> Result<()> {
        let keep = generated.max(1);
        for i in 0..self.a.prompts.len() {
            let [of_a, of_b] = [&self.a, &self.b].map(|side| side.prompts[i].len() + keep - 1);
            self.a.caches[i].truncate(of_a, None)?;
            self.a.generated[i].truncate(keep);
            if self.b.caches[i].can_truncate(of_b) {
                self.b.caches[i].truncate(of_b, None)?;
                self.b.generated[i].truncate(keep);
            } else {
                self.b.caches[i] = self.a.caches[i].retuned(Arc::clone(self.b.caches[i].spec()))?;
                self.b.generated[i].clone_from(&self.a.generated[i]);
                self.b.prompts[i].clone_from(&self.a.prompts[i]);
            }
            self.steps[i].truncate(keep - 1);
        }
        Ok(())
    }
}

impl Side {
    /// Feeds each sequence its last token.
    fn advance(&mut self, model: &Model, observe: &mut StepObserver<'_>) -> Result<()> {
        let began = Instant::now();
        let tokens: Vec<u32> = (self.generated.iter())
            .map(|tokens| *tokens.last().expect("a first token from the prefill"))
            .collect();
        let mut caches: Vec<&mut SequenceCache> = self.caches.iter_mut().collect();
        model.decoder.step(&tokens, &mut caches, &mut self.buffers, observe)?;
        self.step_times.push(began.elapsed());
        Ok(())
    }

    /// Chooses the next token of one sequence.
    fn choose(&mut self, sequence: usize, vocab: usize) {
        let history = [&self.prompts[sequence][..], &self.generated[sequence]].concat();
        let next =
            self.samplers[sequence].sample(self.buffers.logits_of(sequence, vocab), &history);
        self.generated[sequence].push(next);
    }
}

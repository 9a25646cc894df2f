//! A/B: dense and pruned decode over the same weights and the same prefill.
//!
//! Side A keeps a dense cache, side B a pruned one. *Forced* mode feeds A's tokens to both, so
//! every step can be compared; *free* mode feeds each side its own, and steps are compared up to
//! the first token that differs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::{CacheSpec, SequenceCache};
use crate::decode::divergence::StepDivergence;
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

/// One side of a comparison, all sequences of it.
#[derive(Debug)]
pub struct Side {
    /// Keys and values of each sequence.
    pub caches: Vec<SequenceCache>,
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
    prompts: Vec<Vec<u32>>,
    /// The dense side.
    pub a: Side,
    /// The pruned side.
    pub b: Side,
    /// Divergence of each step, per sequence; `None` in free mode where the texts already differ.
    /// The first new token comes from the exact prefill and is left out, so entry `i` belongs to
    /// generated token `i + 1`.
    pub steps: Vec<Vec<Option<StepDivergence>>>,
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
        let ComparisonSetup { prompts, dense, pruned, sampling, mode, context } = setup;
        sampling.check()?;
        let began = Instant::now();
        let config = model.config();
        let context = context.min(config.max_context);
        let side = |spec: &Arc<CacheSpec>| Side {
            caches: prompts
                .iter()
                .map(|prompt| SequenceCache::with_capacity(Arc::clone(spec), prompt.len()))
                .collect(),
            generated: Vec::new(),
            step_times: Vec::new(),
            samplers: (0..prompts.len() as u64)
                .map(|i| {
                    Sampler::new(Sampling {
                        seed: sampling.seed.wrapping_add(i),
                        ..sampling.clone()
                    })
                })
                .collect(),
            buffers: StepBuffers::new(config, prompts.len()),
        };
        let (mut a, mut b) = (side(&dense), side(&pruned));
        for (i, prompt) in prompts.iter().enumerate() {
            if prompt.len() >= context {
                return Err(Error::input(format!(
                    "a prompt of {} tokens leaves no room in the context of {}",
                    count(prompt.len()),
                    count(context)
                )));
            }
            let hooks = PrefillHooks {
                chunk: hooks.chunk,
                progress: &mut |share| (hooks.progress)((i as f32 + share) / prompts.len() as f32),
                keep_going: hooks.keep_going,
                observe: hooks.observe,
            };
            let states =
                model.decoder.prefill(prompt, &mut [&mut a.caches[i], &mut b.caches[i]], hooks)?;
            let logits = model.decoder.logits(&states[states.len() - config.hidden..])?;
            // Both samplers draw, so that their random numbers stay in step while the sides agree.
            for side in [&mut a, &mut b] {
                side.buffers.logits[i * config.vocab..][..config.vocab].copy_from_slice(&logits);
            }
            let first = a.samplers[i].sample(&logits, prompt);
            b.samplers[i].sample(&logits, prompt);
            a.generated.push(vec![first]);
            b.generated.push(vec![first]);
        }
        Ok(Self {
            steps: vec![Vec::new(); prompts.len()],
            model,
            mode,
            prompts,
            a,
            b,
            prefill_time: began.elapsed(),
            context,
        })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// How side B is fed.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The prompts.
    pub fn prompts(&self) -> &[Vec<u32>] {
        &self.prompts
    }

    /// Whether the context has space for another step of every sequence.
    pub fn has_room(&self) -> bool {
        self.prompts
            .iter()
            .zip(&self.a.generated)
            .all(|(prompt, new)| prompt.len() + new.len() < self.context)
    }

    /// One step of these sides, A first. `observe` is that of
    /// [`Decoder::step`](crate::model::decoder::Decoder::step), for B.
    pub fn step(&mut self, sides: Sides, observe: &mut StepObserver<'_>) -> Result<()> {
        assert!(
            sides == Sides::Both || self.mode == Mode::Free,
            "a side that is fed the other's tokens needs the other"
        );
        if sides != Sides::B {
            self.a.advance(&self.model, &mut |_, _, _| ())?;
        }
        if sides != Sides::A {
            // In forced mode B's text is A's, so B's last token is the one that A was fed.
            self.b.advance(&self.model, observe)?;
        }
        let vocab = self.model.config().vocab;
        for (i, prompt) in self.prompts.iter().enumerate() {
            let together = sides == Sides::Both && self.a.generated[i] == self.b.generated[i];
            if sides != Sides::B {
                self.a.choose(i, prompt, vocab);
            }
            match (sides, self.mode) {
                (Sides::A, _) => {}
                (_, Mode::Free) => self.b.choose(i, prompt, vocab),
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

    /// Changes which tokens B is fed from the next step on. When it is to be fed A's, its text is
    /// first cut back to A's.
    pub fn set_mode(&mut self, mode: Mode) -> Result<()> {
        self.mode = mode;
        let spec = Arc::clone(self.b.caches[0].spec());
        if mode == Mode::Forced && self.a.generated != self.b.generated {
            self.retune(&spec)
        } else {
            Ok(())
        }
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
        self.b.samplers.clone_from(&self.a.samplers);
        Ok(())
    }

    /// Rewinds both sides to `generated` tokens (at least the first). B's own cache is truncated if
    /// it still has every key that needs all channels again. Otherwise B gets a cache gathered from
    /// A's, and A's text, as in a retune.
    pub fn rewind(&mut self, generated: usize) -> Result<()> {
        let keep = generated.max(1);
        for i in 0..self.prompts.len() {
            let len = self.prompts[i].len() + keep - 1;
            self.a.caches[i].truncate(len, None)?;
            self.a.generated[i].truncate(keep);
            if self.b.caches[i].can_truncate(len) {
                self.b.caches[i].truncate(len, None)?;
                self.b.generated[i].truncate(keep);
            } else {
                self.b.caches[i] = self.a.caches[i].retuned(Arc::clone(self.b.caches[i].spec()))?;
                self.b.generated[i].clone_from(&self.a.generated[i]);
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
    fn choose(&mut self, sequence: usize, prompt: &[u32], vocab: usize) {
        let history = [prompt, &self.generated[sequence]].concat();
        let next =
            self.samplers[sequence].sample(self.buffers.logits_of(sequence, vocab), &history);
        self.generated[sequence].push(next);
    }
}

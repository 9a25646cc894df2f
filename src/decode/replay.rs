//! Repeats the last decode steps under another mask. Re-measuring, sweeps on screen and timed runs
//! use it.
//!
//! A replay feeds the dense side's last tokens to a cache gathered from the dense one as it was
//! before them. It needs no prefill, and the decode in progress is not disturbed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Result;
use crate::cache::{CacheSpec, SequenceCache};
use crate::decode::divergence::StepDivergence;
use crate::decode::looping::repeated;
use crate::model::Model;
use crate::model::decoder::StepBuffers;
use crate::spread::MedianInterval;

/// One dense decode step, for comparison with a replay.
#[derive(Debug, Clone)]
pub struct DenseStep {
    /// The token that was fed.
    pub fed: u32,
    /// The token that was chosen.
    pub next: u32,
    /// Logits, `[vocab]`.
    pub logits: Arc<[f32]>,
}

/// The last dense steps of a run, up to a fixed number.
#[derive(Debug)]
pub struct Recent {
    steps: VecDeque<DenseStep>,
    most: usize,
}

impl Recent {
    /// No steps yet.
    pub fn new(most: usize) -> Self {
        Self { steps: VecDeque::with_capacity(most), most }
    }

    /// Adds a step; the oldest one is dropped when the list is full.
    pub fn push(&mut self, step: DenseStep) {
        if self.steps.len() == self.most {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
    }

    /// Removes the last `steps` steps.
    pub fn forget(&mut self, steps: usize) {
        self.steps.truncate(self.steps.len().saturating_sub(steps));
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether the list is full.
    pub fn is_full(&self) -> bool {
        self.steps.len() == self.most
    }
}

/// A point to replay from: the dense cache before the last steps, and those steps.
#[derive(Debug)]
pub struct Stretch {
    dense: SequenceCache,
    steps: Vec<DenseStep>,
    /// Steps at the end whose tokens only repeat a loop of the text.
    repeats: usize,
}

impl Stretch {
    /// The stretch of these steps, which must be the last ones of `dense`. Shares storage with
    /// `dense`.
    pub fn new(dense: &SequenceCache, recent: &Recent) -> Result<Self> {
        let mut dense = dense.copied()?;
        dense.truncate(dense.tokens().saturating_sub(recent.len()), None)?;
        Ok(Self { dense, steps: recent.steps.iter().cloned().collect(), repeats: 0 })
    }

    /// The stretch of these steps, which follow on a dense cache.
    pub fn after(dense: SequenceCache, steps: Vec<DenseStep>) -> Self {
        Self { dense, steps, repeats: 0 }
    }

    /// The same, with how many of its steps repeat a loop of the text that they are the end of.
    pub fn of_text(self, text: &[u32]) -> Self {
        let repeats = repeated(text, self.steps.len());
        Self { repeats, ..self }
    }

    /// Steps at its end whose tokens only repeat a loop of the text: what repeats is easy, so masks
    /// lose little there.
    pub fn repeats(&self) -> usize {
        self.repeats
    }

    /// How many of its steps see a middle under this specification; in the others nothing is
    /// pruned.
    pub fn with_middle(&self, spec: &CacheSpec) -> usize {
        spec.window().steps_with_middle(self.end(), self.steps.len())
    }

    /// The dense side's steps.
    pub fn steps(&self) -> &[DenseStep] {
        &self.steps
    }

    /// A checksum of the steps' tokens and of their place (32-bit FNV-1a): equal for measurements
    /// over the same tokens, and hardly ever otherwise.
    pub fn checksum(&self) -> u32 {
        let place = self.dense.tokens() as u32;
        let tokens = self.steps.iter().flat_map(|step| [step.fed, step.next]);
        let bytes = std::iter::once(place).chain(tokens).flat_map(u32::to_le_bytes);
        bytes.fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }

    /// The specification of the dense cache.
    pub fn dense_spec(&self) -> &Arc<CacheSpec> {
        self.dense.spec()
    }

    /// Tokens in the cache after the last step.
    pub fn end(&self) -> usize {
        self.dense.tokens() + self.steps.len()
    }

    /// Bytes of the dense cache after the last step.
    pub fn dense_bytes(&self) -> usize {
        self.dense.spec().bytes_at(self.end()).total()
    }
}

/// The rounds of a timed run, dense (0) and pruned (1), each with the machine to itself. In this
/// order a machine that slows down or speeds up favours neither.
pub const ROUNDS: [usize; 4] = [0, 1, 1, 0];

/// Times both sides over a stretch, each alone; gives the compute time of each step.
pub fn time_alone(
    model: &Model,
    stretch: &Arc<Stretch>,
    pruned: &Arc<CacheSpec>,
) -> Result<[Vec<Duration>; 2]> {
    let mut times = [Vec::new(), Vec::new()];
    for side in ROUNDS {
        let spec = if side == 0 { stretch.dense_spec() } else { pruned };
        let mut replay = Replay::new(model, Arc::clone(stretch), spec)?;
        while replay.step(model)? {}
        times[side].extend(replay.times);
    }
    Ok(times)
}

/// A repetition of a stretch under one specification.
#[derive(Debug)]
pub struct Replay {
    stretch: Arc<Stretch>,
    cache: SequenceCache,
    buffers: StepBuffers,
    /// Divergence of each step made so far.
    pub steps: Vec<StepDivergence>,
    /// Compute time of each step made so far.
    pub times: Vec<Duration>,
}

impl Replay {
    /// A replay at the beginning of the stretch.
    pub fn new(model: &Model, stretch: Arc<Stretch>, spec: &Arc<CacheSpec>) -> Result<Self> {
        let cache = stretch.dense.retuned(Arc::clone(spec))?;
        let buffers = StepBuffers::new(model.config(), 1);
        Ok(Self { stretch, cache, buffers, steps: Vec::new(), times: Vec::new() })
    }

    /// Repeats the next step; false once there is none.
    pub fn step(&mut self, model: &Model) -> Result<bool> {
        let Some(dense) = self.stretch.steps.get(self.steps.len()) else { return Ok(false) };
        let began = Instant::now();
        model.decoder.step(
            &[dense.fed],
            &mut [&mut self.cache],
            &mut self.buffers,
            &mut |_, _, _| (),
        )?;
        self.times.push(began.elapsed());
        self.steps.push(StepDivergence::of(&dense.logits, &self.buffers.logits, dense.next));
        Ok(self.steps.len() < self.stretch.steps.len())
    }

    /// The specification of its cache.
    pub fn spec(&self) -> &CacheSpec {
        self.cache.spec()
    }

    /// Bytes that the cache stores now.
    pub fn kv_bytes(&self) -> usize {
        self.cache.bytes().total()
    }
}

/// A mask and the dense side over the same stretch, step by step in turn: what the machine does
/// meanwhile slows both, so that their times can be compared.
#[derive(Debug)]
pub struct PairedReplay {
    /// The mask's.
    pub own: Replay,
    /// The dense side's.
    pub dense: Replay,
}

impl PairedReplay {
    /// Both at the beginning of the stretch.
    pub fn new(model: &Model, stretch: &Arc<Stretch>, spec: &Arc<CacheSpec>) -> Result<Self> {
        let of = |spec| Replay::new(model, Arc::clone(stretch), spec);
        Ok(Self { own: of(spec)?, dense: of(stretch.dense_spec())? })
    }

    /// Repeats the next step on both sides; false once there is none.
    pub fn step(&mut self, model: &Model) -> Result<bool> {
        // Neither side always comes second.
        let is_first = self.own.times.len().is_multiple_of(2);
        if is_first {
            self.dense.step(model)?;
        }
        let goes_on = self.own.step(model)?;
        if !is_first {
            self.dense.step(model)?;
        }
        Ok(goes_on)
    }

    /// The mask's time of a step over that of the dense step beside it: median and 95 % interval;
    /// `None` for too few steps.
    pub fn beside(&self) -> Option<MedianInterval> {
        let both = self.own.times.iter().zip(&self.dense.times);
        MedianInterval::of(
            both.filter(|(_, dense)| !dense.is_zero())
                .map(|(own, dense)| own.as_secs_f64() / dense.as_secs_f64()),
        )
    }
}

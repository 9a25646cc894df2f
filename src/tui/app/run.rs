//! The current run: its text, its tokens and what they cost.

use hdrhistogram::Histogram;

use crate::cache::CacheBytes;
use crate::decode::looping::{Looping, looping};
use crate::decode::sampler::Sampling;
use crate::decode::session::Finish;
use crate::decode::worker::event::{HeadDetail, Memory, Started, StepMs, Token, Turn, Voice};
use crate::tui::app::pairs::Pairs;

/// What the program is doing.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Reading weights, with the share done.
    Loading(f32),
    /// Prefilling the prompt, with the share done.
    Prefill(f32),
    /// Decoding.
    Running,
    /// Paused.
    Paused,
    /// At the end of the run.
    Finished(Finish),
    /// A run, or the engine, failed.
    Failed(String),
}

/// A token on screen.
#[derive(Debug, Clone, PartialEq)]
pub struct TextPiece {
    /// Text that this token completed.
    pub text: String,
    /// Its name, where it is no text.
    pub special: Option<String>,
    /// Its natural log-probability.
    pub logprob: f32,
}

impl TextPiece {
    /// What stands for the token on a screen: its text, or its name where it is no text.
    pub fn shown(&self) -> &str {
        self.special.as_deref().unwrap_or(&self.text)
    }
}

/// What one decode step took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Tokens in the cache.
    pub cached: usize,
    /// Time by part.
    pub ms: StepMs,
    /// Bytes in the cache.
    pub kv: usize,
}

/// The current run.
#[derive(Debug, Clone)]
pub struct RunView {
    /// Its number; events with another number are stale.
    pub generation: u64,
    /// How it began.
    pub started: Option<Started>,
    /// The text so far.
    pub pieces: Vec<TextPiece>,
    /// The tokens of the pruned side.
    ids: Vec<u32>,
    /// Every decode step.
    pub steps: Vec<Step>,
    /// Steps that were made before the mask at work came into use: figures of speed are of those
    /// after them.
    earlier: usize,
    /// Times of the others in microseconds.
    times: Histogram<u32>,
    /// Tokens in the cache.
    pub cached: usize,
    /// Bytes in the cache.
    pub kv: CacheBytes,
    /// Memory as the operating system reports it.
    pub memory: Option<Memory>,
    /// Tokens in the cache when it was reported.
    pub memory_at: usize,
    /// Live detail of the watched head.
    pub head: Option<HeadDetail>,
    /// Both sides, where there are two.
    pub pairs: Pairs,
    /// The turns after the prompt, in order.
    pub turns: Vec<Turn>,
    /// Number of the last turn that was sent.
    pub asked: u64,
    /// Whether that turn is being read.
    pub reads_turn: bool,
    /// Whether the loop at the end of the text was told.
    pub loop_told: bool,
    /// How tokens are chosen since the run went on past an end or out of a loop, and whether end
    /// tokens are tokens like any other since then. Of this run alone.
    pub went_on: Option<(Sampling, bool)>,
}

/// Number of tokens at the end in which a loop is looked for.
const LOOKS_BACK: usize = 512;
/// Number of steps that the current speed is computed over.
const RECENT: usize = 32;

impl RunView {
    /// A run without any events yet.
    pub fn new(generation: u64) -> Self {
        Self {
            generation,
            started: None,
            pieces: Vec::new(),
            ids: Vec::new(),
            steps: Vec::new(),
            earlier: 0,
            times: Histogram::new_with_bounds(1, 3_600_000_000, 3)
                .expect("constant bounds are valid"),
            cached: 0,
            kv: CacheBytes::default(),
            memory: None,
            memory_at: 0,
            head: None,
            pairs: Pairs::default(),
            turns: Vec::new(),
            asked: 0,
            reads_turn: false,
            loop_told: false,
            went_on: None,
        }
    }

    /// Takes a token.
    pub fn take(&mut self, token: Token) {
        self.cached = token.cached;
        self.kv = token.kv;
        self.ids.push(token.id);
        let Token { text, special, logprob, .. } = token;
        self.pieces.push(TextPiece { text, special, logprob });
        if let Some(ms) = token.step.filter(|ms| ms.total.is_finite()) {
            self.steps.push(Step { cached: token.cached, ms, kv: token.kv.total() });
            self.times.saturating_record((ms.total * 1e3) as u64);
        }
    }

    /// Goes back to `n` tokens. The measured times stay.
    pub fn rewind(&mut self, n: usize) {
        self.pieces.truncate(n);
        self.ids.truncate(n);
        self.turns.retain(|turn| turn.from < n);
        self.steps.truncate(self.steps_of(n));
        self.earlier = self.earlier.min(self.steps.len());
        if self.turns.is_empty() {
            let prompt = self.started.as_ref().map(|started| started.prompt_tokens);
            self.cached =
                self.steps.last().map(|step| step.cached).or(prompt).unwrap_or(self.cached);
        }
        self.pairs.rewind(n);
        self.head = None;
    }

    /// Replaces the text by the dense side's. The engine does the same when the texts differ and an
    /// operation needs a single one.
    pub fn cut_back(&mut self) {
        self.pairs.cut_back();
        if self.pairs.is_empty() {
            return;
        }
        let empty = TextPiece { text: String::new(), special: None, logprob: f32::NAN };
        self.pieces.resize(self.pairs.len(), empty);
        self.steps.truncate(self.steps_of(self.pairs.len()));
        self.earlier = self.earlier.min(self.steps.len());
        for (piece, pair) in self.pieces.iter_mut().zip(self.pairs.all()) {
            let differs = |b: &&Voice| b.text != piece.text || b.special != piece.special;
            if let Some(b) = pair.b.as_ref().filter(differs) {
                piece.text.clone_from(&b.text);
                piece.special.clone_from(&b.special);
                piece.logprob = f32::NAN;
            }
        }
    }

    /// The loop that the answer at hand ends in: that of the dense side where there is one, because
    /// both read its text unless they are fed their own.
    pub fn looping(&self) -> Option<Looping> {
        let from = self.turns.last().map_or(0, |turn| turn.from);
        let last = |n: usize| n.saturating_sub(LOOKS_BACK).max(from.min(n))..n;
        let pairs = self.pairs.all();
        if pairs.is_empty() {
            return looping(&self.ids[last(self.ids.len())]);
        }
        let voices = pairs[last(pairs.len())].iter();
        let ids: Vec<u32> = voices
            .filter_map(|pair| pair.a.as_ref().or(pair.b.as_ref()))
            .map(|one| one.id)
            .collect();
        looping(&ids)
    }

    /// Decode steps that gave the first `n` tokens: the first token of every answer comes from
    /// reading what it answers.
    fn steps_of(&self, n: usize) -> usize {
        n.saturating_sub(1 + self.turns.iter().filter(|turn| turn.from < n).count())
    }

    /// The turn that generated token `n`, counted from 1, is the first answer to.
    pub fn turn_at(&self, n: usize) -> Option<&Turn> {
        self.turns.iter().find(|turn| turn.from + 1 == n)
    }

    /// How its tokens are chosen now, once it has begun.
    pub fn sampling(&self) -> Option<&Sampling> {
        let started = self.started.as_ref().map(|started| &started.sampling);
        self.went_on.as_ref().map(|(sampling, _)| sampling).or(started)
    }

    /// Whether a decode step of the current answer gave token `n`, so that it can be repeated.
    pub fn is_step(&self, n: usize) -> bool {
        n > self.turns.last().map_or(0, |turn| turn.from) + 1
    }

    /// Generated tokens.
    pub fn generated(&self) -> usize {
        self.pieces.len()
    }

    /// Another mask is at work: no step was made under it yet.
    pub fn retuned(&mut self) {
        self.earlier = self.steps.len();
        self.times.reset();
    }

    /// The steps under the mask at work.
    pub fn own_steps(&self) -> &[Step] {
        &self.steps[self.earlier.min(self.steps.len())..]
    }

    /// The last of them.
    fn recent(&self) -> &[Step] {
        let own = self.own_steps();
        &own[own.len().saturating_sub(RECENT)..]
    }

    /// Number of steps that [`Self::rate`] is of.
    pub fn recent_steps(&self) -> usize {
        self.recent().len()
    }

    /// Tokens per second over the last steps, by the session's own clock; `None` before the first
    /// step under the mask at work.
    pub fn rate(&self) -> Option<f64> {
        let last = self.recent();
        let total: f64 = last.iter().map(|step| step.ms.total).sum();
        (total > 0.0).then(|| last.len() as f64 * 1e3 / total)
    }

    /// Tokens per second of the fastest step under the mask at work.
    pub fn fastest(&self) -> Option<f64> {
        let times = self.own_steps().iter().map(|step| step.ms.total).filter(|ms| *ms > 0.0);
        Some(1e3 / times.min_by(f64::total_cmp)?)
    }

    /// Time per output token at a quantile, in milliseconds, over the steps under the mask at work.
    pub fn tpot(&self, quantile: f64) -> Option<f64> {
        (!self.times.is_empty()).then(|| self.times.value_at_quantile(quantile) as f64 / 1e3)
    }

    /// Share of attention in the last steps. `None` before the first step, and on a GPU, where a
    /// step is timed as a whole.
    pub fn attention_share(&self) -> Option<f64> {
        let last = self.recent();
        let sum = |part: fn(&Step) -> f64| last.iter().map(part).sum::<f64>();
        let (attention, total) = (sum(|step| step.ms.attention), sum(|step| step.ms.total));
        (attention > 0.0).then(|| attention / total)
    }

    /// Prompt tokens per second of prefill.
    pub fn prefill_rate(&self) -> Option<f64> {
        let started = self.started.as_ref()?;
        (started.prefill_ms > 0.0).then(|| started.prompt_tokens as f64 * 1e3 / started.prefill_ms)
    }
}

/// The prompt and the sampling settings of the next run.
#[derive(Debug, Clone, PartialEq)]
pub struct NextRun {
    /// What to send.
    pub prompt: crate::decode::worker::Prompt,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to generate.
    pub max_new: usize,
    /// Whether end tokens are tokens like any other.
    pub ignore_end: bool,
}

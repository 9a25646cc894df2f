//! The run at hand: its text, its tokens and what they cost.

use hdrhistogram::Histogram;

use crate::cache::CacheBytes;
use crate::decode::sampler::Sampling;
use crate::decode::session::Finish;
use crate::decode::worker::event::{HeadDetail, Memory, Started, StepMs, Token};
use crate::tui::app::pairs::Pairs;

/// Where the program stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Reading weights, share done.
    Loading(f32),
    /// Working through the prompt, share done.
    Prefill(f32),
    /// Decoding.
    Running,
    /// Standing still.
    Paused,
    /// At the end of the run.
    Finished(Finish),
    /// A run, or the engine, failed.
    Failed(String),
}

/// A token on screen.
#[derive(Debug, Clone, PartialEq)]
pub struct TextPiece {
    /// Text that it made certain.
    pub text: String,
    /// Its natural log-probability.
    pub logprob: f32,
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

/// The run at hand.
#[derive(Debug, Clone)]
pub struct RunView {
    /// Its number; events of other numbers are stale.
    pub generation: u64,
    /// How it began.
    pub started: Option<Started>,
    /// The text so far.
    pub pieces: Vec<TextPiece>,
    /// Every decode step.
    pub steps: Vec<Step>,
    /// Step times in microseconds.
    times: Histogram<u32>,
    /// Tokens in the cache.
    pub cached: usize,
    /// Bytes in the cache.
    pub kv: CacheBytes,
    /// Memory as the system sees it.
    pub memory: Option<Memory>,
    /// Live detail of the watched head.
    pub head: Option<HeadDetail>,
    /// Both sides, where there are two.
    pub pairs: Pairs,
}

/// Steps that the current speed is taken over.
const RECENT: usize = 32;

impl RunView {
    /// A run that has told nothing yet.
    pub fn new(generation: u64) -> Self {
        Self {
            generation,
            started: None,
            pieces: Vec::new(),
            steps: Vec::new(),
            times: Histogram::new_with_bounds(1, 3_600_000_000, 3)
                .expect("constant bounds are valid"),
            cached: 0,
            kv: CacheBytes::default(),
            memory: None,
            head: None,
            pairs: Pairs::default(),
        }
    }

    /// Takes a token.
    pub fn take(&mut self, token: Token) {
        self.cached = token.cached;
        self.kv = token.kv;
        self.pieces.push(TextPiece { text: token.text, logprob: token.logprob });
        if let Some(ms) = token.step.filter(|ms| ms.total.is_finite()) {
            self.steps.push(Step { cached: token.cached, ms, kv: token.kv.total() });
            self.times.saturating_record((ms.total * 1e3) as u64);
        }
    }

    /// Goes back to `n` tokens. Times stay: they were measured.
    pub fn rewind(&mut self, n: usize) {
        self.pieces.truncate(n);
        self.steps.truncate(n.saturating_sub(1));
        self.pairs.rewind(n);
        self.head = None;
    }

    /// The text becomes the dense side's, as the engine makes it when the two differ and something
    /// asks for one.
    pub fn cut_back(&mut self) {
        self.pairs.cut_back();
        if self.pairs.is_empty() {
            return;
        }
        self.pieces.resize(self.pairs.len(), TextPiece { text: String::new(), logprob: f32::NAN });
        self.steps.truncate(self.pairs.len().saturating_sub(1));
        for (piece, pair) in self.pieces.iter_mut().zip(self.pairs.all()) {
            if let Some(b) = pair.b.as_ref().filter(|b| b.text != piece.text) {
                piece.text.clone_from(&b.text);
                piece.logprob = f32::NAN;
            }
        }
    }

    /// Generated tokens.
    pub fn generated(&self) -> usize {
        self.pieces.len()
    }

    /// Tokens per second over the last steps, by the session's own clock.
    pub fn rate(&self) -> Option<f64> {
        let last = &self.steps[self.steps.len().saturating_sub(RECENT)..];
        let total: f64 = last.iter().map(|step| step.ms.total).sum();
        (total > 0.0).then(|| last.len() as f64 * 1e3 / total)
    }

    /// Time per output token at a quantile, in milliseconds.
    pub fn tpot(&self, quantile: f64) -> Option<f64> {
        (!self.steps.is_empty()).then(|| self.times.value_at_quantile(quantile) as f64 / 1e3)
    }

    /// Share of attention in the last steps; `None` also where steps are timed as a whole, as a
    /// device's are.
    pub fn attention_share(&self) -> Option<f64> {
        let last = &self.steps[self.steps.len().saturating_sub(RECENT)..];
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

/// A prompt and how to answer it, as the next run will be started.
#[derive(Debug, Clone, PartialEq)]
pub struct NextRun {
    /// What to send.
    pub prompt: crate::decode::worker::Prompt,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to generate.
    pub max_new: usize,
}

//! What a measurement of sensitivity looks at.

use crate::mask::Window;
use crate::model::config::Config;
use crate::numbers::count;
use crate::{Error, Result};

/// What a measurement of sensitivity looks at.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct SensitivitySettings {
    /// Sink, recent window and chunk of the cache.
    pub window: Window,
    /// Windows of text.
    pub windows: usize,
    /// Tokens of a window.
    pub window_tokens: usize,
    /// Rows at the end of a window that are scored.
    pub rows: usize,
    /// Tokens drawn per row.
    pub draws: usize,
    /// Seed of places and draws.
    pub seed: u64,
    /// Recall samples.
    pub recall_samples: usize,
    /// What the damage on recall samples is multiplied by before it is added to that on text; 0 for
    /// text alone.
    pub recall_weight: f64,
}

impl SensitivitySettings {
    /// The window of plans that are made of a sensitivity.
    pub const WINDOW: Window = Window { sink: 16, recent: 128, chunk: 64 };

    /// The settings that calibrated well, cut to the context of the model.
    pub fn new(config: &Config) -> Self {
        Self {
            window: Self::WINDOW,
            windows: 3,
            window_tokens: 1536.min(config.max_context),
            rows: 128,
            draws: 1,
            seed: 0,
            recall_samples: 8,
            recall_weight: 0.25,
        }
    }

    /// Tokens of a recall sample, answer included: half a window of text, but enough for a middle.
    pub(super) fn recall_tokens(&self) -> usize {
        let Window { sink, recent, chunk } = self.window;
        (self.window_tokens / 2).max(sink + recent + 2 * chunk).min(self.window_tokens)
    }

    /// Refuses what measures nothing.
    pub fn check(&self, config: &Config) -> Result<()> {
        self.window.check()?;
        for (name, number) in
            [("windows", self.windows), ("rows", self.rows), ("draws", self.draws)]
        {
            if number == 0 {
                return Err(Error::input(format!("{name} is 0: expected at least 1")));
            }
        }
        if !(self.recall_weight >= 0.0 && self.recall_weight.is_finite()) {
            return Err(Error::input(format!(
                "the weight of recall is a finite number of at least 0, not {}",
                self.recall_weight
            )));
        }
        if self.window_tokens > config.max_context {
            return Err(Error::input(format!(
                "a window of {} tokens is longer than the model's context of {}",
                count(self.window_tokens),
                count(config.max_context)
            )));
        }
        // One token that is no row before them, as every sample has.
        let least = (self.rows + 2).max(self.window.sink + self.window.recent + self.window.chunk);
        if self.window_tokens < least {
            return Err(Error::input(format!(
                "a window of {} tokens is too short: with {} rows and this sink, recent window and chunk, at least {} are needed",
                count(self.window_tokens),
                count(self.rows),
                count(least)
            )));
        }
        Ok(())
    }
}

/// How far a measurement is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SensitivityStep {
    /// Samples that are done: windows, then recall samples.
    pub done: usize,
    /// Samples in all.
    pub samples: usize,
    /// Share of the work that is done, 0 to 1.
    pub share: f32,
}

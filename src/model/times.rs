//! Where the time of a decode step goes.

use std::time::{Duration, Instant};

/// Where the time of decode steps went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// Attention over the cache.
    pub attention: Duration,
    /// Linear layers of attention and MLP.
    pub projections: Duration,
    /// The output projection.
    pub logits: Duration,
    /// Norms, rotation, appending to the cache.
    pub rest: Duration,
}

impl StepTimes {
    /// The whole step.
    pub fn total(&self) -> Duration {
        self.attention + self.projections + self.logits + self.rest
    }
}

impl std::ops::AddAssign for StepTimes {
    fn add_assign(&mut self, other: Self) {
        self.attention += other.attention;
        self.projections += other.projections;
        self.logits += other.logits;
        self.rest += other.rest;
    }
}

/// Splits the time of a step between its parts.
pub(in crate::model) struct StepClock {
    last: Instant,
    pub(in crate::model) times: StepTimes,
}

impl StepClock {
    pub(in crate::model) fn start() -> Self {
        Self { last: Instant::now(), times: StepTimes::default() }
    }

    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        let lap = now - self.last;
        self.last = now;
        lap
    }

    pub(in crate::model) fn attention(&mut self) {
        let lap = self.lap();
        self.times.attention += lap;
    }

    pub(in crate::model) fn projections(&mut self) {
        let lap = self.lap();
        self.times.projections += lap;
    }

    pub(in crate::model) fn logits(&mut self) {
        let lap = self.lap();
        self.times.logits += lap;
    }

    pub(in crate::model) fn rest(&mut self) {
        let lap = self.lap();
        self.times.rest += lap;
    }
}

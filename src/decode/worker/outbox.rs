//! Where events go, and what says that a run is no longer wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Sender, error::TrySendError};

use super::event::{Envelope, Event};
use crate::{Error, Result};

/// The generation that no run has: whatever runs is to end.
pub const NO_RUN: u64 = u64::MAX;

/// Where events go.
pub struct Outbox {
    sender: Sender<Envelope>,
    newest: Arc<AtomicU64>,
    began: Instant,
    /// The run whose events go out.
    pub generation: u64,
    dropped: u64,
}

impl Outbox {
    /// An outbox whose clock begins now.
    pub fn new(sender: Sender<Envelope>, newest: Arc<AtomicU64>) -> Self {
        Self { sender, newest, began: Instant::now(), generation: 0, dropped: 0 }
    }

    fn envelope(&self, event: Event) -> Envelope {
        let at_ms = milliseconds(self.began.elapsed());
        Envelope { generation: self.generation, at_ms, dropped: self.dropped, event }
    }

    /// Sends what must arrive, waiting for room. A receiver that is gone ends the run.
    pub fn state(&mut self, event: Event) {
        if self.sender.blocking_send(self.envelope(event)).is_err() {
            self.newest.store(NO_RUN, Ordering::Relaxed);
        }
    }

    /// Sends what the next one of its kind replaces; counts it where there is no room.
    pub fn statistic(&mut self, event: Event) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(self.envelope(event)) {
            self.dropped += 1;
        }
    }

    /// Whether nobody wants anything any more.
    pub fn is_over(&self) -> bool {
        self.newest.load(Ordering::Relaxed) == NO_RUN
    }

    /// Refuses to go on with a run that is no longer wanted.
    pub fn check(&self) -> Result<()> {
        self.wanted()()
    }

    /// The same as a function of its own, for other threads.
    pub fn wanted(&self) -> impl Fn() -> Result<()> + Sync + use<> {
        let (newest, generation) = (Arc::clone(&self.newest), self.generation);
        move || {
            if newest.load(Ordering::Relaxed) == generation {
                Ok(())
            } else {
                Err(Error::Cancelled)
            }
        }
    }
}

/// Whole microseconds: what a clock gives, and few digits in a recording.
pub fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

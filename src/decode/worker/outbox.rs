//! Sends events, and tells when a run is no longer wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Sender, error::TrySendError};

use super::event::{Envelope, Event};
use crate::{Error, Result};

/// A generation that no run has; it asks every run to end.
pub const NO_RUN: u64 = u64::MAX;

/// The sender of events.
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

    /// Sends an event that must arrive, waiting for space in the channel. A closed channel ends the
    /// run.
    pub fn state(&mut self, event: Event) {
        if self.sender.blocking_send(self.envelope(event)).is_err() {
            self.newest.store(NO_RUN, Ordering::Relaxed);
        }
    }

    /// Sends an event that the next one of its kind replaces. In a full channel it is dropped and
    /// counted.
    pub fn statistic(&mut self, event: Event) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(self.envelope(event)) {
            self.dropped += 1;
        }
    }

    /// Whether the engine is to end.
    pub fn is_over(&self) -> bool {
        self.newest.load(Ordering::Relaxed) == NO_RUN
    }

    /// Fails if the run is no longer wanted.
    pub fn check(&self) -> Result<()> {
        self.wanted()()
    }

    /// [`Self::check`] as a function for other threads.
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

/// Milliseconds, rounded to whole microseconds: more digits would only make recordings larger.
pub fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

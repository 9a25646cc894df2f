//! Messages of which only the newest counts. They bypass the queue, so that moving around or
//! changing settings during a long prefill never fills it.

use std::sync::{Arc, Mutex, PoisonError};

use super::command::Retune;
use crate::decode::lost::Asked;
use crate::mask::Shape;

/// The newest message of each kind, shared between the engine and its owner.
#[derive(Debug, Clone, Default)]
pub struct Mailbox(Arc<Mutex<Mail>>);

#[derive(Debug, Default)]
struct Mail {
    watched: (usize, usize),
    retune: Option<Box<Retune>>,
    asked: Option<Asked>,
    stopped_turn: u64,
}

impl Mailbox {
    fn with<T>(&self, f: impl FnOnce(&mut Mail) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Watches a layer and KV head.
    pub fn watch(&self, layer: usize, head: usize) {
        self.with(|mail| mail.watched = (layer, head));
    }

    /// The watched layer and KV head, limited to `shape`.
    pub fn watched(&self, shape: Shape) -> (usize, usize) {
        let (layer, head) = self.with(|mail| mail.watched);
        (layer.min(shape.layers - 1), head.min(shape.kv_heads - 1))
    }

    /// Puts in a change of the mask.
    pub fn put_retune(&self, retune: Box<Retune>) {
        self.with(|mail| mail.retune = Some(retune));
    }

    /// Takes the waiting change of the mask.
    pub fn take_retune(&self) -> Option<Box<Retune>> {
        self.with(|mail| mail.retune.take())
    }

    /// Stops the turns up to this number.
    pub fn stop_turn(&self, number: u64) {
        self.with(|mail| mail.stopped_turn = mail.stopped_turn.max(number));
    }

    /// Whether this turn is to stop.
    pub fn is_stopped(&self, number: u64) -> bool {
        self.with(|mail| mail.stopped_turn >= number)
    }

    /// Puts in a question about a step.
    pub fn put_asked(&self, asked: Asked) {
        self.with(|mail| mail.asked = Some(asked));
    }

    /// Takes the waiting question.
    pub fn take_asked(&self) -> Option<Asked> {
        self.with(|mail| mail.asked.take())
    }
}

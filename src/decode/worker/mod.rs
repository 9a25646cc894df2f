//! The background engine: one thread that loads a model and decodes, commands in, events out, both over bounded channels.
//!
//! Every event carries the generation of the run that made it. A panic in the thread becomes an event.

pub mod command;
pub mod event;
mod live;
mod thread;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Instant;

use tokio::sync::mpsc::{Receiver, channel};

pub use command::{Asked, Command, Prompt, Retune, Start, Trial};
pub use event::{Envelope, Event};
pub use thread::{Loader, Setup};

use crate::mask::Shape;
use crate::{Error, Result};
use thread::Outbox;

/// Commands that may wait. A person cannot type faster than the engine takes them.
const COMMANDS: usize = 64;
/// Events that may wait before statistics are dropped.
const EVENTS: usize = 512;
/// The generation that no run has: whatever runs is to end.
const NO_RUN: u64 = u64::MAX;

/// A running engine. Dropping it ends the thread after the step at hand.
#[derive(Debug)]
pub struct Engine {
    commands: SyncSender<Command>,
    /// The newest run asked for; an older one gives up as soon as it sees this.
    newest: Arc<AtomicU64>,
    /// The watched layer and head. Beside the queue, so that moving about during a long prefill never fills it.
    watched: Watched,
}

/// Layer and KV head that are watched, shared with the thread.
#[derive(Debug, Clone, Default)]
struct Watched(Arc<AtomicU64>);

impl Watched {
    fn set(&self, layer: usize, head: usize) {
        self.0.store((layer as u64) << 32 | (head as u64 & u64::from(u32::MAX)), Ordering::Relaxed);
    }

    /// The watched place, inside `shape`.
    fn get(&self, shape: Shape) -> (usize, usize) {
        let packed = self.0.load(Ordering::Relaxed);
        let (layer, head) = ((packed >> 32) as usize, (packed & u64::from(u32::MAX)) as usize);
        (layer.min(shape.layers - 1), head.min(shape.kv_heads - 1))
    }
}

impl Engine {
    /// Starts the thread, which begins with `loader`.
    pub fn spawn(loader: Loader) -> Result<(Self, Receiver<Envelope>)> {
        let (commands, inbox) = sync_channel(COMMANDS);
        let (sender, events) = channel(EVENTS);
        let newest = Arc::new(AtomicU64::new(0));
        let outbox = Outbox::new(sender, Arc::clone(&newest), Instant::now());
        let watched = Watched::default();
        let of_thread = watched.clone();
        let body = move || {
            let mut outbox = outbox;
            let served = catch_unwind(AssertUnwindSafe(|| thread::serve(loader, &inbox, &of_thread, &mut outbox)));
            if let Err(panic) = served {
                outbox.state(Event::Panicked(message(&*panic)));
            }
        };
        std::thread::Builder::new()
            .name("engine".into())
            .spawn(body)
            .map_err(|cause| Error::run(format!("starting the engine thread: {cause}")))?;
        Ok((Self { commands, newest, watched }, events))
    }

    /// Hands a command over without waiting.
    ///
    /// # Errors
    /// When the engine is gone or far behind.
    pub fn send(&self, command: Command) -> Result<()> {
        match &command {
            Command::Start(start) => self.newest.store(start.generation, Ordering::Relaxed),
            Command::Shutdown => self.newest.store(NO_RUN, Ordering::Relaxed),
            Command::Watch { layer, head } => {
                self.watched.set(*layer, *head);
                // The command only wakes a thread that waits; one that is busy looks by itself.
                let _ = self.commands.try_send(command);
                return Ok(());
            }
            _ => {}
        }
        self.commands.try_send(command).map_err(|cause| match cause {
            std::sync::mpsc::TrySendError::Full(_) => Error::run("the engine is busy and did not take the command"),
            std::sync::mpsc::TrySendError::Disconnected(_) => Error::run("the engine has ended"),
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A full or closed channel is no matter: the generation alone ends the thread.
        let _ = self.send(Command::Shutdown);
    }
}

/// What a panic says.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
mod tests;

//! The owner's handle of the engine: starts the thread and sends commands.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::sync::mpsc::{Receiver, channel};

use super::command::{EngineOrder, Queued};
use super::event::{Envelope, Event};
use super::mailbox::Mailbox;
use super::outbox::{NO_RUN, Outbox};
use super::setup::Loader;
use super::thread;
use crate::error::panic_message;
use crate::{Error, Result};

/// Commands that may wait. Nobody types faster than the engine takes them.
const COMMANDS: usize = 64;
/// Events that may wait before statistics are dropped: those of the fastest model between two looks
/// of the interface.
const EVENTS: usize = 2048;

/// A running engine. Dropping it ends the thread after the current step.
#[derive(Debug)]
pub struct Engine {
    orders: SyncSender<Queued>,
    /// The newest run that was requested; an older one stops as soon as it sees this.
    newest: Arc<AtomicU64>,
    mailbox: Mailbox,
}

impl Engine {
    /// Starts the thread, which first runs `loader`.
    pub fn spawn(loader: Loader) -> Result<(Self, Receiver<Envelope>)> {
        let (orders, inbox) = sync_channel(COMMANDS);
        let (sender, events) = channel(EVENTS);
        let newest = Arc::new(AtomicU64::new(0));
        let mut outbox = Outbox::new(sender, Arc::clone(&newest));
        let mailbox = Mailbox::default();
        let of_thread = mailbox.clone();
        let body = move || {
            let served = catch_unwind(AssertUnwindSafe(|| {
                thread::serve(loader, &inbox, &of_thread, &mut outbox)
            }));
            if let Err(panic) = served {
                outbox.state(Event::Panicked(panic_message(&*panic)));
            }
        };
        std::thread::Builder::new()
            .name("engine".into())
            .spawn(body)
            .map_err(|cause| Error::run(format!("starting the engine thread: {cause}")))?;
        Ok((Self { orders, newest, mailbox }, events))
    }

    /// Sends a command without waiting.
    ///
    /// # Errors
    /// When the engine is gone or far behind.
    pub fn send(&self, command: EngineOrder) -> Result<()> {
        match command {
            EngineOrder::Watch { layer, head } => self.mailbox.watch(layer, head),
            EngineOrder::Retune(retune) => self.mailbox.put_retune(retune),
            EngineOrder::Explain(asked) => self.mailbox.put_asked(asked),
            EngineOrder::StopAsk(number) => self.mailbox.stop_turn(number),
            command => return self.queue(command),
        }
        let _ = self.orders.try_send(Queued::Look);
        Ok(())
    }

    fn queue(&self, command: EngineOrder) -> Result<()> {
        match &command {
            EngineOrder::Start(start) => self.newest.store(start.generation, Ordering::Relaxed),
            EngineOrder::Shutdown => self.newest.store(NO_RUN, Ordering::Relaxed),
            _ => {}
        }
        self.orders.try_send(Queued::Do(command)).map_err(|cause| match cause {
            std::sync::mpsc::TrySendError::Full(_) => {
                Error::run("the engine is busy and did not take the command")
            }
            std::sync::mpsc::TrySendError::Disconnected(_) => Error::run("the engine has ended"),
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A full or closed channel does not matter: the generation alone ends the thread.
        let _ = self.send(EngineOrder::Shutdown);
    }
}

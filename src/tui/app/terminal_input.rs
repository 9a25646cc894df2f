//! The terminal's events, read on a thread of their own: keys, the mouse, pastes, new sizes.
//!
//! The terminal library's own stream asks for a lock with every poll that its thread holds, and gives
//! up the core in between: half of what the interface did while a model decoded.

use ratatui::crossterm::event::{self, Event};
use tokio::sync::mpsc::{Receiver, channel};

use crate::{Error, Result};

/// Events that may wait for the interface; then those of the terminal wait there.
const WAITING: usize = 1024;

/// The events, from the moment on that it is made.
pub struct TerminalInput {
    events: Receiver<std::io::Result<Event>>,
}

impl TerminalInput {
    /// Starts the thread. It ends with the first error, or with the event after this was dropped.
    pub fn start() -> Result<Self> {
        let (sender, events) = channel(WAITING);
        let read = move || {
            loop {
                let event = event::read();
                let is_over = event.is_err();
                if sender.blocking_send(event).is_err() || is_over {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("terminal".into())
            .spawn(read)
            .map_err(|cause| Error::run(format!("starting to read the terminal: {cause}")))?;
        Ok(Self { events })
    }

    /// The next event; `None` once the terminal is gone.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await?.ok()
    }
}

//! The signals that the inspector obeys.

use crate::{Error, Result};

/// What a signal asks for.
pub(super) enum Signal {
    /// To end.
    Stop,
    /// To stop until the shell goes on.
    Suspend,
}

/// Signals that ask the program to end or to suspend.
pub(super) struct Signals {
    #[cfg(unix)]
    kinds: [tokio::signal::unix::Signal; 5],
}

impl Signals {
    #[cfg(unix)]
    pub(super) fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let open =
            |kind| signal(kind).map_err(|cause| Error::run(format!("watching signals: {cause}")));
        let suspend = SignalKind::from_raw(signal_hook::consts::SIGTSTP);
        Ok(Self {
            kinds: [
                open(SignalKind::terminate())?,
                open(SignalKind::hangup())?,
                open(SignalKind::interrupt())?,
                open(SignalKind::quit())?,
                open(suspend)?,
            ],
        })
    }

    #[cfg(unix)]
    pub(super) async fn next(&mut self) -> Signal {
        let [terminate, hangup, interrupt, quit, suspend] = &mut self.kinds;
        tokio::select! {
            _ = terminate.recv() => Signal::Stop,
            _ = hangup.recv() => Signal::Stop,
            _ = interrupt.recv() => Signal::Stop,
            _ = quit.recv() => Signal::Stop,
            _ = suspend.recv() => Signal::Suspend,
        }
    }

    #[cfg(not(unix))]
    pub(super) fn new() -> Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    pub(super) async fn next(&mut self) -> Signal {
        let _ = tokio::signal::ctrl_c().await;
        Signal::Stop
    }
}

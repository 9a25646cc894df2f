//! The log: `tracing` writes to a file in the XDG state folder and to a ring of lines for the log
//! pane.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, fmt};

use crate::tui::app::state_folder;
use crate::{Result, error};

/// Lines that the pane can show.
const LINES: usize = 500;

/// The last lines of the log, shared with the writer.
#[derive(Debug, Clone, Default)]
pub struct LogBuffer {
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl LogBuffer {
    /// The last `count` lines, oldest first.
    pub fn last(&self, count: usize) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }

    fn push(&self, text: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.lines().filter(|line| !line.is_empty()) {
            if lines.len() == LINES {
                lines.pop_front();
            }
            lines.push_back(line.to_owned());
        }
    }
}

impl Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.push(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Keeps the log file's writer alive.
pub struct LogGuard {
    _writer: tracing_appender::non_blocking::WorkerGuard,
}

/// Sends the program's log to `$XDG_STATE_HOME/kscope/kscope.log` and to the returned ring.
/// `KSCOPE_LOG` sets the level. If the file cannot be written, only the ring is kept, and a line in
/// it says so.
pub fn start() -> (LogBuffer, Option<LogGuard>) {
    let buffer = LogBuffer::default();
    let ring = buffer.clone();
    let file = open();
    let (writer, note) = match file {
        Ok((writer, guard)) => (Some((writer, guard)), None),
        Err(error) => (None, Some(error)),
    };
    let (writer, guard) = writer.unzip();
    let filter = EnvFilter::try_from_env("KSCOPE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let to_file = writer.map(|writer| fmt::layer().with_ansi(false).with_writer(writer));
    let to_ring = fmt::layer()
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_writer(move || ring.clone());
    let subscriber = tracing_subscriber::registry().with(filter).with(to_file).with(to_ring);
    // In tests, a second inspector in one process keeps the log of the first.
    let _ = tracing::subscriber::set_global_default(subscriber);
    if let Some(error) = note {
        tracing::warn!("no log file: {error}");
    }
    (buffer, guard.map(|writer| LogGuard { _writer: writer }))
}

fn open() -> Result<(
    tracing_appender::non_blocking::NonBlocking,
    tracing_appender::non_blocking::WorkerGuard,
)> {
    let path = state_folder::made("kscope.log")?;
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let file = file.map_err(|cause| error::io("opening the log", &path, &cause))?;
    Ok(tracing_appender::non_blocking(file))
}

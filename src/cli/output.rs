//! Output of commands: text or one JSON object. A closed pipe is not an error.

use std::io::Write;

use crate::{Error, Result};

/// Writes `text` and a line end to standard output. If the reader has closed the pipe (`| head`),
/// the program ends without an error.
pub fn line(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Error::run(format!("writing to standard output: {error}"))),
    }
}

/// Prints a report: as a JSON object, or as the text that `text` returns.
pub fn report<T: serde::Serialize>(
    as_json: bool,
    report: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<()> {
    if as_json { json(report) } else { line(&text(report)) }
}

/// Prints one value as a JSON object.
pub fn json<T: serde::Serialize>(value: &T) -> Result<()> {
    line(
        &serde_json::to_string_pretty(value)
            .map_err(|error| Error::run(format!("writing JSON: {error}")))?,
    )
}

//! What commands print: text or one JSON object, and a closed pipe that is no error. Control
//! characters of files and prompts never get to a terminal.

use std::io::{IsTerminal, Write};

use crate::printable::{Breaks, message, printable, printable_json};
use crate::schema::{SCHEMA_VERSION, name_of};
use crate::tui::app::link;
use crate::{Error, Result, error};

/// Writes `text` and a line end to standard output, control characters written out.
pub fn line(text: &str) -> Result<()> {
    let shown = printable(text, Breaks::Kept);
    // A terminal opens the file that was written with a click.
    if text.starts_with("wrote ") && std::io::stdout().is_terminal() && terminal_draws() {
        let (first, rest) = shown.split_once('\n').unwrap_or((&shown, ""));
        let gap = if rest.is_empty() { "" } else { "\n" };
        return as_it_is(&format!("{}{gap}{rest}", link::of_written(first)));
    }
    as_it_is(&shown)
}

/// Writes `text` and a line end to standard output, colours and all; a reader that went away
/// (`| head`) ends the program quietly.
pub fn as_it_is(text: &str) -> Result<()> {
    write(&format!("{text}\n"))
}

/// Writes what a model said: a pipe gets the bytes, a terminal sees control characters written out.
pub fn spoken(text: &str) -> Result<()> {
    if std::io::stdout().is_terminal() {
        write(&printable(text, Breaks::Kept))
    } else {
        write(text)
    }
}

fn write(text: &str) -> Result<()> {
    expect_open()?;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(cause) => Err(failed(&cause)),
    }
}

/// Refuses to print where nobody would see it.
pub(super) fn expect_open() -> Result<()> {
    match super::closed::stdout_was_closed() {
        true => Err(Error::run("writing to standard output: it is closed")),
        false => Ok(()),
    }
}

/// Standard output cannot be written to.
pub fn failed(cause: &std::io::Error) -> Error {
    Error::run(format!("writing to standard output: {}", error::plain(cause)))
}

/// Whether TERM names a terminal that can show more than lines; Windows has no such variable.
pub fn terminal_draws() -> bool {
    cfg!(windows) || std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// Writes one message to standard error, as one line. It may be a terminal that is gone, which is no
/// reason to panic.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", message(text));
}

/// Writes one JSON object to standard error, as one line.
pub fn note_json(value: &serde_json::Value) {
    let _ = writeln!(std::io::stderr(), "{}", printable_json(&value.to_string()));
}

/// A JSON object that says what it is.
#[derive(Debug, serde::Serialize)]
struct Named<'a, T> {
    schema: String,
    schema_version: u32,
    #[serde(flatten)]
    value: &'a T,
}

/// Prints a report: as a JSON object of this schema, or as the text that `text` makes of it.
pub fn report<T: serde::Serialize>(
    schema: &str,
    as_json: bool,
    report: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<()> {
    if as_json { json(schema, report) } else { line(&text(report)) }
}

/// Prints one value as a JSON object, after `schema`, its name, and `schema_version`.
pub fn json<T: serde::Serialize>(schema: &str, value: &T) -> Result<()> {
    let named = Named { schema: name_of(schema), schema_version: SCHEMA_VERSION, value };
    let json = serde_json::to_string_pretty(&named)
        .map_err(|error| Error::run(format!("writing JSON: {error}")))?;
    as_it_is(&printable_json(&json))
}

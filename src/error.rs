//! The one error type. Every failure is a single sentence that names the file or value, what was
//! expected and what was found.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// Why a command could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The input (argument, file, model, mask) is wrong; exit code 2.
    #[error("{0}")]
    Input(String),
    /// The input was correct but the run failed (disk full, device lost); exit code 1.
    #[error("{0}")]
    Run(String),
    /// The user or a supervisor asked to stop; exit code 1.
    #[error("cancelled")]
    Cancelled,
}

/// Result with the crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Wrong input, as one sentence.
    pub fn input(sentence: impl Into<String>) -> Self {
        Self::Input(sentence.into())
    }

    /// A failed run, as one sentence.
    pub fn run(sentence: impl Into<String>) -> Self {
        Self::Run(sentence.into())
    }

    /// The failure of another thread, from its exit code and its sentence.
    pub fn of_code(code: u8, sentence: String) -> Self {
        match code {
            2 => Self::Input(sentence),
            _ => Self::Run(sentence),
        }
    }

    /// The process exit code that this error stands for.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input(_) => 2,
            Self::Run(_) | Self::Cancelled => 1,
        }
    }
}

/// The beginning of a text from a file, so that a message stays a sentence: at most 80 characters,
/// and `…` where more follow. Control characters are left to what prints the message.
pub fn shortened(text: &str) -> String {
    const MOST: usize = 80;
    let mut start: String = text.chars().take(MOST).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}

/// Whether a path leads round in links: the standard library has no stable name for it.
fn is_link_to_itself(error: &std::io::Error) -> bool {
    #[cfg(unix)]
    return error.raw_os_error() == Some(libc::ELOOP);
    #[cfg(not(unix))]
    return false;
}

/// An I/O error in plain words, which end a sentence: without the number that the system gives it.
pub fn plain(error: &std::io::Error) -> String {
    if error.kind() == std::io::ErrorKind::NotFound && error.raw_os_error().is_some() {
        return "there is no such file or folder".to_owned();
    }
    let words = error.to_string();
    // The standard library ends the system's words so.
    match words.rfind(" (os error ").filter(|_| words.ends_with(')')) {
        Some(at) => words[..at].to_owned(),
        None => words,
    }
}

/// Turns an I/O error on a named path into a sentence: `reading PATH: reason`.
pub fn io(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Error {
    use std::io::ErrorKind::{
        AlreadyExists, InvalidData, InvalidFilename, InvalidInput, IsADirectory, NotADirectory,
        NotFound, PermissionDenied,
    };
    let sentence = format!("{doing} {}: {}", path.display(), plain(error));
    match error.kind() {
        // Invalid data is a text file that is no UTF-8, invalid input a name with a NUL.
        AlreadyExists | InvalidData | InvalidFilename | InvalidInput | IsADirectory
        | NotADirectory | NotFound | PermissionDenied => Error::Input(sentence),
        _ if is_link_to_itself(error) => Error::Input(sentence),
        _ => Error::Run(sentence),
    }
}

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs code of others that may panic over odd input. A panic is not printed; its message is the
/// error.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !is_caught() {
                before(panic);
            }
        }));
    });
    let outer = IS_CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    IS_CAUGHT.set(outer);
    result.map_err(|panic| panic_message(&*panic))
}

/// Whether a panic on this thread now would be caught by [`caught`], and nobody need hear of it.
pub fn is_caught() -> bool {
    IS_CAUGHT.get()
}

/// The message of a caught panic.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named_in_plain_words_and_no_sentence_has_a_number_of_the_system() {
        let path = std::path::Path::new("masks/none.safetensors");
        let missing = std::fs::read(path).expect_err("not there");
        let said = io("reading", path, &missing);
        let wanted = "reading masks/none.safetensors: there is no such file or folder";
        assert_eq!((said.exit_code(), said.to_string().as_str()), (2, wanted));
        for number in 1..120 {
            let cause = std::io::Error::from_raw_os_error(number);
            let said = io("writing", path, &cause).to_string();
            assert!(!said.contains("os error"), "{said}");
        }
        let own = std::io::Error::other("the disk (os error or not) is full");
        assert_eq!(plain(&own), "the disk (os error or not) is full", "others' words stay");
    }
}

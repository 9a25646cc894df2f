//! The one place that opens files from outside: what users name and what lies in a model's folder.
//! Only regular files are opened, since a pipe, a device or a socket may never end or never begin,
//! and no more is read than a file of that kind can hold.

// What others wrote must not be able to end the program.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{BufRead, ErrorKind, Read};
use std::path::Path;

use crate::numbers::count;
use crate::{Error, Result, error};

/// A kind of file: what sentences call it, and how large one may be.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    what: &'static str,
    most_bytes: u64,
}

const MIB: u64 = 1 << 20;
/// What sentences call a pipe.
const PIPE: &str = "a pipe";
/// Where the system shows what the program was given open.
const HELD_OPEN: [&str; 2] = ["/dev/fd", "/proc/self/fd"];

/// JSON beside the weights: configurations, indexes, names of tokens.
pub const CONFIGURATION: Kind = Kind { what: "a model's configuration", most_bytes: 256 * MIB };
/// `tokenizer.json`.
pub const TOKENIZER: Kind = Kind { what: "a tokenizer", most_bytes: 1024 * MIB };
/// A chat template.
pub const TEMPLATE: Kind = Kind { what: "a chat template", most_bytes: 16 * MIB };
/// Weights, which are mapped and not read.
pub const WEIGHTS: Kind = Kind { what: "weights", most_bytes: u64::MAX };
/// A mask, plan or importance. Importance of the largest models, in the widest type and as text, is
/// ten times smaller.
pub const MASK: Kind = Kind { what: "a mask or importance", most_bytes: 256 * MIB };
/// A prompt. The longest context of today's models, ten million tokens, is two thirds of this.
pub const PROMPT: Kind = Kind { what: "a prompt", most_bytes: 64 * MIB };
/// Kernels for a GPU.
pub const KERNELS: Kind = Kind { what: "kernels for a GPU", most_bytes: 256 * MIB };
/// A text to learn or to measure on.
pub const TEXT: Kind = Kind { what: "a text", most_bytes: 2048 * MIB };
/// The program's own settings.
pub const SETTINGS: Kind = Kind { what: "settings", most_bytes: MIB };
/// What `kscope bench` measured.
pub const MEASUREMENTS: Kind = Kind { what: "measurements", most_bytes: 256 * MIB };
/// A data set to evaluate on, or answers to score.
pub const DATA: Kind = Kind { what: "a data set", most_bytes: 2048 * MIB };
/// What an evaluation found.
pub const RESULTS: Kind = Kind { what: "results of an evaluation", most_bytes: 1024 * MIB };
/// Logits of an evaluation, which are read row by row.
pub const LOGITS: Kind = Kind { what: "base logits", most_bytes: u64::MAX };
/// What a user says of GPUs.
pub const GPUS: Kind = Kind { what: "a list of GPUs", most_bytes: MIB };
/// A list of ways to learn.
pub const VARIANTS: Kind = Kind { what: "a list of variants", most_bytes: MIB };
/// A recorded session.
pub const RECORDING: Kind = Kind { what: "a recording", most_bytes: 4096 * MIB };
/// The state of a learning that was interrupted.
pub const CHECKPOINT: Kind = Kind { what: "a checkpoint", most_bytes: 4096 * MIB };

/// Opens a regular file. Anything else, or a file that is larger than its kind, is refused.
pub fn open(path: &Path, kind: Kind) -> Result<File> {
    let failed = |cause: std::io::Error| error::io("reading", path, &cause);
    // A pipe is not even opened: that would wait for its other end.
    check(path, kind, &std::fs::metadata(path).map_err(failed)?)?;
    let file = options().open(path).map_err(failed)?;
    // Something else may have come in its place.
    check(path, kind, &file.metadata().map_err(failed)?)?;
    Ok(file)
}

/// The bytes of a file.
pub fn read(path: &Path, kind: Kind) -> Result<Vec<u8>> {
    // It may grow while it is read, or not know its size, as files of the kernel do not.
    read_stream(open(path, kind)?, path, kind)
}

/// The bytes of a file, or of a pipe that the caller holds open for the program, as shells do for
/// `<(command)`. A pipe with a name of its own is refused: its other end may never come.
pub fn read_given(path: &Path, kind: Kind) -> Result<Vec<u8>> {
    let found = std::fs::metadata(path).map(|metadata| name_of(metadata.file_type()));
    if !found.is_ok_and(|found| found == PIPE) {
        return read(path, kind);
    }
    if !HELD_OPEN.iter().any(|folder| path.starts_with(folder)) {
        return Err(Error::input(format!(
            "{}: expected a file with {}, found {PIPE}, whose other end may never come: `<(command)` and - are read",
            path.display(),
            kind.what
        )));
    }
    let pipe = File::open(path).map_err(|cause| error::io("reading", path, &cause))?;
    read_stream(pipe, path, kind)
}

/// What a stream gives up to its end, such as standard input; `name` stands for it in errors.
pub fn read_stream(stream: impl Read, name: &Path, kind: Kind) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream
        .take(kind.most_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|cause| error::io("reading", name, &cause))?;
    check_size(name, kind, bytes.len() as u64)?;
    Ok(bytes)
}

/// The next line of a stream without its end, `None` at the end of the stream; `name` stands for it
/// in errors.
pub fn read_line(stream: &mut impl BufRead, name: &Path, kind: Kind) -> Result<Option<String>> {
    let mut bytes = Vec::new();
    let mut most = stream.take(kind.most_bytes.saturating_add(1));
    let read = most.read_until(b'\n', &mut bytes);
    if read.map_err(|cause| error::io("reading", name, &cause))? == 0 {
        return Ok(None);
    }
    check_size(name, kind, bytes.len() as u64)?;
    let mut line = text_of(bytes, name)?;
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(Some(line))
}

/// The text of a file.
pub fn read_text(path: &Path, kind: Kind) -> Result<String> {
    text_of(read(path, kind)?, path)
}

/// Bytes as text; `name` stands for their file in errors.
pub fn text_of(bytes: Vec<u8>, name: &Path) -> Result<String> {
    String::from_utf8(bytes).map_err(|cause| {
        let encoding = match cause.as_bytes() {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => ": it begins as UTF-16 does",
            _ => "",
        };
        Error::input(format!(
            "{} is no UTF-8 text (byte {} is wrong){encoding}",
            name.display(),
            cause.utf8_error().valid_up_to()
        ))
    })
}

/// The text of a JSON file. JSON knows no byte order mark, which some editors put before a text.
pub fn read_json(path: &Path, kind: Kind) -> Result<String> {
    let text = read_text(path, kind)?;
    match text.starts_with('\u{feff}') {
        false => Ok(text),
        true => Err(Error::input(format!(
            "{} begins with a byte order mark, which JSON does not allow: save it as UTF-8 without one",
            path.display()
        ))),
    }
}

/// What `read` gives, or `None` where there is no such file.
pub fn if_there<T>(
    path: &Path,
    kind: Kind,
    read: impl FnOnce(&Path, Kind) -> Result<T>,
) -> Result<Option<T>> {
    match std::fs::metadata(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        _ => read(path, kind).map(Some),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    options
}

fn check(path: &Path, kind: Kind, metadata: &Metadata) -> Result<()> {
    if !metadata.is_file() {
        return Err(Error::input(format!(
            "{}: expected a file with {}, found {}",
            path.display(),
            kind.what,
            name_of(metadata.file_type())
        )));
    }
    check_size(path, kind, metadata.len())
}

fn check_size(path: &Path, kind: Kind, bytes: u64) -> Result<()> {
    if bytes <= kind.most_bytes {
        return Ok(());
    }
    Err(Error::input(format!(
        "{}: expected {} of at most {} bytes, found {} bytes or more",
        path.display(),
        kind.what,
        count(kind.most_bytes as usize),
        count(bytes as usize)
    )))
}

fn name_of(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return PIPE;
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if kind.is_dir() { "a folder" } else { "something else" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Kind = Kind { what: "a test", most_bytes: 8 };

    fn refusal(path: &Path) -> String {
        let error = read(path, SMALL).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    }

    #[cfg(unix)]
    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for (path, found) in [
            (&*pipe, "a pipe"),
            (&link, "a pipe"),
            (&socket, "a socket"),
            (Path::new("/dev/zero"), "a device"),
            (folder.path(), "a folder"),
        ] {
            let expected =
                format!("{}: expected a file with a test, found {found}", path.display());
            assert_eq!(refusal(path), expected);
        }
        assert!(
            refusal(&folder.path().join("none")).ends_with("none: there is no such file or folder")
        );
    }

    /// `--prompt-file <(command)` was once refused as a pipe that may never begin.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_that_a_shell_holds_open_is_read_and_one_with_a_name_is_not() {
        use std::io::Write;
        use std::os::fd::AsRawFd;
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"1234567").unwrap();
        drop(writer);
        for folder in HELD_OPEN {
            let path = Path::new(folder).join(reader.as_raw_fd().to_string());
            let expected: &[u8] = if folder == HELD_OPEN[0] { b"1234567" } else { b"" };
            assert_eq!(read_given(&path, SMALL).unwrap(), expected, "{folder}");
            assert!(read(&path, SMALL).is_err(), "{folder}: elsewhere it stays refused");
        }
        let folder = tempfile::tempdir().unwrap();
        let named = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&named).status().unwrap().success());
        let refused = read_given(&named, SMALL).unwrap_err();
        assert_eq!(refused.exit_code(), 2);
        assert!(refused.to_string().contains("found a pipe, whose other end"), "{refused}");
        std::fs::write(folder.path().join("file"), "1").unwrap();
        assert_eq!(read_given(&folder.path().join("file"), SMALL).unwrap(), b"1");
        assert!(read_given(folder.path(), SMALL).is_err());
    }

    #[test]
    fn a_file_is_no_larger_than_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "12345678").unwrap();
        assert_eq!(read_text(&path, SMALL).unwrap(), "12345678");
        std::fs::write(&path, "123456789").unwrap();
        assert!(refusal(&path).ends_with("of at most 8 bytes, found 9 bytes or more"));
        // A hole of a terabyte takes no memory.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(refusal(&path).contains("at most 8 bytes"));
    }

    #[test]
    fn what_is_no_utf_8_and_what_json_does_not_allow_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read_json(&path, SMALL).unwrap_err().to_string()
        };
        assert!(refused(b"\xef\xbb\xbf{}").contains("a byte order mark"));
        assert!(refused(b"\xff\xfe{\0}\0").ends_with("it begins as UTF-16 does"));
        assert!(refused(b"{}\xff").ends_with("is no UTF-8 text (byte 2 is wrong)"));
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(read_json(&path, SMALL).unwrap(), "{}");
        assert_eq!(if_there(&path, SMALL, read_json).unwrap().as_deref(), Some("{}"));
        assert!(if_there(&folder.path().join("none"), SMALL, read_json).unwrap().is_none());
    }
}

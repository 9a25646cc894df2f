//! Nothing lost, nothing torn, nobody fooled: what docs/RELIABILITY.md promises of faults, load and
//! concurrency. `KSCOPE_RELIABILITY=long` makes the long form; `cargo xtask reliability` runs both
//! forms and prints the figures.

mod corpus;
mod kills;
mod memory;
mod permission;
mod place;
mod protocol;
mod shrunk;
mod streams;
mod writers;

use std::path::Path;
use std::process::{Command, Output};

/// The long form.
pub fn is_long() -> bool {
    std::env::var("KSCOPE_RELIABILITY").is_ok_and(|form| form == "long")
}

/// So many in the short form, and so many in the long one.
pub fn times(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// Prints a figure for the table of `cargo xtask reliability`.
pub fn figure(what: &str, found: impl std::fmt::Display) {
    println!("figure\t{what}\t{found}");
}

/// The program in a folder of its own, which is its home as well.
pub fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kscope"));
    command.current_dir(home).env("RUST_BACKTRACE", "0").env("HOME", home);
    for name in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"] {
        command.env(name, home);
    }
    command
}

/// The program under a shell that does something first, such as `ulimit -v 900000`.
pub fn under(home: &Path, first: &str, args: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command.arg("-c").arg(format!("{first}; exec \"$@\"")).arg("bash");
    command.arg(env!("CARGO_BIN_EXE_kscope")).args(args).current_dir(home).env("HOME", home);
    command.env("RUST_BACKTRACE", "0").env("XDG_CACHE_HOME", home);
    command
}

/// The text of what a program printed.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Checks a refusal: the exit code, and one sentence on standard error that has these words.
#[track_caller]
pub fn refused(output: &Output, code: i32, words: &str) {
    let sentence = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{sentence}");
    assert!(sentence.contains(words), "expected `{words}` in: {sentence}");
    assert!(!sentence.contains("panicked"), "{sentence}");
}

/// Arguments of a learning with so many updates of its two stages.
pub fn learn<'a>(updates: [&'a str; 2], more: &[&'a str]) -> Vec<&'a str> {
    let mut args =
        vec!["learn", "--method", "leank", "--ctx", "256..320", "--accumulate", "1", "--pool", "4"];
    args.extend(["--check-prompts", "0", "--sparsity", "0.5", "--no-rivals", "--threads", "1"]);
    args.extend(["--steps", updates[0], "--mask-steps", updates[1]]);
    args.extend(more);
    args
}

/// The shortest learning.
pub fn quick<'a>(more: &[&'a str]) -> Vec<&'a str> {
    learn(["4", "2"], more)
}

/// The shipped mask of the demo model.
pub fn demo_mask() -> String {
    kscope_testing::root().join("masks/demo.safetensors").display().to_string()
}

/// The names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

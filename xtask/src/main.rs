//! Chores of this repository: `cargo xtask NAME`. docs/DEVELOPING.md describes each.

mod fuzz;
mod reliability;
mod tree;

use std::path::Path;
use std::process::{Command, ExitCode};

const USAGE: &str = "cargo xtask NAME
  ci                       everything that is checked on a change (.ci/run)
  bless                    write what tests compare with: snapshots, docs/keys.md, the module tree
  tree [--check|--write]   print the module tree of src/; compare it with docs/ARCHITECTURE.md; put it there
  screens [PYTHON]         take the pictures in docs/screens (needs tmux, Pillow, the real model)
  fuzz [READER [SECONDS]]  fuzz one reader of outside files, or each of them for five minutes; `fuzz all SECONDS`
                           for so long each (needs nightly, cargo-fuzz)
  reliability [--long [SECONDS]]
                           the tests behind docs/RELIABILITY.md and their figures; --long: more of everything, and
                           a soak of an hour or of so many seconds
  cuda                     build the program with feature `cuda` into target-cuda/";

type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["ci"] => bash(&[".ci/run"]),
        ["bless"] => bless(),
        ["tree"] => tree::draw(root()).map(|drawing| print!("{drawing}")),
        ["tree", "--check"] => tree::check(root()),
        ["tree", "--write"] => tree::write(root()),
        ["screens"] => bash(&["docs/screens/make.sh"]),
        ["screens", python] => bash(&["docs/screens/make.sh", python]),
        ["fuzz"] => fuzz::run_targets("all", "300"),
        ["fuzz", reader] => fuzz::run_targets(reader, "60"),
        ["fuzz", reader, seconds] => fuzz::run_targets(reader, seconds),
        ["reliability"] => reliability::run(None),
        ["reliability", "--long"] => reliability::run(Some(None)),
        ["reliability", "--long", seconds] => reliability::run(Some(Some(seconds))),
        ["cuda"] => cuda(),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository, where every chore runs.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the repository")
}

/// Runs a command in the root and returns its failure.
fn run(command: &mut Command) -> Outcome {
    let shown = format!("{command:?}");
    match command.current_dir(root()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown}: {status}")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

fn bash(words: &[&str]) -> Outcome {
    run(Command::new("bash").args(words))
}

/// Only runs the tests that compare with written files. The others take minutes and write nothing.
fn bless() -> Outcome {
    tree::write(root())?;
    run(Command::new("cargo")
        .args(["test", "--release", "--lib", "--test", "mask", "--test", "tui"])
        .env("INSTA_UPDATE", "always")
        .env("INSTA_FORCE_PASS", "1")
        .env("KSCOPE_BLESS", "1"))?;
    run(Command::new("git").args(["status", "--short"]))
}

fn cuda() -> Outcome {
    bash(&["kernels/toolkit.sh"])?;
    run(Command::new("cargo").args([
        "build",
        "--release",
        "--features",
        "cuda",
        "--target-dir",
        "target-cuda",
    ]))
}

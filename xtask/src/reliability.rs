//! `cargo xtask reliability`: the tests behind docs/RELIABILITY.md, and a table of their figures.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{Outcome, root};

/// Test binaries, the filter of their tests, and what they are about.
const PARTS: [(&str, &str, &str); 9] = [
    ("bad_input", "", "malformed and hostile inputs of every reader"),
    ("reliability", "", "faults, kills, writers, the engine's protocol"),
    ("tui", "signal", "signals and the terminal"),
    ("alone_mask_hostile", "", "memory of hostile mask files"),
    ("decode", "degenerate", "numbers that are valid and hostile"),
    ("decode", "numbers", "numbers that cannot be right"),
    ("model", "outside", "what lies in a file's place"),
    ("eval", "cancel", "an evaluation that is cancelled"),
    ("alone_soak", "", "a session that goes on for long"),
];

/// Seconds of the soak in the long form.
const SOAK: &str = "3600";

/// Runs every part, also after one that failed. `soak` is the long form's, in seconds.
pub fn run(soak: Option<Option<&str>>) -> Outcome {
    let mut table = Vec::new();
    let mut failed = Vec::new();
    for (test, filter, about) in PARTS {
        let mut command = Command::new("cargo");
        command.args(["test", "--release", "--test", test, "--", "--nocapture"]).arg(filter);
        // Figures of two tests at once would mix, and so would their load.
        command.args(["--test-threads", "1"]).current_dir(root());
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        if let Some(seconds) = soak {
            command.env("KSCOPE_RELIABILITY", "long");
            command.env("KSCOPE_SOAK", seconds.unwrap_or(SOAK));
        }
        eprintln!("== {test}: {about}");
        let began = Instant::now();
        let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let outcome = match output.status.success() {
            true => "ok",
            false => "FAILED",
        };
        if outcome != "ok" {
            println!("{said}");
            failed.push(test);
        }
        let seconds = began.elapsed().as_secs();
        table.push((format!("{test} ({about})"), format!("{outcome}, {seconds} s")));
        for line in said.lines() {
            // A figure may stand behind the name of its test.
            if let Some((_, figure)) = line.split_once("figure\t")
                && let Some((what, found)) = figure.split_once('\t')
            {
                table.push((format!("  {what}"), found.to_owned()));
            }
        }
    }
    let width = table.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0);
    for (what, found) in &table {
        println!("{what:width$}  {found}");
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("failed: {}", failed.join(", "))),
    }
}

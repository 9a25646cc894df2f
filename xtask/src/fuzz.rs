//! `cargo xtask fuzz`: the fuzz targets of fuzz/, one for each reader of outside files.

use std::process::Command;

use crate::{Outcome, root, run};

/// Readers, and the folder of good files that each begins with besides `tests/corpus/fuzz/READER`.
const READERS: [(&str, &str); 15] = [
    ("safetensors", "tests/corpus/mask/safetensors"),
    ("pth", "tests/vectors/mask"),
    ("npy", "tests/vectors/mask"),
    ("tsv", "tests/vectors/mask"),
    ("weights", "tests/vectors/tiny/weights"),
    ("gguf", "tests/vectors/gguf"),
    ("configuration", "tests/vectors/tiny"),
    ("tokenizer", "tests/vectors/tiny/tokenizer"),
    ("template", ""),
    ("settings", ""),
    ("recording", ""),
    ("samples", ""),
    ("results", ""),
    ("logits", "tests/vectors/eval"),
    ("arguments", ""),
];

/// Seconds and megabytes after which an input counts as found.
const PATIENCE: &str = "-timeout=20";
const MOST_MEMORY: &str = "-rss_limit_mb=3000";

/// Fuzzes a reader, or `all` in turn, for so many seconds each. What is found lies in
/// fuzz/artifacts, inputs that reach new code in fuzz/corpus.
pub fn run_targets(reader: &str, seconds: &str) -> Outcome {
    let chosen: Vec<_> =
        READERS.iter().filter(|(name, _)| reader == "all" || *name == reader).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = READERS.iter().map(|(name, _)| *name).collect();
        return Err(format!("{reader} is no reader: expected all, {}", names.join(", ")));
    }
    let mut failed = Vec::new();
    for (name, good) in chosen {
        // New inputs gather in the first folder.
        let folders = [format!("fuzz/corpus/{name}"), format!("tests/corpus/fuzz/{name}")];
        for folder in &folders {
            std::fs::create_dir_all(root().join(folder)).map_err(|error| error.to_string())?;
        }
        let good = Some(good).filter(|good| !good.is_empty());
        let done = run(Command::new("rustup")
            .args(["run", "nightly", "cargo", "fuzz", "run", name])
            .args(&folders)
            .args(good)
            .args(["--", PATIENCE, MOST_MEMORY, "-print_final_stats=1"])
            .arg(format!("-max_total_time={seconds}")));
        if done.is_err() {
            failed.push(*name);
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("findings in fuzz/artifacts: {}", failed.join(", "))),
    }
}

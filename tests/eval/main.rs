//! Evaluation: scores, tasks, texts, data sets and the command line.

mod base_logits;
mod cancel;
mod counted;
mod data;
mod llama;
mod report;
mod runs;
mod scores;
mod stability;

use std::path::Path;

use kscope_testing::{kscope, root};

/// The mask that ships with the demo model.
fn demo_mask() -> String {
    root().join("masks/demo.safetensors").display().to_string()
}

/// Runs `kscope eval` on the demo model with its mask and k4v4; the small window makes short
/// contexts have a middle.
fn eval(arguments: &[&str]) -> std::process::Output {
    let mask = demo_mask();
    let fixed = ["eval", "--model", "demo", "--mask", &mask, "--plan", "k4v4"];
    let window = ["--sink", "4", "--recent", "32", "--chunk", "32"];
    let command = [&fixed[..], &window, arguments].concat();
    kscope().env("XDG_CACHE_HOME", "/nonexistent").args(command).output().unwrap()
}

#[track_caller]
fn success(output: std::process::Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn read(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("results.jsonl")).unwrap()
}

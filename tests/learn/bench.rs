//! `kscope bench learn`: the cost of an update, and variants of learning compared at equal bytes.

use std::path::Path;
use std::process::Command;
#[cfg(unix)]
use std::{process::Stdio, time::Duration, time::Instant};

use kscope::bench::variants::VariantFile;
use kscope_testing::kscope;
use serde_json::Value;

fn json(arguments: &str) -> Value {
    let output = kscope().args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_cost_of_an_update_stands_beside_its_prefill() {
    let report = json("bench learn --json --model demo --ctx 300..600 --samples 3");
    for number in
        ["prefill_ms", "sample_ms", "step_ms", "step_to_prefill", "peak_bytes", "sample_bytes"]
    {
        assert!(report[number].as_f64().unwrap() > 0.0, "{number} in {report}");
    }
    assert!(report["worst_step_to_prefill"].as_f64() >= report["step_to_prefill"].as_f64());
    assert!((300.0..=600.0).contains(&report["context"].as_f64().unwrap()), "{report}");
}

/// Variants of every kind for the demo model, small enough for seconds.
const VARIANTS: &str = r#"
seeds = [0, 1]
targets = [0.5, "60 %"]
window = { sink = 16, recent = 64, chunk = 32 }

[check]
windows = 3
window_tokens = 400
rows = 30
prompts = 1
prompt_tokens = 300

[base]
windows = 2
window_tokens = 400
rows = 30
recall_prompts = 1
pool = 3
ctx = [220, 300]
learn_at = 0.6

[[variant]]
name = "learned"
steps = 6
mask_steps = 0

[[variant]]
name = "stage 2"
steps = 6
mask_steps = 3

[[variant]]
name = "fisher"
start = "fisher"

[[variant]]
name = "rounds"
start = "sensitivity"
rounds = 1

[[variant]]
name = "think"
start = "think"

[[variant]]
name = "on predictions, from sensitivity"
start = "sensitivity"
steps = 2
mask_steps = 1
loss = "divergence"
"#;

/// The command that compares variants in a folder.
fn comparing(folder: &Path, text: &str) -> Command {
    let file = folder.join("variants.toml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kscope"));
    command.args(["bench", "learn", "--json", "--model", "demo", "--variants"]).args([
        &file,
        Path::new("--out"),
        &folder.join("out"),
    ]);
    command
}

/// Runs variants in a folder: the report, or what was said.
fn variants(folder: &Path, text: &str) -> Result<Value, String> {
    let output = comparing(folder, text).output().unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

/// The rows without the seconds.
fn rows(report: &Value) -> Vec<Value> {
    let mut rows = report["rows"].as_array().unwrap().clone();
    rows.iter_mut().for_each(|row| row["seconds"] = Value::Null);
    rows
}

#[test]
fn variants_are_compared_at_equal_bytes_and_go_on_where_they_were_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let report = variants(folder.path(), VARIANTS).unwrap();
    let first = rows(&report);
    assert_eq!(first.len(), 6 * 2, "a row for every variant and target");
    assert_eq!(report["windows"], serde_json::json!(["sentences", "sentences", "sentences"]));
    let number = |row: &Value, key: &str| row[key].as_f64().unwrap();
    for (at, row) in first.iter().enumerate() {
        assert_eq!((&row["seeds"], &row["recall"]["asked"]), (&2.into(), &7.into()), "{row}");
        assert!(number(row, "kld") > 0.0 && number(row, "kld_over_seeds") >= 0.0, "{row}");
        assert_eq!(row["window_kld"].as_array().unwrap().len(), 3);
        assert_eq!(row["paired"].is_null(), at < 2, "the first variant is compared with none");
        // Of ten heads with 64 channels, one head with its V and 8 channels is 5.6 % of the bytes.
        let wanted = number(&first[at % 2], "bytes_share");
        let share = number(row, "bytes_share");
        assert!(share <= wanted + 1e-6 && share > wanted - 0.06, "{row}");
    }
    assert_eq!(first[0]["validation"], Value::Null, "without stage 2 nothing is validated");
    let validation = |at: usize| first[2]["validation"][at].as_f64().unwrap();
    assert!(validation(1) <= validation(0), "{}", first[2]);
    // The best masks are files that other commands read.
    let mask = folder.path().join("out/fisher-1-0.5.safetensors");
    let shown = kscope().args(["mask", "validate", "--model", "demo"]).arg(&mask).output().unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));

    // Stopped in the middle of a line, with a mask missing: the same table in the end.
    let results = folder.path().join("out/results.jsonl");
    let whole = std::fs::read_to_string(&results).unwrap();
    let lines = whole.lines().count();
    let at = whole.match_indices('\n').nth(lines * 2 / 3).unwrap().0 + 20;
    std::fs::write(&results, &whole[..at]).unwrap();
    std::fs::remove_file(&mask).unwrap();
    assert_eq!(rows(&variants(folder.path(), VARIANTS).unwrap()), first);
    assert!(mask.is_file());
    let finished = std::fs::read(&results).unwrap();

    // What is there is not done again, whatever else the file lists now.
    let fewer = VARIANTS.replace("seeds = [0, 1]", "seeds = [0]");
    assert_eq!(rows(&variants(folder.path(), &fewer).unwrap())[3]["seeds"], 1);
    assert_eq!(std::fs::read(&results).unwrap(), finished, "a run with nothing to do adds nothing");
    let more = format!("{VARIANTS}\n[[variant]]\nname = \"slow\"\nstart = \"frequency\"\n");
    let report = variants(folder.path(), &more).unwrap();
    assert_eq!(rows(&report)[..12], first[..]);
    let added = std::fs::read_to_string(&results).unwrap();
    let added = &added[finished.len()..];
    assert_eq!(added.matches("{\"made\"").count(), 4, "{added}");

    // Another window is another run.
    let other = VARIANTS.replace("recent = 64", "recent = 32");
    let error = variants(folder.path(), &other).unwrap_err();
    assert!(error.contains("results of another run: expected `window`"), "{error}");
    std::fs::write(&results, "{}\n").unwrap();
    let error = variants(folder.path(), VARIANTS).unwrap_err();
    assert!(error.contains("results.jsonl, line 1: this is no header"), "{error}");
}

#[test]
#[cfg(unix)]
fn a_comparison_that_is_stopped_says_how_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = comparing(folder.path(), VARIANTS).stderr(Stdio::piped()).spawn().unwrap();
    let results = folder.path().join("out/results.jsonl");
    let end = Instant::now() + Duration::from_secs(120);
    while !std::fs::read_to_string(&results).is_ok_and(|text| text.contains("{\"made\"")) {
        assert!(Instant::now() < end, "{:?}", child.try_wait());
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("stopped: what is finished stays in"), "{said}");
}

#[test]
fn the_files_of_variants_in_the_documentation_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/variants");
    let mut seen = false;
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = VariantFile::read(&entry.unwrap().path()).unwrap();
        assert!(file.variants.len() > 1);
        seen = true;
    }
    assert!(seen, "no file of variants");
}

#[test]
fn a_file_of_variants_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let head = "seeds = [0]\ntargets = [0.5]\n[[variant]]\nname = \"x\"\n";
    for (text, expected) in [
        (
            format!("{head}start = \"fisher\"\nmore_steps = 3"),
            "variant `x`: unknown field `more_steps`",
        ),
        (format!("{head}start = \"missing.safetensors\""), "variant `x`: `start` is `none`"),
        (
            format!("{head}start = \"fisher\"").replace("0.5", "\"missing.safetensors\""),
            "missing.safetensors",
        ),
        (
            format!("{head}start = \"fisher\"\n[check]\nwindow_tokens = 1000000"),
            "`window_tokens` 1,000,000 is more than the model's context",
        ),
        (format!("texts = [\"missing.txt\"]\n{head}start = \"fisher\""), "missing.txt"),
    ] {
        let error = variants(folder.path(), &text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!folder.path().join("out").exists(), "nothing is written: {text}");
    }
    let output = kscope().args(["bench", "learn", "--variants", "x.toml"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("--out"), "{said}");
}

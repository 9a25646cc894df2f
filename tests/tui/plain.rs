//! The inspector without a terminal: the same figures as text and JSON, and input that is refused.

use assert_cmd::Command;
use kscope_testing::kscope;

fn kscope_at(home: &std::path::Path) -> Command {
    let mut command = kscope();
    command.env("XDG_CONFIG_HOME", home).env("XDG_STATE_HOME", home).current_dir(home);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn without_a_terminal_the_summary_is_printed() {
    let home = tempfile::tempdir().expect("a folder");
    let output = kscope_at(home.path()).args(["--max-new", "20"]).output().expect("runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let summary = text(&output.stdout);
    for part in ["demo · cpu", "mask", "KV cache of", "ended:"] {
        assert!(summary.contains(part), "{summary}");
    }
    assert!(!summary.contains('\u{1b}'), "no escape sequence");
}

#[test]
fn a_recorded_session_has_the_figures_that_were_printed() {
    let home = tempfile::tempdir().expect("a folder");
    let live = kscope_at(home.path())
        .args(["--json", "--max-new", "20", "--record", "a.jsonl"])
        .output()
        .expect("runs");
    let played =
        kscope_at(home.path()).args(["replay", "a.jsonl", "--json"]).output().expect("runs");
    assert!(live.status.success() && played.status.success(), "{}", text(&played.stderr));
    let [live, played] = [live, played]
        .map(|output| serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON"));
    for key in [
        "model",
        "text",
        "generated_tokens",
        "kv_bytes",
        "tokens_per_s",
        "tpot_p50_ms",
        "mask",
        "finish",
    ] {
        assert_eq!(live[key], played[key], "{key}");
    }
}

#[test]
fn what_is_wrong_ends_with_code_2_and_one_sentence() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("kscope");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(home.path().join("junk.jsonl"), "{}\n").expect("written");
    std::fs::write(home.path().join("junk.safetensors"), "junk").expect("written");
    let refused = |config: &str, args: &[&str], part: &str| {
        std::fs::write(folder.join("config.toml"), config).expect("written");
        let output = kscope_at(home.path()).args(args).output().expect("runs");
        let sentence = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{sentence}");
        assert!(
            sentence.starts_with("kscope: ")
                && sentence.lines().count() == 1
                && sentence.contains(part),
            "{sentence}"
        );
    };
    refused(
        "[keys.map]\nmetric = [\"v\"]\n",
        &["--plain"],
        "the key `v` means both metric and scale in [keys.map]",
    );
    refused("[keys.map]\nmetric = [\"hyper-x\"]\n", &["--plain"], "`hyper-x` is no key");
    refused("colours = 3\n", &["--plain"], "line 1: unknown field `colours`");
    refused("", &["--plain", "--color", "many"], "--color must be auto");
    refused("", &["--plain", "--mask", "junk.safetensors"], "junk.safetensors");
    refused("", &["--plain", "--mask", "missing.safetensors"], "missing.safetensors");
    refused("", &["replay", "junk.jsonl"], "line 1 is no event");
    refused("", &["replay", "missing.jsonl"], "missing.jsonl");
    refused("", &["--plain", "--model", "no-such-model"], "no-such-model");
}

#[test]
fn the_bench_of_the_inspector_goes_through_its_rounds() {
    let home = tempfile::tempdir().expect("a folder");
    let bench = ["bench", "tui", "--model", "demo", "--tokens", "200", "--rounds", "2", "--json"];
    let output = kscope_at(home.path()).env("TERM", "xterm").args(bench).output().expect("runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(report["first_frame_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{report}");
    let rounds = text(&output.stderr);
    assert_eq!(rounds.matches("a step without a screen").count(), 2, "{report}");
    // The second round once read the recording of the first.
    let with: Vec<&str> =
        rounds.lines().filter_map(|line| line.split("a step without a screen, ").nth(1)).collect();
    assert!(with.len() == 2 && with[0] != with[1], "{rounds}");
}

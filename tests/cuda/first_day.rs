//! What `tests/gpu/first_day.sh` concludes from what a program says. The programs here are scripts:
//! the real one runs it over the CUDA driver by hand (docs/GPU.md).

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use kscope_testing::root;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// Answers of a program whose every case passes and whose every figure is usual.
const USUAL: &str = r#"
case "$1 $2" in
selftest*) echo "a GPU: every case against the scalar oracle"; echo "ok    1.0e-3 of 1e-2  a case" ;;
"bench attention") echo '{"gpu":"a GPU","copy_gbps":1000,"rows":[{"batch":1,"tokens":256,"dense_ms":3,"pruned_ms":2,"byte_ratio":1.7}]}' ;;
*) echo '{"rows":[]}' ;;
esac
"#;

/// A program that does `first`, and otherwise what is usual.
fn written(folder: &Path, first: &str) {
    let program = folder.join("program");
    std::fs::write(&program, format!("#!/usr/bin/env bash\n{first}\n{USUAL}")).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
}

fn first_day(folder: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new("bash");
    command.arg(root().join("tests/gpu/first_day.sh")).args(["program", "day.json"]);
    command.current_dir(folder).env("SIZES", "small").env_remove("LD_LIBRARY_PATH");
    command.envs(settings.iter().copied()).stdin(Stdio::null());
    command
}

/// The report, and what the script printed.
fn report(folder: &Path, output: &Output) -> (serde_json::Value, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let json = std::fs::read(folder.join("day.json")).unwrap_or_else(|_| panic!("{text}"));
    (serde_json::from_slice(&json).unwrap(), text)
}

/// What is concluded where the program does `first`.
fn concluded(first: &str, settings: &[(&str, &str)]) -> (serde_json::Value, String) {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), first);
    let output = first_day(folder.path(), settings).output().unwrap();
    report(folder.path(), &output)
}

fn decisions(report: &serde_json::Value) -> String {
    let all = report["decisions"].as_array().unwrap();
    all.iter().map(|of| of.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_self_test_that_fails_is_told_by_what_happens_when_launches_block() {
    let fails = r#"echo "ok    a case"; echo "FAILED  bf16 d 256: error 4.1e-1"; for i in $(seq 500); do echo "ok    case $i"; done; exit 1"#;
    let only = [("STEPS", "selftest*")];
    let (report, _) = concluded("true", &only);
    assert_eq!((&report["right"], decisions(&report)), (&true.into(), String::new()), "{report}");
    let always = format!(r#"[ "$1" = selftest ] && {{ {fails}; }}"#);
    let (report, _) = concluded(&always, &only);
    assert_eq!(report["right"], false);
    assert_eq!(report["steps"]["selftest"]["failures"][0], "FAILED  bf16 d 256: error 4.1e-1");
    assert!(decisions(&report).contains("also when launches block"), "{report}");
    let lazily = format!(r#"[ "$1$CUDA_LAUNCH_BLOCKING" = selftest ] && {{ {fails}; }}"#);
    let (report, _) = concluded(&lazily, &only);
    assert!(decisions(&report).contains("passes when launches block: an error of order"));
    // A run that was cut says nothing about the kind.
    let cut = format!(
        r#"[ "$1$CUDA_LAUNCH_BLOCKING" = selftest ] && {{ {fails}; }}; [ "$1" = selftest ] && sleep 60"#
    );
    let (report, _) = concluded(&cut, &[only[0], ("DEADLINE", "15")]);
    assert!(decisions(&report).contains("was cut: an error of order or of arithmetic"), "{report}");
    let (report, _) = concluded("sleep 60", &[only[0], ("DEADLINE", "10")]);
    assert_eq!(report["right"], serde_json::Value::Null);
    assert!(decisions(&report).contains("cut at its time limit"), "{report}");
}

#[test]
fn what_is_wrong_with_a_figure_is_a_decision() {
    let attention = |json: &str| format!(r#"[ "$2" = attention ] && {{ echo '{json}'; exit 0; }}"#);
    let only = [("STEPS", "selftest attention_single")];
    for (json, part) in [
        (r#"{"gpu":"a GPU","rows":[],"not_recorded":"no"}"#, "not recorded (no)"),
        (r#"{"gpu":"a GPU","rows":[],"failed":"illegal address"}"#, "ended by illegal address"),
        (
            r#"{"gpu":"a GPU","rows":[],"not_measured":[{"batch":1,"tokens":9,"why":"no memory"}]}"#,
            "1 x 9 was not measured: no memory",
        ),
        (
            r#"{"gpu":"a GPU","rows":[{"batch":1,"tokens":9,"dense_ms":4,"pruned_ms":2,"byte_ratio":1.5}]}"#,
            "above the byte ratio",
        ),
        (
            r#"{"gpu":"NVIDIA H200","copy_gbps":99,"rows":[{"batch":1,"tokens":9,"dense_ms":3,"pruned_ms":2,"byte_ratio":1.5}]}"#,
            "",
        ),
    ] {
        let (report, _) = concluded(&attention(json), &only);
        let decisions = decisions(&report);
        assert!(decisions.contains(part) && decisions.is_empty() == part.is_empty(), "{report}");
    }
}

/// Steps of two runs come together; others than this program's do not, and neither do steps that
/// nobody knows.
#[test]
fn runs_of_one_program_add_up() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), "true");
    let run = |settings: &[(&str, &str)]| {
        let output = first_day(folder.path(), settings).output().unwrap();
        let (json, text) = report(folder.path(), &output);
        (output.status.code(), json, text)
    };
    let (code, json, _) = run(&[("STEPS", "selftest")]);
    assert_eq!((code, json["steps"].as_object().unwrap().len()), (Some(0), 1));
    let (code, json, _) = run(&[("STEPS", "attention_*")]);
    assert_eq!((code, json["steps"].as_object().unwrap().len()), (Some(0), 3));
    assert_eq!((&json["right"], &json["gpu"]), (&true.into(), &"a GPU".into()));
    let (code, _, text) = run(&[("STEPS", "attention_twice")]);
    assert!(code == Some(2) && text.contains("no step is called attention_twice"), "{text}");
    let (_, json, _) = run(&[("DEADLINE", "0")]);
    assert!(json["no_time_for"].as_array().unwrap().len() > 5, "{json}");
    written(folder.path(), "# another");
    let (code, _, text) = run(&[]);
    assert!(code == Some(2) && text.contains("another program"), "{text}");
}

#[test]
fn whoever_stops_it_keeps_what_was_done() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), r#"[ "$2" = attention ] && { echo $$ >../pid; exec sleep 600; }"#);
    let mut running = first_day(folder.path(), &[]).stderr(Stdio::null()).spawn().unwrap();
    let since = Instant::now();
    let pid = loop {
        assert!(since.elapsed() < Duration::from_secs(60), "attention begins");
        match std::fs::read_to_string(folder.path().join("pid")) {
            Ok(pid) if pid.ends_with('\n') => break pid.trim().parse::<i32>().unwrap(),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let process = |pid: i32| Pid::from_raw(pid).unwrap();
    kill_process(process(running.id() as i32), Signal::TERM).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(143));
    let gone = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        test_kill_process(process(pid)).is_err()
    });
    assert!(gone, "its step is ended, too");
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("day.json")).unwrap()).unwrap();
    assert_eq!(json["steps"]["selftest"]["status"], 0);
    assert_eq!(json["steps"]["attention_batch"]["status"], 143);
}

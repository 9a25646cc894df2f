//! Standard streams that are closed, full, or gone.

use std::fs::OpenOptions;
use std::process::Stdio;

use super::{demo_mask, names, program, quick, refused, text, under};

/// `/dev/full` takes nothing, as a full disk does.
fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").expect("linux has one").into()
}

/// The writing end of a pipe that nobody reads.
fn gone() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
#[cfg(target_os = "linux")]
fn nobody_at_standard_error_ends_no_work() {
    let home = tempfile::tempdir().unwrap();
    let run = ["run", "--prompt", "the harbour was", "--max-new", "8", "--threads", "1"];
    let heard = program(home.path()).args(run).output().unwrap();
    assert!(heard.status.success());
    for (what, stderr) in [("full", full()), ("gone", gone())] {
        let unheard = program(home.path()).args(run).stderr(stderr).output().unwrap();
        assert_eq!((unheard.status.code(), text(&unheard.stdout)), (Some(0), text(&heard.stdout)));
        let out = format!("{what}.safetensors");
        let mut learn = program(home.path());
        learn.args(quick(&["--out", &out])).stdout(Stdio::null());
        let stderr = if what == "full" { full() } else { gone() };
        assert!(learn.stderr(stderr).status().unwrap().success(), "standard error is {what}");
        assert!(home.path().join(&out).is_file());
    }
    assert!(!names(home.path()).iter().any(|name| name.starts_with(".kscope-")));
}

#[test]
#[cfg(target_os = "linux")]
fn standard_output_that_is_closed_or_full_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let mask = demo_mask();
    let commands: [&[&str]; 6] = [
        &["run", "--prompt", "the harbour was", "--max-new", "2"],
        &["run", "--prompt", "the harbour was", "--max-new", "2", "--json"],
        &["--plain", "--max-new", "2"],
        &["mask", "show", &mask],
        &["--help"],
        &["completions", "bash"],
    ];
    for args in commands {
        let closed = under(home.path(), "exec >&-", args).output().unwrap();
        refused(&closed, 1, "writing to standard output: it is closed");
        let full = under(home.path(), "exec >/dev/full", args).output().unwrap();
        refused(&full, 1, "writing to standard output: No space left");
        // A reader that went away is no error.
        let gone = program(home.path()).args(args).stdout(gone()).output().unwrap();
        assert_eq!((gone.status.code(), text(&gone.stderr).contains("panicked")), (Some(0), false));
        // Thrown away is not closed.
        for null in [">/dev/null", "1<>/dev/null"] {
            let ended = under(home.path(), &format!("exec {null}"), args).output().unwrap();
            assert_eq!(ended.status.code(), Some(0), "{args:?}: {}", text(&ended.stderr));
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_home_that_is_not_set_is_no_reason_to_fail() {
    let home = tempfile::tempdir().unwrap();
    let mut run = program(home.path());
    let ended = run.env_clear().args(["--plain", "--max-new", "2"]).output().unwrap();
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let mut run = program(home.path());
    let ended = run.env_clear().env("HOME", "/nowhere").args(["--plain", "--max-new", "2"]);
    let ended = ended.output().unwrap();
    assert!(ended.status.success(), "{}", text(&ended.stderr));
}

//! Where results go: a folder, a file that may not grow, a full disk, a mistyped argument.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{demo_mask, figure, learn, names, program, quick, refused, text, under};

#[test]
fn a_place_that_cannot_be_written_to_is_refused_before_the_work() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("folder.safetensors")).unwrap();
    let mut places = vec![
        ("folder.safetensors", "found a folder"),
        ("nowhere/mask.safetensors", "found none called nowhere"),
    ];
    if cfg!(target_os = "linux") {
        places.push(("/proc/mask.safetensors", "/proc/mask.safetensors"));
    }
    for (out, words) in places {
        // Thousands of updates: it would take minutes to find out afterwards.
        let began = Instant::now();
        let ended = program(home.path()).args(learn(["5000", "2"], &["--out", out])).output();
        refused(&ended.unwrap(), 2, words);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
    assert_eq!(names(home.path()), ["folder.safetensors"], "nothing is left");
}

#[test]
fn a_refused_learning_leaves_no_folder() {
    let home = tempfile::tempdir().unwrap();
    let out = ["--out", "m.safetensors"];
    let mut args = quick(&out);
    let ctx = args.iter().position(|argument| *argument == "--ctx").expect("lengths");
    args[ctx + 1] = "256..100000";
    let ended = program(home.path()).args(args).output().unwrap();
    refused(&ended, 2, "--ctx up to 100,000");
    let resumed = quick(&["--out", "m.safetensors", "--resume", "none"]);
    let ended = program(home.path()).args(resumed).output().unwrap();
    refused(&ended, 2, "none/state.safetensors");
    assert!(names(home.path()).is_empty(), "{:?}", names(home.path()));
}

#[test]
fn a_recording_replaces_nothing_before_the_arguments_are_known_to_be_right() {
    let home = tempfile::tempdir().unwrap();
    let mask = home.path().join("mask.safetensors");
    std::fs::copy(demo_mask(), &mask).unwrap();
    let bytes = std::fs::read(&mask).unwrap();
    let record = |args: &[&str]| {
        let mut run = program(home.path());
        run.args(["--plain", "--max-new", "2", "--force", "--record"]).args(args).output().unwrap()
    };
    std::fs::write(home.path().join("old.jsonl"), "an old recording").unwrap();
    for wrong in [["--mask", "mistyped"], ["--plan", "mistyped"], ["--model", "mistyped"]] {
        refused(&record(&[&["old.jsonl"], &wrong[..]].concat()), 2, "mistyped");
    }
    let old = std::fs::read_to_string(home.path().join("old.jsonl")).unwrap();
    assert_eq!(old, "an old recording");
    for own in [["--mask", "mask.safetensors"], ["--diff", "./mask.safetensors"]] {
        let ended = record(&[&["mask.safetensors"], &own[..]].concat());
        refused(&ended, 2, "which this session reads");
        assert_eq!(std::fs::read(&mask).unwrap(), bytes);
    }
    refused(&record(&["."]), 2, "found a folder");
    let ended = record(&["old.jsonl"]);
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let played = program(home.path()).args(["replay", "old.jsonl"]).output().unwrap();
    assert!(played.status.success(), "{}", text(&played.stderr));
}

/// `ulimit -f` stands for a full disk: a file may not grow any further.
#[test]
#[cfg(target_os = "linux")]
fn on_a_full_disk_the_old_file_stays_and_nothing_else_does() {
    let home = tempfile::tempdir().unwrap();
    let mask = demo_mask();
    std::fs::copy(&mask, home.path().join("m.safetensors")).unwrap();
    let old = std::fs::read(&mask).unwrap();
    let make =
        ["mask", "make", "--force", "--importance", &mask, "--sparsity", "0.4", "m.safetensors"];
    let ended = under(home.path(), "ulimit -f 1", &make).output().unwrap();
    refused(&ended, 1, "File too large");
    assert_eq!(std::fs::read(home.path().join("m.safetensors")).unwrap(), old);
    let record = ["--plain", "--max-new", "60", "--record", "r.jsonl"];
    let ended = under(home.path(), "ulimit -f 1", &record).output().unwrap();
    refused(&ended, 1, "recording to r.jsonl: File too large");
    assert_eq!(names(home.path()), ["m.safetensors", "r.jsonl"]);
    // What was learned is not lost with the mask: the checkpoint says so, or says why it could not
    // be written either.
    let ended = under(home.path(), "ulimit -f 1", &quick(&["--out", "l.safetensors"])).output();
    let sentence = text(&ended.as_ref().unwrap().stderr);
    refused(&ended.unwrap(), 1, "File too large");
    assert!(!home.path().join("l.safetensors").exists(), "{sentence}");
}

/// On a file system of 1 MB, where that may be mounted.
#[test]
#[cfg(target_os = "linux")]
fn a_small_file_system_fills_up_without_a_torn_file() {
    let home = tempfile::tempdir().unwrap();
    let disk = home.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).arg(&disk).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !mount("mount", &["-t", "tmpfs", "-o", "size=64k", "tmpfs"]) {
        kscope_testing::needs::cannot_run_here("no file system may be mounted");
        return;
    }
    let mask = demo_mask();
    let mut made = 0;
    let failure = loop {
        let out = format!("disk/{made}.safetensors");
        let mut make = program(home.path());
        make.args(["mask", "make", "--importance", &mask, "--sparsity", "0.4", &out]);
        let ended = make.output().unwrap();
        if !ended.status.success() || made == 100 {
            break ended;
        }
        made += 1;
    };
    let held = names(&disk);
    for name in &held {
        let mut show = program(home.path());
        let shown = show.args(["mask", "show", &format!("disk/{name}")]).output().unwrap();
        assert!(shown.status.success(), "{name}: {}", text(&shown.stderr));
    }
    assert!(mount("umount", &[]));
    refused(&failure, 1, "No space left");
    assert_eq!(held.len(), made, "{held:?}");
    assert!(made > 0);
    figure("masks on a disk of 64 KB until it was full", format!("{made}, all whole"));
}

#[test]
fn a_checkpoint_that_cannot_be_written_ends_no_learning() {
    let home = tempfile::tempdir().unwrap();
    let args = learn(["60", "2"], &["--out", "m.safetensors"]);
    let whole = program(home.path()).args(&args).output().unwrap();
    assert!(whole.status.success(), "{}", text(&whole.stderr));
    let mask = home.path().join("m.safetensors");
    let expected = std::fs::read(&mask).unwrap();
    std::fs::remove_file(&mask).unwrap();

    let mut child = program(home.path())
        .args(&args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    // The first checkpoint comes at the 25th update.
    lines.find(|line| line.contains("Importance 10/60")).expect("learning has begun");
    std::fs::remove_dir_all(home.path().join("m.learning")).unwrap();
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");
    let said = rest.iter().filter(|line| line.contains("learning goes on without a checkpoint"));
    assert!(said.count() >= 2, "{rest:?}");
    assert_eq!(std::fs::read(&mask).unwrap(), expected, "the same mask");
}

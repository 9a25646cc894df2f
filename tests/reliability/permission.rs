//! Permission that is missing, and permission that is lost while the program works.

#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{demo_mask, figure, learn, names, program, refused, text};

/// A user that owns nothing, as most systems have one.
const NOBODY: u32 = 65534;

/// A home of a user whom permissions bind. root may do everything, so its tests become another user.
struct Home {
    folder: tempfile::TempDir,
    is_root: bool,
}

impl Home {
    /// `None`, with a message, where the program cannot be run as another user.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let is_root = folder.path().metadata().unwrap().uid() == 0;
        let home = Self { folder, is_root };
        home.hand_over(home.path());
        if home.program().arg("--version").output().is_ok_and(|ended| ended.status.success()) {
            return Some(home);
        }
        kscope_testing::needs::cannot_run_here("another user may not run the program");
        None
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn hand_over(&self, path: &Path) {
        if self.is_root {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    fn program(&self) -> Command {
        let mut command = program(self.path());
        if self.is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Puts a file there that its user owns.
    fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path().join(name), bytes).unwrap();
        self.hand_over(&self.path().join(name));
    }

    fn allow(&self, name: &str, mode: u32) {
        let path = self.path().join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn a_folder_that_may_not_be_written_to_is_refused_before_the_work() {
    let Some(home) = Home::new() else { return };
    home.put("mask.safetensors", &std::fs::read(demo_mask()).unwrap());
    home.allow(".", 0o555);
    let commands: [&[&str]; 7] = [
        &["mask", "make", "--importance", "mask.safetensors", "--sparsity", "0.4", "m.safetensors"],
        &["mask", "export", "mask.safetensors", "m.npy"],
        &learn(["5000", "2"], &["--out", "m.safetensors"]),
        &["score", "--rule", "frequency", "--out", "m.safetensors"],
        &["--plain", "--max-new", "2", "--record", "m.jsonl"],
        &["eval", "--suite", "recall", "--mask", "mask.safetensors", "--out", "m.jsonl"],
        &["fetch", "smollm2-135m"],
    ];
    for args in commands {
        let ended = home.program().args(args).output().unwrap();
        refused(&ended, 2, "Permission denied");
        assert!(!text(&ended.stderr).contains(".kscope-"), "{}", text(&ended.stderr));
    }
    assert_eq!(names(home.path()), ["mask.safetensors"], "nothing is left");
    figure(
        "commands in a folder that may not be written to",
        format!("{} refused", commands.len()),
    );
}

#[test]
fn a_file_that_may_not_be_read_is_named() {
    let Some(home) = Home::new() else { return };
    let files = ["m.safetensors", "m.npy", "m.gguf", "prompt.txt", "r.jsonl"];
    for name in files {
        home.put(name, b"{}");
        home.allow(name, 0o000);
    }
    std::fs::create_dir(home.path().join("folder")).unwrap();
    home.put("folder/config.json", b"{}");
    home.hand_over(&home.path().join("folder"));
    home.allow("folder", 0o000);
    let commands: [(&str, &[&str]); 7] = [
        ("m.safetensors", &["mask", "show", "m.safetensors"]),
        ("m.npy", &["mask", "show", "m.npy"]),
        ("m.safetensors", &["run", "--mask", "m.safetensors", "--max-new", "2"]),
        ("m.gguf", &["model", "show", "--model", "m.gguf"]),
        ("prompt.txt", &["run", "--prompt-file", "prompt.txt", "--max-new", "2"]),
        ("r.jsonl", &["replay", "r.jsonl"]),
        ("folder", &["run", "--model", "folder", "--max-new", "2"]),
    ];
    let is_named = |name: &str, args: &[&str]| {
        let ended = home.program().args(args).output().unwrap();
        refused(&ended, 2, "Permission denied");
        assert!(text(&ended.stderr).contains(name), "{args:?}: {}", text(&ended.stderr));
        assert!(ended.stdout.is_empty(), "{args:?}: {}", text(&ended.stdout));
    };
    for (name, args) in commands {
        is_named(name, args);
    }
    // Settings come last, because every session reads them.
    std::fs::create_dir(home.path().join("kscope")).unwrap();
    home.put("kscope/config.toml", b"");
    home.allow("kscope/config.toml", 0o000);
    is_named("config.toml", &["--plain", "--max-new", "2"]);
    figure("files that may not be read", format!("{} named", commands.len() + 1));
}

/// What was learned outlives the loss: it is in the checkpoint, and the message says how to go on.
#[test]
fn a_learning_whose_folder_is_closed_meanwhile_goes_on_to_the_same_mask() {
    let Some(home) = Home::new() else { return };
    let args = learn(["60", "2"], &["--out", "m.safetensors"]);
    let whole = home.program().args(&args).output().unwrap();
    assert!(whole.status.success(), "{}", text(&whole.stderr));
    let mask = home.path().join("m.safetensors");
    let expected = std::fs::read(&mask).unwrap();
    std::fs::remove_file(&mask).unwrap();

    let mut child =
        home.program().args(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line.contains("Importance 10/60")).expect("learning has begun");
    home.allow(".", 0o555);
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(2), "{rest:?}");
    let last = rest.last().expect("a sentence");
    assert!(last.contains("Permission denied") && last.contains("--resume"), "{rest:?}");
    assert!(!mask.exists());

    home.allow(".", 0o755);
    let resumed = learn(["60", "2"], &["--out", "m.safetensors", "--resume", "m.learning"]);
    let ended = home.program().args(&resumed).output().unwrap();
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    assert_eq!(std::fs::read(&mask).unwrap(), expected, "the same mask");
}

//! Prompts, texts and settings.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::harness::{Case, Expected, hole, link, pipe};

fn text(name: &str, arguments: &[&str], bytes: impl Into<Vec<u8>>) -> Case {
    let bytes = bytes.into();
    Case::new("prompts and texts", name, arguments, move |at| {
        std::fs::write(at.join("t.txt"), &bytes).unwrap();
    })
}

fn settings(name: &str, toml: impl Into<Vec<u8>>) -> Case {
    let toml = toml.into();
    Case::new("settings", name, &["--plain", "--max-new", "1"], move |at| {
        std::fs::create_dir(at.join("kscope")).unwrap();
        std::fs::write(at.join("kscope/config.toml"), &toml).unwrap();
    })
}

pub fn cases(cases: &mut Vec<Case>) {
    let run = ["run", "--max-new", "1", "--prompt-file", "t.txt"];
    let learn = ["learn", "--out", "o.safetensors", "--haystack", "t.txt"];
    let score = ["score", "--rule", "key-norm", "--out", "o.safetensors", "--text", "t.txt"];
    for (name, bytes) in [
        ("no UTF-8", &b"the \xff tide"[..]),
        ("UTF-16", b"\xff\xfet\0h\0e\0"),
        ("half a character", b"the tide \xe2\x82"),
    ] {
        cases.push(text(&format!("{name} as a prompt"), &run, bytes).naming("t.txt"));
        cases.push(text(&format!("{name} to learn from"), &learn, bytes).naming("t.txt"));
        cases.push(text(&format!("{name} to score by"), &score, bytes).naming("t.txt"));
    }
    cases.push(text("nothing to score by", &score, "").naming("t.txt"));
    cases.push(text("a letter to learn from", &learn, "x"));
    cases.push(text("a prompt longer than the context", &run, "the tide ".repeat(5000)));
    // Control characters are text, an empty prompt has a beginning, and so has one in a template.
    for (name, bytes) in [
        ("control characters", &b"a\x1b]0;pwn\x07\x00b\x9b"[..7]),
        ("marks of direction", "\u{202e}abc\u{2066}".as_bytes()),
        ("an empty prompt", b""),
        ("a byte order mark", b"\xef\xbb\xbfthe tide"),
    ] {
        cases.push(text(name, &run, bytes).expecting(Expected::Accepted));
    }
    for (name, arguments) in [("prompt", &run[..]), ("haystack", &learn), ("text", &score)] {
        type Put = fn(&std::path::Path);
        let puts: [(&str, Put); 5] = [
            ("a pipe", |path| pipe(path)),
            ("zeros without end", |path| link(path, "/dev/zero")),
            ("a hole of 1 TiB", |path| hole(path, 1 << 40)),
            ("a folder", |path| std::fs::create_dir(path).unwrap()),
            ("not there", |_| ()),
        ];
        for (what, put) in puts {
            cases.push(
                Case::new("prompts and texts", format!("{what} as {name}"), arguments, move |at| {
                    put(&at.join("t.txt"));
                })
                .naming("t.txt"),
            );
        }
    }
    let endless = Case::new(
        "prompts and texts",
        "standard input without end",
        &["run", "--max-new", "1", "--prompt-file", "-"],
        |_| (),
    );
    cases.push(endless.reading("/dev/zero").naming("standard input"));
    let broken = Case::new(
        "prompts and texts",
        "a prompt that is no UTF-8",
        &["run", "--max-new", "1", "--prompt"],
        |_| (),
    );
    cases.push(broken.and(OsStr::from_bytes(b"a\xff\x1b[2J")));
    for (name, ids) in [
        ("ids beyond the vocabulary", "1,99999"),
        ("ids beyond 32 bits", "4294967296"),
        ("ids below zero", "-1"),
        ("ids of letters", "1,x"),
        ("ids of nothing", ""),
    ] {
        let case = Case::new("prompts and texts", name, &["run", "--max-new", "1"], |_| ());
        cases.push(case.and(format!("--token-ids={ids}")));
    }
    for (name, toml) in [
        ("half a table", "[keys\n"),
        ("an unknown key", "magic = 1\n"),
        ("a colour map that is none", "colormap = \"mud\"\n"),
        ("a background that is a number", "background = 5\n"),
        ("a mouse that is a text", "mouse = \"yes\"\n"),
        ("keys that are a list", "keys = []\n"),
        ("a key that is none", "[keys.global]\nquit = [\"\u{1b}]0;pwn\u{7}\"]\n"),
        ("a key that is escaped", "[keys.global]\nquit = [\"\\u001b]0;pwn\\u0007\"]\n"),
        ("an unknown command", "[keys.global]\nmagic = [\"q\"]\n"),
        ("an unknown screen", "[keys.magic]\nquit = [\"q\"]\n"),
        ("one key for two commands", "[keys.global]\nquit = [\"q\"]\nhelp = [\"q\"]\n"),
        ("zeros", "\0\0\0\0"),
    ] {
        cases.push(settings(name, toml));
    }
    cases.push(settings("a text of 300 kB", format!("colormap = \"{}\"\n", "x".repeat(300_000))));
    cases.push(settings("no UTF-8", b"colormap = \"\xff\"\n".to_vec()));
    cases.push(settings("lists 100,000 deep", format!("keys = {}", "[".repeat(100_000))));
    cases.push(Case::new("settings", "a pipe", &["--plain", "--max-new", "1"], |at| {
        std::fs::create_dir(at.join("kscope")).unwrap();
        pipe(&at.join("kscope/config.toml"));
    }));
    cases.push(Case::new("settings", "2 MiB", &["--plain", "--max-new", "1"], |at| {
        std::fs::create_dir(at.join("kscope")).unwrap();
        hole(&at.join("kscope/config.toml"), 2 << 20);
    }));
}

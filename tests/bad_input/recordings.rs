//! Recordings of sessions.

use std::path::Path;

use kscope_testing::kscope;
use serde_json::{Value, json};

use crate::harness::{Case, Expected, damaged, hole, link, pipe};

const REPLAY: [&str; 2] = ["replay", "r.jsonl"];

/// The events of a session of three tokens.
fn session() -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.jsonl");
    let file = path.to_str().unwrap();
    let run = ["--plain", "--prompt", "The code for", "--max-new", "3", "--record", file];
    kscope().args(run).assert().success();
    std::fs::read_to_string(path).unwrap()
}

fn with(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Case {
    let bytes = bytes.into();
    Case::new("recordings", name, &REPLAY, move |at| {
        std::fs::write(at.join("r.jsonl"), &bytes).unwrap();
    })
    .naming("r.jsonl")
}

pub fn cases(cases: &mut Vec<Case>) {
    let session = session();
    // The session's events with that of one kind changed.
    let changed = |kind: &str, edit: &dyn Fn(&mut Value)| -> String {
        let lines = session.lines().map(|line| {
            let mut event: Value = serde_json::from_str(line).unwrap();
            if !event["event"][kind].is_null() {
                edit(&mut event["event"][kind]);
            }
            format!("{event}\n")
        });
        lines.collect()
    };
    for (name, key, value) in [
        ("no layers", "shape", json!({"layers": 0, "kv_heads": 2, "head_dim": 64})),
        ("no heads of K and V", "shape", json!({"layers": 5, "kv_heads": 0, "head_dim": 64})),
        ("no channels", "shape", json!({"layers": 5, "kv_heads": 2, "head_dim": 0})),
        (
            "another shape than the mask's",
            "shape",
            json!({"layers": 4, "kv_heads": 2, "head_dim": 64}),
        ),
        ("no query heads", "heads", json!(0)),
        ("query heads that do not divide", "heads", json!(3)),
        ("query heads below zero", "heads", json!(-4)),
        ("query heads without end", "heads", json!(1_u64 << 60)),
        ("no wavelengths", "wavelengths", json!([])),
        ("wavelengths of text", "wavelengths", json!(["x"])),
        ("a chunk of 0", "window", json!({"sink": 16, "recent": 128, "chunk": 0})),
        ("an unknown element type", "kv_dtype", json!("q4")),
        ("a mask of bits that are none", "mask", json!({"label": "x", "mask": "y"})),
        ("a name that is a number", "name", json!(5)),
    ] {
        cases.push(with(name, changed("loaded", &|info| info[key] = value.clone())));
    }
    let sizes: [(&str, u64, u64, u64); 5] = [
        ("2e18 layers, no mask", 2_000_000_000_000_000_000_u64, 2, 64),
        ("4e9 layers, no mask", 4_000_000_000, 2, 64),
        ("2^63 layers, no mask", 1 << 63, 2, 64),
        ("sizes whose product is small again", 1 << 32, 1 << 32, 64),
        ("a head of 4e9 channels, no mask", 1, 2, 4_000_000_000),
    ];
    for (name, layers, kv_heads, head_dim) in sizes {
        cases.push(with(
            name,
            changed("loaded", &|info| {
                info["shape"] =
                    json!({"layers": layers, "kv_heads": kv_heads, "head_dim": head_dim});
                info["heads"] = kv_heads.into();
                info["mask"] = Value::Null;
                info["wavelengths"] = vec![1.0; (head_dim / 2).min(100) as usize].into();
            }),
        ));
    }
    let half = &session[..session.len() * 2 / 3];
    let without_model: String = session
        .lines()
        .filter(|line| !line.contains("\"loaded\""))
        .map(|line| format!("{line}\n"))
        .collect();
    for (name, text) in [
        ("empty", String::new()),
        ("no model", without_model),
        ("a list", "[]\n".to_owned()),
        ("words", "hello\n".to_owned()),
        ("escapes", "\u{1b}]0;pwn\u{7}\n".to_owned()),
        (
            "an unknown event",
            format!(
                "{session}{{\"generation\":1,\"at_ms\":1,\"dropped\":0,\"event\":{{\"magic\":1}}}}\n"
            ),
        ),
        (
            "an event of 300 kB",
            format!("{session}{{\"event\":\"{}\"}}\n", "\u{1b}".repeat(300_000)),
        ),
        ("lists 200,000 deep", "[".repeat(200_000)),
    ] {
        cases.push(with(name, text));
    }
    // What a killed session leaves: the rest is replayed, with a note.
    cases.push(with("a cut last line", half.to_owned()).expecting(Expected::Accepted));
    cases.push(with("no UTF-8", [session.as_bytes(), b"\xff\n"].concat()));
    cases.push(Case::new("recordings", "a line of 65 MiB", &REPLAY, |at| {
        hole(&at.join("r.jsonl"), 65 << 20)
    }));
    // What failed is shown with its control characters written out.
    let failed = json!({"generation": 1, "at_ms": 1e6, "dropped": 0, "event": {"failed": {"sentence": "a\u{1b}]0;pwn\u{7}", "code": 1}}});
    cases.push(
        with("a failure with escapes", format!("{session}{failed}\n"))
            .expecting(Expected::Accepted),
    );
    cases.push(
        with("a name with escapes", changed("loaded", &|info| info["name"] = "\u{1b}[2J".into()))
            .expecting(Expected::Accepted),
    );
    type Put = fn(&Path);
    let puts: [(&str, Put); 4] = [
        ("a pipe", |path| pipe(path)),
        ("zeros without end", |path| link(path, "/dev/zero")),
        ("a folder", |path| std::fs::create_dir(path).unwrap()),
        ("not there", |_| ()),
    ];
    for (name, put) in puts {
        cases.push(
            Case::new("recordings", name, &REPLAY, move |at| put(&at.join("r.jsonl")))
                .naming("r.jsonl"),
        );
    }
    for seed in 0..12 {
        let bytes = damaged(session.as_bytes(), session.len(), seed);
        cases.push(with(format!("damage {seed}"), bytes).expecting(Expected::Either));
    }
}

//! What evaluations read: answers to score, data sets, prompts, results, base logits, and the files
//! of a capacity plan.

use kscope_testing::{root, vectors};

use crate::harness::{Case, Expected, damaged, link, pipe};

const READER: &str = "evaluation";

fn file(
    name: impl Into<String>,
    arguments: &[&str],
    file: &'static str,
    bytes: impl Into<Vec<u8>>,
) -> Case {
    let bytes = bytes.into();
    Case::new(READER, name, arguments, move |at| std::fs::write(at.join(file), &bytes).unwrap())
        .naming(file)
}

pub fn cases(cases: &mut Vec<Case>) {
    let long = format!("{{\"prediction\": \"{}\"}}\n", "\u{1b}".repeat(300_000));
    let wrong: [(&str, &[u8]); 12] = [
        ("empty", b""),
        ("words", b"hello\n"),
        ("a list", b"[]\n"),
        ("a number", b"5\n"),
        ("half a line", b"{\"prediction\": \"x"),
        ("no references", b"{\"prediction\": \"x\"}\n"),
        ("other types", b"{\"prediction\": 5, \"references\": 6, \"input\": 7}\n"),
        ("no UTF-8", b"{\"prediction\": \"\xff\"}\n"),
        ("escapes", b"\x1b]0;pwn\x07\n"),
        ("lists 100,000 deep", &[b'['; 100_000]),
        ("zeros", &[0; 1000]),
        ("300 kB", long.as_bytes()),
    ];
    let score = ["eval", "score", "--metric", "match_all", "d.jsonl"];
    let data =
        ["eval", "--model", "demo", "--plan", "k8v8", "--suite", "data", "--data", "d.jsonl"];
    let prompts = [
        "eval",
        "--model",
        "demo",
        "--plan",
        "k8v8",
        "--suite",
        "data",
        "--data",
        "x.jsonl",
        "--prompts",
        "p.json",
    ];
    let report = ["report", "d.jsonl", "--md", "o.md"];
    let gpus = ["plan", "--model", "llama-3.1-8b", "--gpu", "g.toml"];
    let measured = ["plan", "--model", "llama-3.1-8b", "--gpu", "h100-sxm", "--measured", "b.json"];
    let base = ["eval", "--model", "demo", "--plan", "k8v8", "--suite", "text", "--base", "l.bin"];
    for (name, bytes) in wrong {
        cases.push(file(format!("{name} to score"), &score, "d.jsonl", bytes));
        cases.push(file(format!("{name} as data"), &data, "d.jsonl", bytes));
        cases.push(file(format!("{name} as results"), &report, "d.jsonl", bytes));
        let prompts = file(format!("{name} as prompts"), &prompts, "p.json", bytes);
        // That one is an object of prompts, and it is the data that is not there.
        cases.push(if name == "no references" { prompts.naming("x.jsonl") } else { prompts });
        cases.push(file(format!("{name} as measurements"), &measured, "b.json", bytes));
        cases.push(file(format!("{name} as base logits"), &base, "l.bin", bytes));
    }
    for (name, text) in [
        ("no table", "x = 1\n"),
        ("half a table", "[[gpu]\n"),
        ("a name that is a number", "[[gpu]]\nname = 5\n"),
        (
            "memory below zero",
            "[[gpu]]\nname = \"x\"\nmemory_gib = -1\nbandwidth_gbps = 1\ntflops = 1\n",
        ),
        ("no bandwidth", "[[gpu]]\nname = \"x\"\nmemory_gib = 1\n"),
        (
            "bandwidth that is no number",
            "[[gpu]]\nname = \"x\"\nmemory_gib = 1\nbandwidth_gbps = nan\ntflops = 1\n",
        ),
        (
            "memory without end",
            "[[gpu]]\nname = \"x\"\nmemory_gib = inf\nbandwidth_gbps = 1\ntflops = 1\n",
        ),
        ("an unknown key", "[[gpu]]\nname = \"x\"\nmagic = 1\n"),
        ("escapes", "[[gpu]]\nname = \"\u{1b}[2J\"\n"),
    ] {
        cases.push(file(format!("GPUs with {name}"), &gpus, "g.toml", text));
    }
    let results = b"{\"format\": \"kscope-eval\", \"version\": 1}\n";
    cases.push(file("a header that lacks all", &report, "d.jsonl", results));
    let future = b"{\"format\": \"kscope-eval\", \"version\": 99}\n";
    cases.push(file("a header of the future", &report, "d.jsonl", future));
    let mut counts = b"_logits_".to_vec();
    counts.extend([0xff; 12]);
    cases.push(file("base logits without end", &base, "l.bin", counts));
    let logits = std::fs::read(vectors().join("eval/llama_f32.bin")).unwrap();
    cases.push(file("base logits of another model", &base, "l.bin", logits.clone()));
    cases.push(file("base logits cut short", &base, "l.bin", &logits[..logits.len() / 2]));
    for (name, arguments, file) in [
        ("answers", &score[..], "d.jsonl"),
        ("data", &data, "d.jsonl"),
        ("results", &report, "d.jsonl"),
        ("prompts", &prompts, "p.json"),
        ("GPUs", &gpus, "g.toml"),
        ("measurements", &measured, "b.json"),
        ("base logits", &base, "l.bin"),
    ] {
        cases.push(
            Case::new(READER, format!("a pipe for {name}"), arguments, move |at| {
                pipe(&at.join(file))
            })
            .naming(file),
        );
        cases.push(
            Case::new(READER, format!("zeros without end for {name}"), arguments, move |at| {
                link(&at.join(file), "/dev/zero")
            })
            .naming(file),
        );
    }
    let answers = std::fs::read(vectors().join("eval/scores.jsonl")).unwrap();
    for seed in 0..6 {
        let bytes = damaged(&answers, answers.len(), seed);
        cases.push(
            file(format!("damage {seed}"), &score, "d.jsonl", bytes).expecting(Expected::Either),
        );
    }
    // The report escapes what its files hold; a folder of another kind is no report.
    let mask = root().join("masks/demo.safetensors").display().to_string();
    cases.push(Case::new(READER, "a mask as results", &["report", &mask, "--md", "o.md"], |_| ()));
}

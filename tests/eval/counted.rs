//! What is counted, and what a page says of it: no sample twice, no file torn, no part taken for a
//! whole.

use std::path::Path;

use kscope::element::Dtype;
use kscope::eval::prompt::Protocol;
use kscope::eval::recall::RecallTask;
use kscope::eval::run::Suite;
use kscope::eval::worker::{EvalOrder, EvalTold, Evaluator};
use kscope::mask::{CachePlan, Coding, Width, Window};
use kscope_testing::{demo, kscope};
use serde_json::{Value, json};

use super::{eval, success};

/// Recall of the demo model's own task, two samples.
const CODES: [&str; 8] =
    ["--suite", "recall", "--tasks", "codes", "--ctx", "256", "--samples", "2"];

#[track_caller]
fn refused(output: std::process::Output, words: &[&str]) {
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn no_sample_counts_twice() {
    let folder = tempfile::tempdir().unwrap();
    let twice =
        ["--suite", "recall", "--tasks", "codes,codes", "--ctx", "256", "--samples", "2", "--json"];
    let figures: Value = serde_json::from_str(&success(eval(&twice))).unwrap();
    assert_eq!(
        (&figures["rows"][1]["task"], &figures["rows"][1]["n"]),
        (&json!("codes"), &json!(2))
    );
    let text = written(folder.path(), "a.txt", &"The mill stood by the river. ".repeat(60));
    refused(eval(&["--suite", "text", "--text", &text, &text]), &["a.txt", "given twice"]);
    let line = json!({"context": "Tom has key 4.", "question": "Key?", "answer_prefix": "Key",
        "answer": "4", "max_new_tokens": 4});
    let [one, same] = ["one.jsonl", "more/same.jsonl"]
        .map(|name| written(folder.path(), name, &format!("{line}\n")));
    refused(eval(&["--suite", "data", "--data", &one, &same]), &["one.jsonl", "same.jsonl"]);
}

#[test]
fn files_of_one_name_are_told_apart_and_short_ones_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let long = "The mill stood by the river. ".repeat(60);
    written(folder.path(), "x/read.md", &long);
    written(folder.path(), "y/read.md", &long.replace("mill", "barn"));
    written(folder.path(), "y/short.md", "The barn.");
    let [x, y] = ["x", "y"].map(|name| folder.path().join(name).display().to_string());
    let read = ["--suite", "text", "--ctx", "256", "--chunks", "1", "--json", "--text", &x, &y];
    let output = eval(&read);
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(said.contains("short.md: expected at least 256 tokens"), "{said}");
    let figures: Value = serde_json::from_str(&success(output)).unwrap();
    let rows = figures["rows"].as_array().unwrap();
    let task = |row: &Value| row["task"].as_str().unwrap().to_owned();
    let mut tasks: Vec<String> = rows[1..].iter().map(task).collect();
    tasks.dedup();
    assert_eq!(tasks, [format!("{x}/read.md"), format!("{y}/read.md")]);
    refused(eval(&["--suite", "text", "--text", &format!("{y}/short.md")]), &["short.md"]);
}

#[test]
fn two_runs_never_write_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display().to_string();
    let run = || eval(&[&CODES[..], &["--out", &out]].concat());
    let file = std::fs::File::create(folder.path().join("results.jsonl")).unwrap();
    file.lock().unwrap();
    refused(run(), &["results.jsonl", "another kscope eval is writing"]);
    file.unlock().unwrap();
    success(run());
}

#[test]
fn a_page_says_what_part_of_a_run_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let [run, part, empty] = ["run", "part", "empty"].map(at);
    success(eval(&[&CODES[..], &["--out", &run]].concat()));
    let whole = std::fs::read_to_string(folder.path().join("run/results.jsonl")).unwrap();
    let cut: String = whole.split_inclusive('\n').take(2).collect();
    let cut = written(folder.path(), "cut.jsonl", &cut);
    success(eval(&[&CODES[..], &["--shard", "1/2", "--out", &part]].concat()));
    // A part without a job is a whole part.
    success(eval(&[&CODES[..], &["--shard", "3/3", "--out", &empty]].concat()));
    for (results, words) in [
        (run, "demo: 2 results"),
        (cut, "1 of 2 results (not finished)"),
        (part.clone(), "part 1/2 of a run of 2 results, 1 result"),
    ] {
        for form in ["html", "md"] {
            let page = at(form);
            let report = ["report", &results, "--force", &format!("--{form}"), &page];
            success(kscope().args(report).output().unwrap());
            let page = std::fs::read_to_string(page).unwrap();
            assert!(page.contains(words), "{words}: {page}");
        }
    }
    let parts = ["eval", "merge", &part, "--out", &part, "--force"];
    refused(kscope().args(parts).output().unwrap(), &["is a part"]);
}

#[test]
fn runs_of_one_model_make_one_page() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let [recall, read_text, seed] = ["recall", "text", "seed"].map(at);
    success(eval(&[&CODES[..], &["--out", &recall]].concat()));
    let text = written(folder.path(), "a<b>.txt", &"The mill stood by the river. ".repeat(60));
    let read = ["--suite", "text", "--ctx", "256", "--chunks", "1", "--text", &text];
    success(eval(&[&read[..], &["--out", &read_text]].concat()));
    let report = |runs: &[&str]| {
        let pages = [at("page.md"), at("page.html")];
        let pages = ["--md", &pages[0], "--html", &pages[1]];
        kscope().args([&["report", "--force"], runs, &pages].concat()).output().unwrap()
    };
    success(report(&[&recall, &read_text]));
    let page = std::fs::read_to_string(at("page.md")).unwrap();
    for part in ["| codes |", "a\\<b>.txt", "--suite recall", "--suite text", "demo: 3 results"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("a<b>"), "{page}");
    refused(report(&[&recall, &recall]), &["hold recall codes at 256"]);
    success(eval(&[&CODES[..], &["--seed", "7", "--out", &seed]].concat()));
    refused(report(&[&read_text, &seed]), &["`seed` 42, found 7"]);
}

#[test]
fn samples_that_an_earlier_run_lost_are_told_again() {
    let folder = tempfile::tempdir().unwrap();
    let model = demo();
    let shape = model.config().mask_shape();
    let nothing = CachePlan::uniform(shape, Width::Zero, Width::Zero, Coding::best(shape.head_dim));
    let order = || EvalOrder {
        generation: 1,
        suite: Suite::Recall,
        tasks: vec![RecallTask::ALL.into_iter().find(|task| task.name() == "codes").unwrap()],
        ctx: vec![512],
        samples: 3,
        chunks: 1,
        protocol: Protocol::After,
        seed: 42,
        masks: vec![("nothing".to_owned(), nothing.as_ref().unwrap().clone())],
        window: Window { sink: 4, recent: 32, chunk: 32 },
        kv_dtype: Dtype::F16,
        texts: vec!["sentences".to_owned()],
        out: Some(folder.path().to_owned()),
    };
    let lost = || {
        let (_running, mut news) = Evaluator::spawn(model.clone(), order()).unwrap();
        let mut lost = Vec::new();
        while let Some(news) = news.blocking_recv() {
            match news.told {
                EvalTold::Lost(sample) => lost.push(*sample),
                EvalTold::Failed(sentence) => panic!("{sentence}"),
                _ => {}
            }
        }
        lost
    };
    let first = lost();
    assert!(!first.is_empty() && first.iter().all(|sample| sample.prompt.len() > 100));
    assert_eq!(lost(), first);
}

//! The stability suite: importance by kind of text, and losses with what other texts choose.

use std::path::Path;

use kscope_testing::root;
use serde_json::Value;

use super::{eval, read, success};

/// Prose, code, and the prose again under another name.
fn texts(folder: &Path) -> [String; 3] {
    let prose = std::fs::read_to_string(root().join("docs/DECISIONS.md")).unwrap();
    let code = std::fs::read_to_string(root().join("src/mask/select/exact.rs")).unwrap();
    [("prose.md", &prose), ("code.rs", &code.repeat(4)), ("again.md", &prose)].map(
        |(name, text)| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        },
    )
}

fn stability<'a>(texts: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["--suite", "stability", "--ctx", "192", "--chunks", "1", "--text"];
    fixed.into_iter().chain(texts.iter().map(String::as_str)).chain(more.iter().copied()).collect()
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|one| one.as_f64().unwrap()).collect()
}

#[test]
fn texts_are_compared_by_importance_choice_and_loss() {
    let folder = tempfile::tempdir().unwrap();
    let texts = texts(folder.path());
    let found: Value =
        serde_json::from_str(&success(eval(&stability(&texts, &["--json"])))).unwrap();
    assert_eq!(found["control"]["largest_kld"], 0.0);
    let figures = &found["stability"];
    assert_eq!(figures["domains"], serde_json::json!(["prose.md", "code.rs", "again.md"]));
    let names: Vec<&Value> =
        figures["rules"].as_array().unwrap().iter().map(|rule| &rule["rule"]).collect();
    assert_eq!(names, ["sensitivity", "think", "centred", "expected", "pairs", "key-norm"]);
    for rule in figures["rules"].as_array().unwrap() {
        let lines: Vec<Vec<f64>> =
            rule["correlation"].as_array().unwrap().iter().map(numbers).collect();
        for (a, line) in lines.iter().enumerate() {
            for (b, value) in line.iter().enumerate() {
                assert!(*value == lines[b][a] && value.abs() <= 1.0, "{rule}");
            }
        }
        // The same text under two names: its halves agree with themselves wholly, and with each
        // other as within the text. Half of the four pairs are each.
        let twice = (1.0 + lines[0][0]) / 2.0;
        assert!((lines[0][2] - twice).abs() < 1e-9 && lines[0][0] == lines[2][2], "{rule}");
        assert!(lines[0][1] < lines[0][2], "code is another kind of text: {rule}");
        let heads = rule["heads"].as_array().unwrap().iter();
        let heads: Vec<f64> = heads.map(|head| head["correlation"].as_f64().unwrap()).collect();
        assert!(heads.len() > 1 && heads.is_sorted(), "the least stable first: {heads:?}");
    }

    let [mask, uniform] = &figures["masks"].as_array().unwrap()[..] else { panic!("two masks") };
    for rule in mask["choice"]["rules"].as_array().unwrap() {
        let (kept, own) = (numbers(&rule["kept"]), numbers(&rule["own_kept"]));
        for (kept, own) in kept.iter().zip(&own) {
            assert!(kept <= own && *own <= 1.0 && *kept > 0.0, "{rule}");
        }
        assert_eq!(kept[0], kept[2]);
        let lines = rule["overlap"].as_array().unwrap();
        assert_eq!((numbers(&lines[0])[2], numbers(&lines[1])[1]), (1.0, 1.0));
        assert!(numbers(&lines[0])[1] < 1.0, "{rule}");
    }
    let cross: Vec<Vec<f64>> = mask["cross"].as_array().unwrap().iter().map(numbers).collect();
    assert_eq!(cross.len(), 3);
    assert_eq!((cross[0][0], cross[0][1]), (cross[0][2], cross[2][1]), "the same text twice");
    assert!(cross.iter().flatten().all(|kld| *kld > 0.0));
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1 + 3 * 2, "dense with itself, and two masks on three texts");
    for (at, verdict) in mask["verdicts"].as_array().unwrap().iter().enumerate() {
        let row = rows.iter().find(|row| {
            row["suite"] == "stability"
                && row["task"] == verdict["domain"]
                && row["mask"] == mask["mask"]
        });
        assert_eq!(row.unwrap()["kl"]["kld"]["mean"], verdict["kld"]);
        assert_eq!(verdict["own_kld"].as_f64().unwrap(), cross[at][at]);
    }
    assert!(uniform["choice"].is_null() && uniform["cross"].is_null());
    assert_eq!(uniform["verdicts"][0]["fit"], "nothing_to_choose");

    let table = success(eval(&stability(&texts, &[])));
    for words in ["rank correlation, think", "texts disagree most on", "verdict, ", "of code.rs"] {
        assert!(table.contains(words), "{words} in\n{table}");
    }
}

#[test]
fn parts_and_interrupted_runs_make_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let texts = &texts(folder.path())[..2];
    let at = |name: &str| folder.path().join(name).display().to_string();
    let run = |name: &str, more: &[&str]| {
        let out = at(name);
        success(eval(&stability(texts, &[&["--out", &out], more].concat())));
    };
    run("whole", &[]);
    let whole = read(&folder.path().join("whole"));
    // Two halves of two texts, one mask that chooses, two chunks.
    assert_eq!(whole.lines().count(), 1 + 4 + 1 + 2);
    for job in [1, 4, 6] {
        let cut = folder.path().join(format!("cut{job}"));
        std::fs::create_dir(&cut).unwrap();
        let end = whole.find(&format!("\n{{\"job\":{job},")).unwrap() + 20;
        std::fs::write(cut.join("results.jsonl"), &whole.as_bytes()[..end]).unwrap();
        run(&format!("cut{job}"), &[]);
        assert!(read(&cut) == whole, "cut off in job {job}");
    }
    run("one", &["--shard", "1/2"]);
    run("two", &["--shard", "2/2"]);
    let merged = at("merged");
    let parts = ["eval", "merge", "--json", "--out", &merged, &at("one"), &at("two")];
    success(kscope_testing::kscope().args(parts).output().unwrap());
    assert!(read(&folder.path().join("merged")) == whole, "parts put together");
}

#[test]
fn what_cannot_be_compared_is_refused_or_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let texts = texts(folder.path());
    let short = folder.path().join("short.txt").display().to_string();
    std::fs::write(&short, "too short ".repeat(20)).unwrap();
    let refused = |arguments: &[&str], sentence: &str| {
        let output = eval(arguments);
        let found = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && found.contains(sentence), "{found}");
        assert!(output.stdout.is_empty());
    };
    refused(&stability(&texts[..1], &[]), "needs two or more, found 1");
    refused(&stability(&[texts[0].clone(), short], &[]), "short.txt, its first half: expected at");
    refused(&stability(&[texts[0].clone(), texts[0].clone()], &[]), "prose.md is given twice");
    let few = ["--suite", "stability", "--ctx", "64", "--text", &texts[0], &texts[1]];
    refused(&few, "a window of 64 tokens is too short");

    // All suites: what fits is run, and what does not is named.
    let all = ["--samples", "1", "--ctx", "256", "--chunks", "1", "--json", "--text", &texts[0]];
    let found: Value = serde_json::from_str(&success(eval(&all))).unwrap();
    assert!(found["stability"].is_null());
    let left_out = found["run"]["does_not_fit"].to_string();
    assert!(left_out.contains("stability compares texts"), "{left_out}");
}

//! Whole runs: streams, parts, and what tables say.

use serde_json::Value;

use super::{eval, read, success};

const SMALL: [&str; 10] = [
    "--suite",
    "recall",
    "--tasks",
    "codes,niah_single_1,niah_multivalue",
    "--ctx",
    "512",
    "--samples",
    "3",
    "--text",
    "sentences",
];

fn figures(arguments: &[&str]) -> Value {
    serde_json::from_str(&success(eval(&[arguments, &["--json"]].concat()))).unwrap()
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_file_and_parts_make_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let run = |name: &str, more: &[&str]| {
        success(eval(&[&SMALL[..], &["--out", &at(name)], more].concat()))
    };
    run("whole", &[]);
    let whole = read(&folder.path().join("whole"));
    assert_eq!(whole.lines().count(), 1 + 9);

    // Cut off in the middle of a line, between lines, and inside the header.
    for end in [whole.len() * 2 / 3, whole.find("\n{\"job\":4").unwrap() + 1, 40] {
        let cut = folder.path().join(format!("cut{end}"));
        std::fs::create_dir(&cut).unwrap();
        std::fs::write(cut.join("results.jsonl"), &whole.as_bytes()[..end]).unwrap();
        run(&format!("cut{end}"), &[]);
        assert_eq!(read(&cut), whole);
    }

    for part in ["1/2", "2/2"] {
        run(&part.replace('/', "of"), &["--shard", part]);
    }
    let (one, two, merged) = (at("1of2"), at("2of2"), at("merged"));
    let merge = |parts: &[&str]| {
        let parts = [&["eval", "merge", "--json", "--out", &merged], parts].concat();
        kscope_testing::kscope().args(parts).output().unwrap()
    };
    let json: Value = serde_json::from_str(&success(merge(&[&two, &one]))).unwrap();
    assert_eq!(read(&folder.path().join("merged")), whole);
    // What is there is replaced only where that is asked for.
    let kept = folder.path().join("merged/results.jsonl");
    std::fs::write(&kept, "mine").unwrap();
    let output = merge(&[&two, &one]);
    let found = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && found.contains("--force replaces it"), "{found}");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "mine");
    success(merge(&["--force", &two, &one]));
    assert_eq!(read(&folder.path().join("merged")), whole);
    assert_eq!(json["rows"][0]["task"], "control");
    for (parts, sentence) in [
        (vec![&*one], "part 2/2 is missing"),
        (vec![&*one, &*one], "is there twice"),
        (vec![&*at("whole")], "is a whole run, not a part"),
    ] {
        let output = merge(&[&["--force"], &parts[..]].concat());
        let found = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && found.contains(sentence), "{found}");
    }

    let other = eval(&[&SMALL[..], &["--out", &at("whole"), "--seed", "7"]].concat());
    let found = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(
        other.status.code() == Some(2) && found.contains("holds results of another run"),
        "{found}"
    );
    assert_eq!(read(&folder.path().join("whole")), whole, "a refused run changes nothing");
}

#[test]
fn rows_pair_masks_with_dense_and_the_control_is_zero() {
    let found = figures(&SMALL);
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows[0]["suite"], "control");
    assert_eq!(
        (&rows[0]["lost"], &rows[0]["won"], &rows[0]["n"]),
        (&0.into(), &0.into(), &9.into())
    );
    assert_eq!(found["control"]["differing_answers"], 0);
    // Dense and two masks for each of three tasks.
    assert_eq!(rows.len(), 1 + 3 * 3);
    for row in &rows[1..] {
        for key in [
            "suite",
            "task",
            "ctx",
            "mask",
            "n",
            "score",
            "dense_score",
            "lost",
            "won",
            "p",
            "informative",
        ] {
            assert!(!row[key].is_null(), "{key} in {row}");
        }
        let dense =
            rows[1..].iter().find(|other| other["task"] == row["task"] && other["mask"] == "dense");
        assert_eq!(dense.unwrap()["score"], row["dense_score"]);
        let failed = row["dense_score"].as_f64().unwrap() < 20.0;
        assert_eq!(row["informative"], !failed);
    }
    let codes = rows.iter().find(|row| row["task"] == "codes" && row["mask"] == "dense").unwrap();
    assert!(codes["score"].as_f64().unwrap() > 60.0, "the demo model recalls codes: {codes}");
    for average in found["averages"].as_array().unwrap() {
        let names = |key: &str| average[key].as_array().unwrap().len();
        assert_eq!(names("tasks") + names("left_out"), 3);
    }
    let run = &found["run"];
    assert_eq!(run["masks"][0]["fingerprint"].as_str().unwrap().len(), 64);
    assert_eq!(run["model_fingerprint"].as_str().unwrap().len(), 64);
    let share = run["masks"][0]["kv_bytes"]["512"].as_u64().unwrap() as f64
        / run["dense_kv_bytes"]["512"].as_u64().unwrap() as f64;
    assert!(share < 1.0, "{share}");
}

#[test]
fn a_question_in_the_prompt_gives_dense_the_same_answers() {
    // Dense decode of the question's tokens is what prefill computes, but for rounding.
    let dense = |protocol: &str| {
        let found = figures(&[&SMALL[..], &["--protocol", protocol]].concat());
        let rows = found["rows"].as_array().unwrap().clone();
        let own = rows.into_iter().filter(|row| row["mask"] == "dense");
        own.map(|row| row["score"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(dense("after"), dense("prompt"));
}

#[test]
fn texts_lose_what_their_masks_lose_and_dense_nothing() {
    let arguments = [
        "--suite",
        "text",
        "--text",
        "sentences",
        "--ctx",
        "256",
        "--chunks",
        "2",
        "--plan",
        "k8v8",
    ];
    let found = figures(&arguments);
    let control = &found["control"];
    assert_eq!(
        (&control["largest_kld"], &control["differing_positions"]),
        (&0.0.into(), &0.into())
    );
    assert_eq!(control["n"], 2 * 127, "the second half of each chunk is scored");
    let rows = found["rows"].as_array().unwrap();
    let kld = |mask: &str| {
        let row = rows.iter().find(|row| row["mask"] == mask).unwrap();
        assert_eq!(row["n"], 2 * 127);
        row["kl"]["kld"]["mean"].as_f64().unwrap()
    };
    assert!(kld("k4v4") > kld("k8v8") && kld("k8v8") > 0.0, "{} {}", kld("k4v4"), kld("k8v8"));
    let table = success(eval(&arguments));
    assert!(table.contains("====== KL divergence statistics ======"), "{table}");
}

#[test]
fn a_mask_that_cuts_nothing_is_flagged() {
    // With the default window of 144 tokens and more, 64 tokens have no middle.
    let mask = super::demo_mask();
    let command = [
        "eval",
        "--json",
        "--mask",
        &mask,
        "--suite",
        "text",
        "--text",
        "sentences",
        "--ctx",
        "64",
    ];
    let output = kscope_testing::kscope().args(command).output().unwrap();
    let found: Value = serde_json::from_str(&success(output)).unwrap();
    let flags = found["flags"].as_array().unwrap();
    assert!(flags.iter().any(|flag| flag.as_str().unwrap().starts_with("dense and ")), "{flags:?}");
}

#[test]
fn what_measures_nothing_is_refused() {
    for (arguments, sentence) in [
        (&["--samples", "0"][..], "--samples and --chunks must be at least 1"),
        (&["--suite", "data"], "--suite data needs files"),
        (&["--suite", "recall", "--ctx", "64k"], "more than the model's context"),
        (&["--suite", "recall", "--save-base", "x"], "--save-base goes with --suite text"),
        (&["--suite", "recall", "--tasks", "cwe", "--ctx", "128"], "cwe does not fit 128 tokens"),
        (&["--suite", "text", "--text", "nowhere.txt"], "nowhere.txt"),
    ] {
        let output = eval(arguments);
        let found = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(2) && found.contains(sentence),
            "{arguments:?}: {found}"
        );
        assert!(output.stdout.is_empty());
    }
    let none = kscope_testing::kscope().arg("eval").output().unwrap();
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&none.stderr).contains("needs something to evaluate"));
}

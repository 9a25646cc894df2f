//! `kscope learn` from arguments to files, on the embedded demo model.

use std::path::Path;
use std::process::Output;

use kscope::mask::files::{self, Contents, Split};
use kscope_testing::models::tiny_folder;
use kscope_testing::{kscope, root};
use serde_json::Value;

fn called(arguments: &[&str]) -> Output {
    kscope().args(arguments).output().unwrap()
}

const SMALL: &[&str] = &[
    "--method",
    "leank",
    "--ctx",
    "220..300",
    "--pool",
    "3",
    "--steps",
    "6",
    "--mask-steps",
    "3",
    "--check-prompts",
    "1",
    "--sparsity",
    "0.5",
];

const LEANK: [&str; 2] = ["--method", "leank"];

fn learn(out: &Path, more: &[&str]) -> Output {
    called(&[&["learn", "--json", "--out", out.to_str().unwrap()], SMALL, more].concat())
}

fn mask(path: &Path) -> files::MaskFile {
    match files::read(path, &Split::default()).unwrap() {
        Contents::Mask(file) => file,
        _ => panic!("a mask was asked for"),
    }
}

#[test]
fn a_learning_ends_with_a_mask_a_verdict_and_every_rival() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("mask.safetensors");
    let run = learn(&out, &[]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(String::from_utf8_lossy(&run.stderr).contains("no natural text is used"));
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    // So few answers say nothing for a mask.
    let verdicts = ["not enough evidence", "do not ship"];
    assert!(verdicts.contains(&report["verdict"].as_str().unwrap()), "{report}");
    assert_eq!(
        (report["steps"].as_u64(), report["sparsity_target"].as_f64()),
        (Some(9), Some(0.5))
    );
    assert!(
        report["seconds"].as_f64() > report["prefill_seconds"].as_f64()
            && report["peak_bytes"].as_u64() > Some(1 << 20)
    );
    let rows: Vec<(&str, &str)> = report["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["rule"].as_str().unwrap(), row["counts"].as_str().unwrap()))
        .collect();
    assert_eq!(
        rows,
        [
            ("dense", "own"),
            ("learned", "learned"),
            ("fisher", "learned"),
            ("fisher", "own"),
            ("think", "learned"),
            ("think", "own"),
            ("centred", "learned"),
            ("expected", "learned"),
            ("pairs", "learned"),
            ("key-norm", "learned"),
            ("key-norm", "own"),
            ("frequency", "learned"),
            ("frequency", "own"),
            ("bands", "learned"),
            ("random", "learned"),
        ]
    );
    assert_eq!(report["rows"][0]["kld_mean"], 0.0, "dense against itself");
    // Plain caches over the same texts and prompts, after the mask itself.
    let costs = report["costs"].as_array().unwrap();
    let names: Vec<&str> = costs.iter().map(|cost| cost["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["learned", "k8v8", "q8_0", "k4v4", "q4_0"]);
    let learned = &report["rows"][1];
    assert_eq!(
        (&costs[0]["kld_mean"], &costs[0]["recall"]),
        (&learned["kld_mean"], &learned["recall"])
    );
    assert!(report["reason"].as_str().unwrap().contains("plain caches: k8v8 "), "{report}");

    let file = mask(&out);
    assert_eq!(file.origin.model, "demo");
    assert_eq!(file.target_sparsity, Some(0.5));
    assert!(file.importance.unwrap().scores().iter().all(|score| (0.0..=1.0).contains(score)));
    let recipe = &file.origin.recipe;
    assert_eq!(recipe["check"]["verdict"], report["verdict"]);
    assert_eq!(recipe["check"]["costs"][1]["name"], "k8v8");
    assert_eq!(recipe["settings"]["steps"], 6);

    // A finished run can be checked again; its mask does not change.
    let again = folder.path().join("again.safetensors");
    let run = learn(&again, &["--resume", folder.path().join("mask.learning").to_str().unwrap()]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(mask(&again).plan, file.plan);
    // The checkpoint of another run is refused.
    let run = learn(
        &again,
        &["--resume", folder.path().join("mask.learning").to_str().unwrap(), "--seed", "9"],
    );
    assert_eq!(run.status.code(), Some(2), "{}", String::from_utf8_lossy(&run.stderr));
}

/// Without `--method`: the sensitivity, cut at the sparsity, with the same check.
#[test]
fn the_usual_method_is_one_measurement() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("mask.safetensors");
    let run = |more: &[&str]| {
        let given = ["learn", "--json", "--force", "--ctx", "220..300", "--windows", "2", "--out"];
        called(&[&given[..], &[out.to_str().unwrap()], more].concat())
    };
    let checked = run(&["--sparsity", "0.5", "--check-prompts", "1"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(
        (report["method"].as_str(), report["steps"].as_u64(), report["samples"].as_u64()),
        (Some("sensitivity"), Some(0), Some(10)),
        "{report}"
    );
    let rows = report["rows"].as_array().unwrap();
    let named = |row: &Value| (row["rule"].clone(), row["counts"].clone());
    assert_eq!(named(&rows[1]), ("learned".into(), "learned".into()), "the mask that was made");
    let file = mask(&out);
    let pruned = 1.0 - file.mask().kept_ratio();
    assert!((pruned - 0.5).abs() < 0.03, "{pruned}");
    // Its channels of a head are those with the most damage, and the file says how it was made.
    let (importance, sensitivity) = (file.importance.unwrap(), file.sensitivity.unwrap());
    assert_eq!(importance, sensitivity.pruning().unwrap());
    let again = kscope::mask::select::prune(&sensitivity, 0.5, file.origin.align, false).unwrap();
    assert_eq!(*file.plan.mask(), again);
    let recipe = &file.origin.recipe;
    assert_eq!(
        (&recipe["rule"], &recipe["settings"]["windows"]),
        (&"sensitivity".into(), &2.into())
    );
    assert_eq!(recipe["check"]["verdict"], report["verdict"]);
    // The same again is the same mask; another seed is another one.
    let mask_with = |seed: &str| {
        let made = run(&["--sparsity", "0.5", "--check-prompts", "0", "--seed", seed]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        mask(&out)
    };
    assert_eq!(mask_with("0").plan, file.plan);
    assert_ne!(mask_with("1").sensitivity, Some(sensitivity));
}

#[test]
fn wrong_arguments_are_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("mask.safetensors");
    for (more, word) in [
        (&["--sparsity", "1.5"][..], "--sparsity"),
        (&["--align", "5"], "--align"),
        (&["--ctx", "900..100"], "MIN..MAX"),
        (&["--ctx", "512..99999"], "context"),
        (&["--chunk", "0"], "chunk"),
        (&["--haystack", "nowhere.txt"], "nowhere.txt"),
        (&["--method", "leank", "--resume", "nowhere"], "nowhere"),
        (&["--method", "paper"], "sensitivity"),
        (&["--steps", "9"], "--steps is an option of --method leank"),
        (&["--resume", "nowhere"], "--resume is an option of --method leank"),
        (&["--baked"], "--baked is an option of --method leank"),
        (
            &["--method", "leank", "--windows", "3"],
            "--windows is an option of --method sensitivity",
        ),
        (&["--windows", "0"], "windows is 0"),
    ] {
        let given = ["learn", "--out", out.to_str().unwrap()];
        let run = kscope().current_dir(folder.path()).args(given).args(more).output().unwrap();
        let error = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(2), "{more:?}: {error}");
        assert!(error.contains(word), "{more:?}: {error}");
    }
    let run = called(&["learn", "--out", folder.path().join("mask.txt").to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(2));
    assert!(!out.exists());
}

#[test]
fn a_model_that_cannot_do_the_task_is_refused_before_any_training() {
    // Random weights with a tokenizer: it reads the questions and knows no answer.
    let folder = tiny_folder("llama");
    let config = folder.path().join("config.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    json["max_position_embeddings"] = 8192.into();
    std::fs::write(&config, json.to_string()).unwrap();
    let out = folder.path().join("mask.safetensors");
    let model = folder.path().to_str().unwrap();
    let run = called(&[
        "learn",
        "--method",
        "leank",
        "--out",
        out.to_str().unwrap(),
        "--model",
        model,
        "--ctx",
        "3000..4000",
        "--tasks",
        "codes",
        "--pool",
        "3",
    ]);
    let error = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{error}");
    assert!(
        error.contains(
            "dense recall is 0 % on the best task: a mask learned on this would mean nothing"
        ),
        "{error}"
    );
    assert!(!out.exists() && !error.contains("Importance 1/"), "{error}");
    assert!(!folder.path().join("mask.learning").exists(), "no checkpoint of nothing");
}

#[test]
fn learning_goes_on_from_given_importance() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) =
        (folder.path().join("first.safetensors"), folder.path().join("second.safetensors"));
    let small = ["--ctx", "220..300", "--pool", "3", "--check-prompts", "0"];
    let run = called(
        &[
            &["learn", "--out", first.to_str().unwrap(), "--steps", "6", "--mask-steps", "0"],
            &LEANK[..],
            &small[..],
        ]
        .concat(),
    );
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let from = ["--importance", first.to_str().unwrap()];
    let more = |out: &Path, more: &[&str]| {
        called(
            &[
                &["learn", "--json", "--force", "--out", out.to_str().unwrap()],
                &LEANK[..],
                &small[..],
                &from,
                more,
            ]
            .concat(),
        )
    };
    // The cut at another sparsity without training: it equals what `mask make` selects, with no
    // updates.
    let run = more(&second, &["--sparsity", "0.7", "--mask-steps", "0"]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((report["steps"].as_u64(), &report["verdict"]), (Some(0), &Value::Null));
    let (was, now) = (mask(&first), mask(&second));
    assert_eq!(was.importance, now.importance);
    let options = kscope::mask::select::Options::new(0.7, 8);
    let selected = kscope::mask::select(now.importance.as_ref().unwrap(), &options).unwrap();
    assert_eq!(*now.mask(), selected);
    assert_eq!(now.origin.recipe["importance"]["file"], "first.safetensors");
    assert_eq!(now.origin.recipe["importance"]["recipe"]["settings"]["steps"], 6);
    // With stage 2: only the updates of stage 2 run.
    let run = more(&second, &["--sparsity", "0.7", "--mask-steps", "3"]);
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(report["steps"], 3, "{}", String::from_utf8_lossy(&run.stderr));
    // Importance that is not in 0..=1, and that of another model.
    let scores = folder.path().join("scores.safetensors");
    let run = called(&[
        "score",
        "--model",
        "demo",
        "--rule",
        "key-norm",
        "--text",
        "Cargo.toml",
        "--out",
        scores.to_str().unwrap(),
    ]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let run = called(&[
        "learn",
        "--method",
        "leank",
        "--force",
        "--out",
        second.to_str().unwrap(),
        "--importance",
        scores.to_str().unwrap(),
    ]);
    let error = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.code() == Some(2) && error.contains("between 0 and 1"), "{error}");
    let llama = tiny_folder("llama");
    let run = more(&second, &["--model", llama.path().to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(2), "{}", String::from_utf8_lossy(&run.stderr));
}

/// The records in the shipped files meet the goals: KLD on the texts trained on, and at most 1.3
/// times that on others.
#[test]
fn shipped_masks_follow_from_their_importance_and_passed_their_check() {
    let folder = root().join("masks");
    for (name, goal) in [("0.5", 0.010), ("0.7", 0.025), ("0.8", 0.045)] {
        let file = mask(&folder.join(format!("smollm2-135m-{name}.safetensors")));
        let recipe = &file.origin.recipe;
        assert_eq!(file.target_sparsity, Some(name.parse().unwrap()));
        let options = kscope::mask::select::Options::new(name.parse().unwrap(), file.origin.align);
        assert_eq!(
            *file.mask(),
            kscope::mask::select(file.importance.as_ref().unwrap(), &options).unwrap()
        );
        assert!(
            (1.0 - file.mask().kept_ratio() - file.target_sparsity.unwrap()).abs() < 0.012,
            "{name}"
        );
        let check = &recipe["check"];
        assert_eq!(check["verdict"], "ship", "{name}");
        let rows = check["rows"].as_array().unwrap();
        let number = |row: &Value, key: &str| row[key].as_f64().unwrap();
        let (dense, learned) = (&rows[0], &rows[1]);
        assert!(
            learned["asked"].as_u64() >= Some(400) && learned["asked"] == dense["asked"],
            "{name}: {}",
            learned["asked"]
        );
        assert!(number(learned, "digit_nll") <= number(dense, "digit_nll") + 0.02);
        assert!(number(learned, "recall") >= number(dense, "recall") - 0.02);
        assert!(check["mcnemar"]["p"].as_f64() >= Some(0.05));
        let kld = number(learned, "kld_mean");
        assert!(kld <= goal, "{name}: {kld}");
        for text in learned["texts"].as_array().unwrap() {
            let found = text["kld"]["mean"].as_f64().unwrap();
            assert!(found <= 1.3 * goal, "{name}, {}: {found}", text["text"]);
        }
        let rivals = rows[2..].iter().filter(|row| row["counts"] == "learned");
        let best = rivals.map(|row| number(row, "kld_mean")).fold(f64::INFINITY, f64::min);
        assert!(kld <= best / 2.0, "{name}: {kld} against {best}");
    }
    let demo = mask(&folder.join("demo.safetensors"));
    assert_eq!(
        (&demo.origin.recipe["rule"], &demo.origin.recipe["check"]["verdict"]),
        (&"learned".into(), &"ship".into())
    );
}

#[test]
fn the_estimate_says_that_it_is_one() {
    let run = called(&["learn", "--estimate"]);
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(
        run.status.success()
            && text.starts_with("estimate, not measured")
            && text.contains("98,304"),
        "{text}"
    );
}

#[test]
fn a_mask_to_bake_is_judged_in_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("pairs.safetensors");
    let run = called(&[
        "learn",
        "--method",
        "leank",
        "--baked",
        "--json",
        "--model",
        "demo",
        "--sparsity",
        "0.3",
        "--steps",
        "4",
        "--mask-steps",
        "15",
        "--ctx",
        "128..256",
        "--pool",
        "4",
        "--check-prompts",
        "2",
        "--no-rivals",
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    let (with_dense_prefill, baked) = (&report["rows"][1], &report["baked_check"]);
    // The same texts and questions, and a prefill that loses as well.
    assert_eq!(baked["asked"], with_dense_prefill["asked"]);
    assert_eq!(baked["texts"][0]["text"], with_dense_prefill["texts"][0]["text"]);
    let kld = |row: &Value| row["kld_mean"].as_f64().unwrap();
    let steps = |row: &Value| row["texts"][0]["steps"].as_u64().unwrap();
    assert!(steps(baked) > steps(with_dense_prefill), "{report}");
    assert!(kld(with_dense_prefill) < 0.05, "{report}");
    assert!(kld(baked) > 0.0 && kld(baked) != kld(with_dense_prefill), "{report}");
    assert!(report["reason"].as_str().unwrap().contains(&format!("{:.4}", kld(baked))), "{report}");
    let recipe = mask(&out).origin.recipe;
    assert_eq!(recipe["check"]["verdict"], report["verdict"]);
    assert_eq!(recipe["check"]["baked"]["kld_mean"], baked["kld_mean"]);

    // On text that is not of the model's kind the same mask loses far more.
    let text = folder.path().join("text.txt");
    let words = "The garden is quiet and the river runs slowly past the old stone bridge. ";
    std::fs::write(&text, words.repeat(20)).unwrap();
    let compared = called(&[
        "compare",
        "--baked",
        "--model",
        "demo",
        "--mask",
        out.to_str().unwrap(),
        "--prompt-file",
        text.to_str().unwrap(),
        "--max-new",
        "2",
        "--json",
    ]);
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stderr));
    let compared: Value = serde_json::from_slice(&compared.stdout).unwrap();
    assert!(compared["prompt"]["kld"]["mean"].as_f64().unwrap() > 0.05, "{compared}");
}

//! Steps that say little of a plan, in `compare` and `sweep`: those before anything was pruned, and those
//! that repeat a loop of the text.

use kscope_testing::{kscope, root};
use serde_json::Value;

/// So many tokens of a period of nine, which the demo model goes on with.
fn loops(tokens: usize) -> String {
    (0..tokens).map(|i| (i % 9 * 37 + 20).to_string()).collect::<Vec<_>>().join(",")
}

/// What a command prints on standard output and on standard error.
fn call(arguments: &[&str]) -> [String; 2] {
    let output = kscope().args(arguments).output().unwrap();
    let texts = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{}", texts[1]);
    texts
}

fn json(arguments: &[&str]) -> Value {
    let [out, _] = call(&[arguments, &["--json"]].concat());
    serde_json::from_str(&out).expect("one JSON object")
}

fn demo_mask() -> String {
    root().join("masks/demo.safetensors").display().to_string()
}

/// The loss was once averaged over a loop without a word.
#[test]
fn compare_counts_the_steps_of_a_loop_and_has_the_loss_before_it() {
    let (mask, ids) = (demo_mask(), loops(300));
    let arguments = ["compare", "--mask", &mask, "--token-ids", &ids, "--max-new", "60"];
    let found = json(&arguments);
    let text: Vec<u64> =
        found["a"]["tokens"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    assert!(text[9..] == text[..text.len() - 9], "a loop of nine: {text:?}");
    // The first copy of the nine repeats nothing, and the first token is not compared.
    assert_eq!((&found["compared_steps"], &found["steps_in_loop"]), (&59.into(), &51.into()));
    assert_eq!(found["steps_with_middle"], 59);
    let before = &found["before_loop"];
    assert_eq!(before["steps"], 8);
    let klds = found["steps"].as_array().unwrap().iter().take(8);
    let mean = klds.map(|step| step["kld"].as_f64().unwrap()).sum::<f64>() / 8.0;
    assert!((before["kld"]["mean"].as_f64().unwrap() - mean).abs() < 1e-12, "{before}");
    assert_eq!(found["beside"]["steps_in_loop"], 51);
    let [shown, _] = call(&arguments);
    assert!(
        shown.contains("51 of 59 steps repeat a loop of the text")
            && shown.contains("before it KLD mean"),
        "{shown}"
    );
    assert!(!shown.contains("nothing was pruned"), "{shown}");
}

/// Every plan once had KLD 0 and a place among plain caches after a prompt of 23 tokens.
#[test]
fn what_is_measured_before_anything_is_pruned_says_so_and_ranks_nothing() {
    let (mask, ids) = (demo_mask(), loops(23));
    let arguments = ["compare", "--mask", &mask, "--token-ids", &ids, "--max-new", "20"];
    let found = json(&arguments);
    assert_eq!((&found["steps_with_middle"], &found["beside"]), (&0.into(), &Value::Null));
    let [shown, _] = call(&arguments);
    assert!(
        shown.contains("nothing was pruned in 19 of 19 steps: a middle begins with 176 tokens"),
        "{shown}"
    );
    let arguments = ["sweep", "--plan", "q8_0", "--steps", "8", "--token-ids", &ids];
    let row = &json(&arguments)["rows"][0];
    assert_eq!((&row["steps_with_middle"], &row["kld"]["max"]), (&0.into(), &0.0.into()));
    let [table, _] = call(&arguments);
    assert!(table.contains("nothing was pruned in 8 of 8 steps"), "{table}");
    let row = table.lines().find(|line| line.starts_with("q8_0")).expect("a row");
    assert!(row.contains('–') && !row.contains("100.0 %"), "{row}");
    // Some steps with a middle: their number is said, and the figures stay.
    let ids = loops(180);
    let arguments = ["compare", "--mask", &mask, "--token-ids", &ids, "--max-new", "20"];
    assert_eq!(json(&arguments)["steps_with_middle"], 19);
    let ids = loops(170);
    let arguments = ["compare", "--mask", &mask, "--token-ids", &ids, "--max-new", "20"];
    // The sixth step is the first with 176 tokens.
    assert_eq!(json(&arguments)["steps_with_middle"], 14);
}

/// Ten rows once had ten names and one mask.
#[test]
fn masks_that_keep_the_same_channels_are_measured_once_and_named() {
    let (mask, ids) = (demo_mask(), loops(300));
    let arguments = ["sweep", "--steps", "8", "--importance", &mask, "--token-ids", &ids];
    let found = json(&arguments);
    let rows = found["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["same_as"]), (10, &Value::Null));
    let same: Vec<_> = rows.iter().filter(|row| !row["same_as"].is_null()).collect();
    assert!(!same.is_empty(), "the demo's importance is 0 for nine channels of ten");
    for row in &same {
        let first = rows.iter().find(|first| first["plan"] == row["same_as"]).expect("a row");
        assert_eq!((&row["kld"], &row["sparsity"]), (&first["kld"], &first["sparsity"]));
    }
    assert_eq!(found["steps_in_loop"], 0, "eight steps are no loop of nine");
    let [table, said] = call(&arguments);
    let shown = table.lines().filter(|line| line.starts_with("mask ")).count();
    assert_eq!(shown, rows.len() - same.len(), "{table}");
    assert!(said.contains("no sparsity keeps channels without importance"), "{said}");
}

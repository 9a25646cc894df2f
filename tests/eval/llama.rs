//! The text suite beside llama.cpp: its files of base logits are read, and its figures are found.

use kscope_testing::{kscope, require, root};
use serde_json::Value;

use super::success;

fn vectors() -> Value {
    let path = root().join("tests/vectors/eval/kl_divergence.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The blocks that are printed for a row.
fn printed(output: &str, title: &str) -> Vec<String> {
    let lines: Vec<&str> = output.lines().collect();
    let start = lines.iter().position(|line| *line == title);
    let start = start.unwrap_or_else(|| panic!("{title} in\n{output}")) + 1;
    lines[start..start + 39].iter().map(|line| (*line).to_owned()).collect()
}

/// A line's name, and its numbers.
fn parts(line: &str) -> (&str, Vec<f64>) {
    let Some((name, values)) = line.rsplit_once(':') else { return (line, Vec::new()) };
    let words = values.split(['%', '±', ' ']).filter(|word| !word.is_empty());
    (name, words.map(|word| word.parse().unwrap()).collect())
}

/// How far a figure, or its error, may be off: PPL is about 330 in single precision, and per cent
/// have three decimals. The error of a difference that is 0 is rounding alone.
fn allowed(name: &str, is_error: bool) -> f64 {
    match (name, is_error) {
        (name, _) if name.contains("KLD") => 3e-6,
        (name, true) if name.contains("PPL(Q)/PPL") => 1e-4,
        (name, false) if name.contains("PPL(Q)/PPL") => 2e-5,
        (name, true) if name.contains("PPL(Q)-PPL") => 2e-2,
        (name, _) if name.starts_with("Mean PPL") => 5e-3,
        (name, _) if name.starts_with("Cor") => 0.011,
        _ => 2e-3,
    }
}

#[test]
fn a_model_has_the_figures_that_llama_cpp_prints_for_it() {
    let tiny = &vectors()["tiny"];
    for row in tiny["rows"].as_array().unwrap() {
        let (file, model) = (row["base"].as_str().unwrap(), row["model"].as_str().unwrap());
        let base = root().join("tests/vectors/eval").join(file).display().to_string();
        let model = root().join("tests/vectors/gguf").join(model).display().to_string();
        let chunks = tiny["chunks"].to_string();
        let output = success(
            kscope()
                .args(["eval", "--model", &model, "--plan", "k8v8", "--kv-dtype", "f32"])
                .args(["--suite", "text", "--chunks", &chunks, "--base", &base])
                .output()
                .unwrap(),
        );
        let name = file.trim_end_matches(".bin");
        let found = printed(&output, &format!("{name} at {}, dense:", tiny["ctx"]));
        let wanted = row["blocks"].as_array().unwrap();
        assert_eq!(wanted.len(), found.len());
        for (found, wanted) in found.iter().zip(wanted) {
            let wanted = wanted.as_str().unwrap();
            let ((name, own), (title, theirs)) = (parts(found), parts(wanted));
            assert_eq!((name, own.len()), (title, theirs.len()));
            for (at, (own, theirs)) in own.iter().zip(&theirs).enumerate() {
                let allowed = allowed(name, at == 1);
                assert!((own - theirs).abs() <= allowed, "{file}: {found}\nnot {wanted}");
            }
        }
    }
}

#[test]
fn smollm2_loses_beside_llama_cpp_what_its_caches_lose() {
    if !require("model") {
        return;
    }
    let smollm2 = &vectors()["smollm2"];
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display().to_string();
    let text = root().join("tests/vectors/smollm2_text.txt").display().to_string();
    let (ctx, chunks) = (smollm2["ctx"].to_string(), smollm2["chunks"].to_string());
    let output = success(
        kscope()
            .args(["eval", "--model", "smollm2-135m", "--dtype", "f16"])
            .args(["--plan", "q8_0", "q4_0", "k8v8"])
            .args(["--sink", "0", "--recent", "0", "--suite", "text", "--text", &text])
            .args(["--ctx", &ctx, "--chunks", &chunks, "--out", &out, "--json"])
            .output()
            .unwrap(),
    );
    let found: Value = serde_json::from_str(&output).unwrap();
    let row = |mask: &str| {
        let mut rows = found["rows"].as_array().unwrap().iter();
        rows.find(|row| row["mask"] == mask).unwrap().clone()
    };
    let ppl = row("q8_0")["dense_score"].as_f64().unwrap();
    let theirs = smollm2["ppl"].as_f64().unwrap();
    assert!((ppl / theirs - 1.0).abs() < 2e-3, "PPL {ppl}, llama.cpp {theirs}");

    // Every scored position of the dense cache, from the stream.
    let stream = std::fs::read_to_string(folder.path().join("results.jsonl")).unwrap();
    let (mut differences, mut positions) = (0.0, 0);
    for (line, theirs) in stream.lines().skip(1).zip(smollm2["nll"].as_array().unwrap()) {
        let record: Value = serde_json::from_str(line).unwrap();
        let own = record["losses"][0]["nll_base"].as_array().unwrap();
        let theirs = theirs.as_array().unwrap();
        assert_eq!(own.len(), theirs.len(), "the same chunks of tokens");
        for (own, theirs) in own.iter().zip(theirs) {
            let difference = (own.as_f64().unwrap() - theirs.as_f64().unwrap()).abs();
            assert!(difference < 0.1, "{own} {theirs}");
            (differences, positions) = (differences + difference, positions + 1);
        }
    }
    assert_eq!(positions, 3 * 255);
    assert!(differences / f64::from(positions) < 0.005, "{differences}");

    // llama.cpp reads the whole chunk through the coded cache, kscope only its second half: the errors
    // of the first half are not in its keys, so it loses less (measured: a quarter, a third, a
    // thirteenth).
    for (mask, beside) in [("q8_0", "q8_0"), ("k8v8", "q8_0"), ("q4_0", "q4_0")] {
        let blocks = smollm2["blocks"][beside].as_array().unwrap().iter();
        let line = blocks.map(|line| line.as_str().unwrap()).find(|l| l.starts_with("Mean    KLD"));
        let theirs = parts(line.unwrap()).1[0];
        let own = row(mask)["kl"]["kld"]["mean"].as_f64().unwrap();
        assert!((0.05..1.0).contains(&(own / theirs)), "{mask}: {own}, llama.cpp {theirs}");
    }
}

//! Scores beside those of LongBench's and RULER's own programs.

use clap::ValueEnum;
use kscope::eval::score::{ScoreMetric, Scored, answer_text, mean_percent};
use kscope_testing::{kscope, vectors};
use serde_json::{Value, json};

fn texts(value: &Value) -> Vec<String> {
    let own = |text: &Value| text.as_str().unwrap().to_owned();
    value.as_array().into_iter().flatten().map(own).collect()
}

#[test]
fn scores_equal_those_of_the_packages_that_longbench_uses() {
    let lines = std::fs::read_to_string(vectors().join("eval/scores.jsonl")).unwrap();
    let mut counts = [0; 4];
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let name = case["metric"].as_str().unwrap();
        let metric = ScoreMetric::from_str(name, false).unwrap();
        let prediction = case["prediction"].as_str().unwrap();
        let found = metric
            .score(prediction, &texts(&case["references"]), &texts(&case["all_classes"]))
            .unwrap();
        let expected = case["score"].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}: {line}");
        let place = ["qa_f1", "rouge_l", "code_sim", "classification"];
        counts[place.iter().position(|known| *known == name).unwrap()] += 1;
    }
    assert!(counts.iter().all(|&n| n >= 40), "{counts:?}");
}

#[test]
fn retrieval_counts_the_numbers_that_are_the_paragraph() {
    let score = |prediction: &str, truth: &str| {
        ScoreMetric::Retrieval.score(prediction, &[truth.to_owned()], &[])
    };
    assert_eq!(score("Paragraph 7, or 7 of 30", "Paragraph 7"), Ok(2.0 / 3.0));
    assert_eq!(score("none", "Paragraph 7"), Ok(0.0));
    assert!(score("7", "7").unwrap_err().to_string().contains("such as `Paragraph 3`"));
    let count = ScoreMetric::Count.score("12 and 012", &["12".to_owned()], &[]);
    assert_eq!(count, Ok(0.5), "numbers are compared as text");
}

#[test]
fn rulers_scores_look_for_references_inside_words_and_in_any_case() {
    let score = |metric: ScoreMetric, prediction: &str, references: &[&str]| {
        let references: Vec<String> = references.iter().map(|one| (*one).to_owned()).collect();
        metric.score(prediction, &references, &[]).unwrap()
    };
    let own = ["Über", "mill", "seven", "nine"];
    assert_eq!(score(ScoreMetric::MatchAll, "ÜBERMUT and windmills", &own), 0.5);
    assert_eq!(score(ScoreMetric::MatchPart, "windmills", &own), 1.0);
    assert_eq!(score(ScoreMetric::MatchPart, "a wind mi-ll", &own), 0.0);
    assert_eq!(answer_text(" \n\x01a\x02b\t\x00"), "a\nb");
}

#[test]
fn a_set_is_published_in_per_cent_with_two_places() {
    assert_eq!(mean_percent(&[1.0, 0.0, 0.0]), 33.33);
    assert_eq!(mean_percent(&[]), 0.0);
    let lines = "{\"prediction\":\"Paris\",\"references\":[\"Paris, France\",\"x\"]}\n\n\
                 {\"prediction\":\"no\",\"references\":[\"yes\"],\"more\":1}\n";
    let scored = Scored::of_lines(ScoreMetric::QaF1, "file", lines).unwrap();
    assert_eq!((scored.n, scored.score), (2, 33.33));
    assert_eq!(scored.per_sample, [2.0 / 3.0, 0.0]);
}

#[test]
fn the_command_prints_one_object_and_names_the_line_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answers.jsonl");
    let run = |text: &str, metric: &str| {
        std::fs::write(&path, text).unwrap();
        kscope().args(["eval", "score", "--metric", metric]).arg(&path).output().unwrap()
    };
    let output = run("{\"prediction\":\"the 3 of 12\",\"references\":[\"12\"]}\n", "count");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let own = [&found["metric"], &found["n"], &found["score"], &found["per_sample"]];
    assert_eq!(own, [&json!("count"), &json!(1), &json!(50.0), &json!([0.5])], "{found}");
    assert_eq!(found.as_object().map(|object| object.len()), Some(6), "and its schema: {found}");
    for (text, metric, sentence) in [
        (
            "{\"prediction\":\"x\",\"references\":[\"y\"]}\n{\"prediction\":3}",
            "count",
            "line 2: expected",
        ),
        (
            "{\"prediction\":\"x\",\"references\":[]}",
            "qa_f1",
            "line 1: expected at least one reference",
        ),
        (
            "{\"prediction\":\"x\",\"references\":[\"y\"]}",
            "classification",
            "needs the list `all_classes`",
        ),
        ("\n", "rouge_l", "expected lines with answers, found none"),
    ] {
        let output = run(text, metric);
        let found = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{found}");
        assert!(found.contains(sentence) && found.contains("answers.jsonl"), "{found}");
    }
}

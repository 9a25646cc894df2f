//! Data sets as their projects write them.

use std::path::Path;

use kscope::eval::data::{DataFile, Scoring, Templates};
use kscope::eval::score::ScoreMetric;
use serde_json::{Value, json};

use super::{eval, success};

fn written(folder: &Path, name: &str, lines: &[Value]) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

fn ruler_line() -> Value {
    json!({
        "index": 0,
        "input": "Grey hills. What is the special magic word? A special magic number for mill is: 4821937. What is the special magic number for mill?",
        "outputs": ["4821937"], "length": 60, "answer_prefix": " The special magic number for mill is",
    })
}

#[test]
fn rulers_lines_are_sent_as_they_are_and_split_at_the_last_question() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), "niah_single_2/validation.jsonl", &[ruler_line()]);
    let file = DataFile::read(&path, &Templates::new(), 10).unwrap();
    let sample = &file.samples[0];
    assert_eq!((&*sample.task, sample.new_tokens), ("niah_single_2", 128));
    assert!(sample.text.raw);
    assert_eq!(sample.text.question, "What is the special magic number for mill?");
    assert!(sample.text.context.ends_with("4821937. "));
    assert_eq!(sample.scoring, Scoring::Metric(ScoreMetric::MatchAll));
    let qa = written(folder.path(), "qa_1.jsonl", &[ruler_line()]);
    let qa = DataFile::read(&qa, &Templates::new(), 10).unwrap();
    assert_eq!(
        (qa.samples[0].metric(), qa.samples[0].new_tokens),
        (Some(ScoreMetric::MatchPart), 32)
    );
}

#[test]
fn longbench_lines_take_the_users_prompt_and_their_own_score() {
    let folder = tempfile::tempdir().unwrap();
    let line = |dataset: &str, classes: Value| {
        json!({
            "input": "Who {context}?", "context": "A {input} text.", "answers": ["Ada"], "length": 5,
            "dataset": dataset, "language": "en", "all_classes": classes, "_id": "1",
        })
    };
    let templates: Templates = serde_json::from_value(
        json!({"qasper": "Read: {context}\nQ: {input}\nA:", "trec": "{context}\n{input}"}),
    )
    .unwrap();
    let path = written(
        folder.path(),
        "q.jsonl",
        &[line("qasper", Value::Null), line("trec", json!(["Ada", "Bob"]))],
    );
    let file = DataFile::read(&path, &templates, 10).unwrap();
    let [qasper, trec] = &file.samples[..] else { panic!("two lines") };
    assert_eq!(qasper.text.context, "Read: A {input} text.");
    assert_eq!(qasper.text.question, "\nQ: Who {context}?\nA:");
    assert!(!qasper.text.raw && trec.text.raw && trec.first_line);
    assert_eq!(trec.score("\nAda\nBob"), Ok(1.0), "only the first line counts");
    assert_eq!(qasper.score("Ada Bob"), Ok(2.0 / 3.0));
    let refused = DataFile::read(&path, &Templates::new(), 10).unwrap_err().to_string();
    assert!(refused.contains("line 1") && refused.contains("--prompts"), "{refused}");
}

#[test]
fn other_lines_are_known_by_their_keys_and_wrong_ones_named() {
    let folder = tempfile::tempdir().unwrap();
    let two = json!({"_id": "1", "domain": "Law", "sub_domain": "x", "difficulty": "hard", "length": "short",
        "question": "Which?", "choice_A": "a", "choice_B": "b", "choice_C": "c", "choice_D": "d", "answer": "C", "context": "Text."});
    let symbolic = json!({"problem": "assign V1 = 2. assign V2 = V1.", "question": "Which variables are 2?", "op": 2,
        "answer_list": ["V1", "V2"], "solution": ""});
    let story = json!({"problem": "Two bears.", "question": "How many?", "op": 1, "solution": "So. Answer: 12."});
    let press = json!({"context": "c", "question": "q", "answer_prefix": "p", "answer": ["x"], "task": "vt", "max_new_tokens": 30});
    let path = written(folder.path(), "all.jsonl", &[two, symbolic, story, press.clone()]);
    let file = DataFile::read(&path, &Templates::new(), 10).unwrap();
    let score = |at: usize, text: &str| file.samples[at].score(text).unwrap();
    assert_eq!((score(0, "The correct answer is (C)."), score(0, "C")), (1.0, 0.0));
    assert_eq!((score(1, "V2, V1"), score(1, "V2")), (1.0, 0.0));
    assert_eq!((score(2, "The answer: 12."), score(2, "13")), (1.0, 0.0));
    assert_eq!((file.samples[3].new_tokens, &*file.samples[3].task), (30, "vt"));
    let mut wrong = press;
    wrong.as_object_mut().unwrap().remove("max_new_tokens");
    for (line, sentence) in [
        (wrong, "expected a number in `max_new_tokens`, found none"),
        (json!({"x": 1}), "found none of them"),
        (json!({"input": "x", "outputs": []}), "expected a list of texts in `outputs`"),
    ] {
        let path = written(folder.path(), "wrong.jsonl", &[line]);
        let found = DataFile::read(&path, &Templates::new(), 10).unwrap_err();
        assert!(found.exit_code() == 2 && found.to_string().contains(sentence), "{found}");
    }
}

#[test]
fn data_sets_run_beside_dense() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), "niah_single_2.jsonl", &[ruler_line(), ruler_line()]);
    let path = path.display().to_string();
    let found = success(eval(&["--suite", "data", "--data", &path, "--ctx", "512", "--json"]));
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["rows"][1]["task"], "niah_single_2");
    assert_eq!(
        (&found["rows"][1]["n"], &found["control"]["differing_answers"]),
        (&2.into(), &0.into())
    );
}

//! Data files: whose a line is shows in its keys.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::longbench::SETS;
use super::sample::{DataSample, Scoring};
use crate::eval::prompt::PromptText;
use crate::eval::recall::RecallTask;
use crate::eval::run::sha256;
use crate::eval::score::ScoreMetric;
use crate::{Error, Result, error, input_file};

/// LongBench's prompts by data set, from the user's `dataset2prompt.json`.
pub type Templates = HashMap<String, String>;

/// A data file.
#[derive(Debug, Clone, PartialEq)]
pub struct DataFile {
    /// Its name without folders.
    pub name: String,
    /// Sha256 of its bytes.
    pub sha256: String,
    /// Its lines, at most as many as were asked for.
    pub samples: Vec<DataSample>,
}

impl DataFile {
    /// Reads at most `most` lines.
    ///
    /// # Errors
    /// For lines of no known data set, and those that lack what their data set has, by number.
    pub fn read(path: &Path, templates: &Templates, most: usize) -> Result<Self> {
        let shown = path.display();
        let text = input_file::read_text(path, input_file::DATA)?;
        let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        // RULER's files are all called validation.jsonl, each in its task's folder.
        let own = stem(path).unwrap_or_default();
        let folder = path.parent().and_then(stem).unwrap_or_default();
        let task = if own == "validation" && !folder.is_empty() { folder } else { own.clone() };
        let mut samples = Vec::new();
        // A mark that some editors put before a text is no part of the first line.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        for (at, line) in lines.take(most) {
            let place = |cause: String| Error::input(format!("{shown}, line {}: {cause}", at + 1));
            let line: Value = serde_json::from_str(line)
                .map_err(|cause| place(format!("this is no JSON: {cause}")))?;
            let sample = Line(&line).sample(&task, templates);
            let sample = sample.map_err(|cause| place(cause.to_string()))?;
            // What a score needs and the line lacks shows now, not after the answer.
            sample.score("").map_err(|cause| place(cause.to_string()))?;
            samples.push(sample);
        }
        if samples.is_empty() {
            return Err(Error::input(format!("{shown}: expected lines with samples, found none")));
        }
        let name = path.file_name().map_or(own, |name| name.to_string_lossy().into_owned());
        Ok(Self { name, sha256: sha256(text), samples })
    }
}

/// Where a RULER prompt ends its context and asks: kvpress' places.
#[allow(clippy::expect_used, reason = "the patterns are fixed, and tests read with them")]
static QUESTIONS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r"What (?:is|are all) the special magic",
        r"Question: Find all variables that are assigned the value",
        r"Question: What are the 10 most common words in the above list\?",
        r"Question: Do not provide any explanation\.",
        r"Answer the question based on the given documents\.",
    ]
    .into_iter()
    .map(|pattern| Regex::new(pattern).expect("the pattern is fixed"))
    .collect()
});

struct Line<'a>(&'a Value);

impl Line<'_> {
    fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some()
    }

    fn text(&self, key: &str) -> Result<String> {
        let found = self.0.get(key).and_then(Value::as_str).map(str::to_owned);
        found.ok_or_else(|| {
            Error::input(format!("expected a text in `{key}`, found {}", self.kind(key)))
        })
    }

    fn kind(&self, key: &str) -> String {
        self.0
            .get(key)
            .map_or_else(|| "none".to_owned(), |value| error::shortened(&value.to_string()))
    }

    /// A list of texts, or one text.
    fn texts(&self, key: &str) -> Result<Vec<String>> {
        let own = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let found = match self.0.get(key) {
            Some(Value::Array(list)) => list.iter().map(own).collect(),
            Some(one) => own(one).map(|one| vec![one]),
            None => None,
        };
        found.filter(|list: &Vec<String>| !list.is_empty()).ok_or_else(|| {
            Error::input(format!("expected a list of texts in `{key}`, found {}", self.kind(key)))
        })
    }

    /// Texts that an answer must hold: an empty one is in every answer.
    fn wanted(&self, key: &str) -> Result<Vec<String>> {
        let texts = self.texts(key)?;
        match texts.iter().any(|text| text.trim().is_empty()) {
            true => Err(Error::input(format!("expected texts in `{key}`, found an empty one"))),
            false => Ok(texts),
        }
    }

    fn sample(&self, task: &str, templates: &Templates) -> Result<DataSample> {
        if self.has("choice_A") {
            self.longbench2()
        } else if self.has("dataset") && self.has("answers") {
            self.longbench(templates)
        } else if self.has("outputs") && self.has("input") {
            self.ruler(task)
        } else if self.has("context") && self.has("question") && !self.has("problem") {
            self.kvpress(task)
        } else if self.has("op") && self.has("problem") {
            self.gsm()
        } else {
            Err(Error::input(
                "expected the keys of RULER (input, outputs), kvpress (context, question, answer_prefix, answer), LongBench (dataset, answers), LongBench v2 (choice_A) or GSM-Infinite (problem, op), found none of them",
            ))
        }
    }

    fn ruler(&self, task: &str) -> Result<DataSample> {
        let input = self.text("input")?;
        let asked = QUESTIONS
            .iter()
            .filter_map(|pattern| pattern.find_iter(&input).last().map(|found| found.start()))
            .max()
            .unwrap_or(input.len());
        let lead =
            if self.has("answer_prefix") { self.text("answer_prefix")? } else { String::new() };
        let known = RecallTask::ALL.into_iter().find(|known| known.name() == task);
        let qa = task.starts_with("qa");
        Ok(DataSample {
            task: task.to_owned(),
            groups: Vec::new(),
            // Its prompts hold the model's template already.
            text: PromptText {
                context: input[..asked].to_owned(),
                question: input[asked..].to_owned(),
                lead,
                raw: true,
            },
            references: self.wanted("outputs")?,
            classes: Vec::new(),
            scoring: Scoring::Metric(if qa {
                ScoreMetric::MatchPart
            } else {
                ScoreMetric::MatchAll
            }),
            new_tokens: known.map_or(if qa { 32 } else { 128 }, RecallTask::new_tokens),
            first_line: false,
            ends_at_line: false,
            cuts_middle: false,
        })
    }

    fn kvpress(&self, file: &str) -> Result<DataSample> {
        let task = if self.has("task") { self.text("task")? } else { file.to_owned() };
        let metric =
            if task.starts_with("qa") { ScoreMetric::MatchPart } else { ScoreMetric::MatchAll };
        let new_tokens = self.0.get("max_new_tokens").and_then(Value::as_u64).ok_or_else(|| {
            Error::input(format!(
                "expected a number in `max_new_tokens`, found {}",
                self.kind("max_new_tokens")
            ))
        })?;
        Ok(DataSample {
            task,
            groups: Vec::new(),
            text: PromptText {
                context: self.text("context")?,
                question: self.text("question")?,
                lead: self.text("answer_prefix")?,
                raw: false,
            },
            references: self.wanted("answer")?,
            classes: Vec::new(),
            scoring: Scoring::Metric(metric),
            new_tokens: new_tokens as usize,
            first_line: false,
            ends_at_line: false,
            cuts_middle: false,
        })
    }

    fn longbench(&self, templates: &Templates) -> Result<DataSample> {
        let name = self.text("dataset")?;
        // LongBench-E's sets are called so.
        let short = name.strip_suffix("_e").unwrap_or(&name);
        let set = SETS.iter().find(|set| set.name == short).ok_or_else(|| {
            let names: Vec<&str> = SETS.iter().map(|set| set.name).collect();
            Error::input(format!(
                "`dataset` {name}: the sets that are read are {}",
                names.join(", ")
            ))
        })?;
        let template = templates.get(short).ok_or_else(|| {
            Error::input(format!(
                "LongBench's prompt of {short} is needed: give its dataset2prompt.json with --prompts"
            ))
        })?;
        let (context, input) = (self.text("context")?, self.text("input")?);
        // Split at the context's end first, so that braces in the texts stay as they are.
        let (before, after) = template.split_once("{context}").ok_or_else(|| {
            Error::input(format!("expected `{{context}}` in the prompt of {short}, found none"))
        })?;
        let fill = |part: &str| part.replace("{input}", &input);
        let classes = match self.0.get("all_classes") {
            None | Some(Value::Null) => Vec::new(),
            Some(_) => self.texts("all_classes")?,
        };
        Ok(DataSample {
            groups: Vec::new(),
            text: PromptText {
                context: format!("{}{context}", fill(before)),
                question: fill(after),
                lead: String::new(),
                raw: !set.chat,
            },
            references: self.texts("answers")?,
            classes,
            scoring: Scoring::Metric(set.metric),
            new_tokens: set.new_tokens,
            first_line: set.first_line,
            ends_at_line: short == "samsum",
            cuts_middle: true,
            task: name,
        })
    }

    fn longbench2(&self) -> Result<DataSample> {
        let mut question = format!("\n\n{}\n", self.text("question")?.trim());
        for letter in ["A", "B", "C", "D"] {
            let text = self.text(&format!("choice_{letter}"))?;
            question.push_str(&format!("({letter}) {}\n", text.trim()));
        }
        question.push_str("\nOne of the four choices is right. Reply with \"The correct answer is (X)\", X being its letter.");
        let task =
            if self.has("domain") { self.text("domain")? } else { "longbench-v2".to_owned() };
        // Its tables are over all, by difficulty and by length.
        let mut groups = vec!["longbench-v2, all".to_owned()];
        for key in ["difficulty", "length"] {
            if self.has(key) {
                groups.push(format!("longbench-v2, {key} {}", self.text(key)?));
            }
        }
        let answer = self.text("answer")?;
        if !["A", "B", "C", "D"].contains(&&*answer) {
            return Err(Error::input(format!(
                "expected A, B, C or D in `answer`, found {}",
                error::shortened(&answer)
            )));
        }
        Ok(DataSample {
            task,
            groups,
            text: PromptText {
                context: format!(
                    "Read this text; a question follows.\n\n{}",
                    self.text("context")?.trim()
                ),
                question,
                lead: String::new(),
                raw: false,
            },
            references: vec![answer],
            classes: Vec::new(),
            scoring: Scoring::Choice,
            new_tokens: 128,
            first_line: false,
            ends_at_line: false,
            cuts_middle: true,
        })
    }

    fn gsm(&self) -> Result<DataSample> {
        let listed = self.0.get("answer_list").is_some_and(Value::is_array);
        let (references, scoring) = match listed {
            true => (self.texts("answer_list")?, Scoring::Names),
            false => {
                let solution = self.text("solution")?;
                let number = super::answers::integer(&solution).ok_or_else(|| {
                    Error::input("expected `Answer: N.` in `solution`, found none")
                })?;
                (vec![number.to_string()], Scoring::Number)
            }
        };
        Ok(DataSample {
            task: format!("gsm_infinite op {}", self.kind("op")),
            groups: Vec::new(),
            text: PromptText {
                context: self.text("problem")?,
                question: format!("\n\n{}", self.text("question")?),
                lead: String::new(),
                raw: false,
            },
            references,
            classes: Vec::new(),
            scoring,
            new_tokens: 512,
            first_line: false,
            ends_at_line: false,
            cuts_middle: false,
        })
    }
}

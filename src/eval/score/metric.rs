//! The scores by name, and those of a file.

use super::{classes, code, numbers, rouge, substrings, words};
use crate::{Error, Result};

/// How an answer is scored; every score is from 0 to 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum ScoreMetric {
    /// Overlap of words with a reference (LongBench)
    QaF1,
    /// ROUGE-L of a summary (LongBench)
    RougeL,
    /// Share of the answer's numbers that are the reference's paragraph (LongBench)
    Retrieval,
    /// Share of the answer's numbers that are the reference (LongBench)
    Count,
    /// Similarity of the answer's first line of code (LongBench)
    CodeSim,
    /// The reference among the classes that the answer names (LongBench)
    Classification,
    /// Share of the references that occur in the answer (RULER)
    MatchAll,
    /// Whether any reference occurs in the answer (RULER)
    MatchPart,
}

impl ScoreMetric {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::QaF1 => "qa_f1",
            Self::RougeL => "rouge_l",
            Self::Retrieval => "retrieval",
            Self::Count => "count",
            Self::CodeSim => "code_sim",
            Self::Classification => "classification",
            Self::MatchAll => "match_all",
            Self::MatchPart => "match_part",
        }
    }

    /// The score of one answer, 0 to 1. LongBench's scores are the largest over the references,
    /// RULER's look at all of them.
    ///
    /// # Errors
    /// Without references, without classes where they are needed, and where a reference names no
    /// paragraph. The sentence lacks the place, which the caller knows.
    pub fn score(self, prediction: &str, references: &[String], classes: &[String]) -> Result<f64> {
        if references.is_empty() {
            return Err(Error::input("expected at least one reference, found none"));
        }
        let best = |score: &dyn Fn(&str) -> f64| {
            references.iter().map(|truth| score(truth)).fold(0.0, f64::max)
        };
        Ok(match self {
            Self::QaF1 => best(&|truth| words::f1(prediction, truth)),
            Self::RougeL => best(&|truth| rouge::rouge_l(prediction, truth)),
            Self::Count => best(&|truth| numbers::count(prediction, truth)),
            Self::CodeSim => best(&|truth| code::similarity(prediction, truth)),
            Self::Retrieval => {
                let mut most = 0.0_f64;
                for truth in references {
                    let score = numbers::retrieval(prediction, truth).ok_or_else(|| {
                        Error::input(format!(
                            "expected a reference such as `Paragraph 3`, found `{}`",
                            crate::error::shortened(truth)
                        ))
                    })?;
                    most = most.max(score);
                }
                most
            }
            Self::Classification if classes.is_empty() => {
                return Err(Error::input(
                    "classification needs the list `all_classes`, and there is none",
                ));
            }
            Self::Classification => best(&|truth| classes::named(prediction, truth, classes)),
            Self::MatchAll => substrings::all(prediction, references),
            Self::MatchPart => substrings::part(prediction, references),
        })
    }
}

/// Scores of a file of answers.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Scored {
    /// How they were scored.
    pub metric: ScoreMetric,
    /// Answers.
    pub n: usize,
    /// Mean in per cent, rounded to two places, as RULER and LongBench publish it.
    pub score: f64,
    /// The score of each answer, 0 to 1.
    pub per_sample: Vec<f64>,
}

impl Scored {
    /// The scores of JSON lines with `prediction`, `references` and, for classes, `all_classes`.
    /// `name` names the file in errors.
    pub fn of_lines(metric: ScoreMetric, name: &str, text: &str) -> Result<Self> {
        let mut per_sample = Vec::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let place = |cause: String| Error::input(format!("{name}, line {}: {cause}", at + 1));
            let line: Line = serde_json::from_str(line).map_err(|cause| {
                place(format!("expected `prediction` and `references`, found {cause}"))
            })?;
            let classes = line.all_classes.unwrap_or_default();
            let score = metric.score(&line.prediction, &line.references, &classes);
            per_sample.push(score.map_err(|cause| place(cause.to_string()))?);
        }
        if per_sample.is_empty() {
            return Err(Error::input(format!("{name}: expected lines with answers, found none")));
        }
        Ok(Self { metric, n: per_sample.len(), score: mean_percent(&per_sample), per_sample })
    }
}

#[derive(serde::Deserialize)]
struct Line {
    prediction: String,
    references: Vec<String>,
    all_classes: Option<Vec<String>>,
}

/// The mean of scores of 0 to 1 in per cent, rounded to two places; 0 where there are none.
pub fn mean_percent(scores: &[f64]) -> f64 {
    // The sum of nothing is -0.
    let mean = (scores.iter().sum::<f64>() + 0.0) / scores.len().max(1) as f64;
    // Printing rounds the exact value, as Python's round does.
    format!("{:.2}", 100.0 * mean).parse().expect("a printed number is one")
}

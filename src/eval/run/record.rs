//! One job's result: one line.

use serde::{Deserialize, Serialize};

use crate::eval::score::ScoreMetric;
use crate::eval::stability::{DomainImportance, MaskChoice};
use crate::eval::text::ChunkLosses;

/// The name of the dense cache in results.
pub const DENSE: &str = "dense";
/// The name of the second dense cache, which must answer as the first does.
pub const CONTROL: &str = "control";

/// One cache's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GivenAnswer {
    /// The mask's name; `dense` and `control` come first.
    pub mask: String,
    /// What it said.
    pub text: String,
    /// Its score, 0 to 1.
    pub score: f64,
}

/// A line of results.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The job's number in the whole run.
    pub job: usize,
    /// `recall`, `text`, `data` or `stability`.
    pub suite: String,
    /// The task, text or data set.
    pub task: String,
    /// What kind of text it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Groups of samples that it belongs to besides its task, each with rows of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Most tokens of the prompt and the answer, or tokens of the chunk.
    pub ctx: usize,
    /// Number of the sample or chunk.
    pub index: usize,
    /// Tokens of the prompt.
    pub tokens: usize,
    /// Where the first thing asked for stands, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<f64>,
    /// How answers are scored; `None` is an exact set or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<ScoreMetric>,
    /// What an answer must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// Answers, dense first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<GivenAnswer>,
    /// Losses, the control first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<ChunkLosses>,
    /// Importance of every channel on one half of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance: Option<DomainImportance>,
    /// What the texts choose for a mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<MaskChoice>,
}

impl Record {
    /// The name of the stability suite in results.
    pub const STABILITY: &'static str = "stability";

    /// Whether a mask answered worse than dense.
    pub fn is_lost(&self) -> bool {
        let dense = self.answers.first().map_or(0.0, |dense| dense.score);
        self.answers.iter().any(|answer| answer.score < dense)
    }

    /// Whether caches answered or were read with, which rows are made of.
    pub fn is_measured(&self) -> bool {
        !(self.answers.is_empty() && self.losses.is_empty())
    }
}

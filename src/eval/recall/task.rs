//! The tasks by name.

use crate::eval::score::ScoreMetric;

/// A recall task.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum RecallTask {
    /// One number in noise
    #[serde(rename = "niah_single_1")]
    #[value(name = "niah_single_1")]
    Single1,
    /// One number in prose
    #[serde(rename = "niah_single_2")]
    #[value(name = "niah_single_2")]
    Single2,
    /// One uuid in prose
    #[serde(rename = "niah_single_3")]
    #[value(name = "niah_single_3")]
    Single3,
    /// One of four numbers in prose
    #[serde(rename = "niah_multikey_1")]
    #[value(name = "niah_multikey_1")]
    Multikey1,
    /// One number among nothing but others
    #[serde(rename = "niah_multikey_2")]
    #[value(name = "niah_multikey_2")]
    Multikey2,
    /// One uuid among nothing but others
    #[serde(rename = "niah_multikey_3")]
    #[value(name = "niah_multikey_3")]
    Multikey3,
    /// Four numbers of one key in prose
    #[serde(rename = "niah_multivalue")]
    #[value(name = "niah_multivalue")]
    Multivalue,
    /// Four keys at once in prose
    #[serde(rename = "niah_multiquery")]
    #[value(name = "niah_multiquery")]
    Multiquery,
    /// Variables that pass a value on
    Vt,
    /// The ten most common words of a list
    Cwe,
    /// The three most frequent coded words
    Fwe,
    /// Values that follow from assignments (GSM-Infinite)
    GsmSymbolic,
    /// One of eight codes among plain sentences, the demo model's own task
    Codes,
}

impl RecallTask {
    /// Every task, in the order of tables.
    pub const ALL: [Self; 13] = [
        Self::Single1,
        Self::Single2,
        Self::Single3,
        Self::Multikey1,
        Self::Multikey2,
        Self::Multikey3,
        Self::Multivalue,
        Self::Multiquery,
        Self::Vt,
        Self::Cwe,
        Self::Fwe,
        Self::GsmSymbolic,
        Self::Codes,
    ];

    /// Its name in RULER, on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single1 => "niah_single_1",
            Self::Single2 => "niah_single_2",
            Self::Single3 => "niah_single_3",
            Self::Multikey1 => "niah_multikey_1",
            Self::Multikey2 => "niah_multikey_2",
            Self::Multikey3 => "niah_multikey_3",
            Self::Multivalue => "niah_multivalue",
            Self::Multiquery => "niah_multiquery",
            Self::Vt => "vt",
            Self::Cwe => "cwe",
            Self::Fwe => "fwe",
            Self::GsmSymbolic => "gsm_symbolic",
            Self::Codes => "codes",
        }
    }

    /// Most tokens of an answer: RULER's; for the symbolic task enough for a list of names.
    pub fn new_tokens(self) -> usize {
        match self {
            Self::Vt => 30,
            Self::Cwe => 120,
            Self::Fwe => 50,
            Self::Codes => 16,
            _ => 128,
        }
    }

    /// How answers are scored; the symbolic task by [`symbolic_right`](super::symbolic_right).
    pub fn metric(self) -> Option<ScoreMetric> {
        (self != Self::GsmSymbolic).then_some(ScoreMetric::MatchAll)
    }
}

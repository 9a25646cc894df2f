//! LongBench's data sets: new tokens and scores. Its prompts come from the user's copy.

use crate::eval::score::ScoreMetric;

/// One data set's settings.
pub(super) struct DataSet {
    pub(super) name: &'static str,
    pub(super) new_tokens: usize,
    pub(super) metric: ScoreMetric,
    /// Whether the prompt goes into the model's chat template.
    pub(super) chat: bool,
    /// Whether only the answer's first line counts.
    pub(super) first_line: bool,
}

const fn set(name: &'static str, new_tokens: usize, metric: ScoreMetric) -> DataSet {
    DataSet { name, new_tokens, metric, chat: true, first_line: false }
}

const fn plain(set: DataSet, first_line: bool) -> DataSet {
    DataSet { chat: false, first_line, ..set }
}

/// The English sets. Chinese ones need a segmenter of Chinese words and are refused.
pub(super) const SETS: [DataSet; 16] = [
    set("narrativeqa", 128, ScoreMetric::QaF1),
    set("qasper", 128, ScoreMetric::QaF1),
    set("multifieldqa_en", 64, ScoreMetric::QaF1),
    set("hotpotqa", 32, ScoreMetric::QaF1),
    set("2wikimqa", 32, ScoreMetric::QaF1),
    set("musique", 32, ScoreMetric::QaF1),
    set("gov_report", 512, ScoreMetric::RougeL),
    set("qmsum", 512, ScoreMetric::RougeL),
    set("multi_news", 512, ScoreMetric::RougeL),
    plain(set("trec", 64, ScoreMetric::Classification), true),
    plain(set("triviaqa", 32, ScoreMetric::QaF1), true),
    plain(set("samsum", 128, ScoreMetric::RougeL), true),
    set("passage_count", 32, ScoreMetric::Count),
    set("passage_retrieval_en", 32, ScoreMetric::Retrieval),
    plain(set("lcc", 64, ScoreMetric::CodeSim), false),
    plain(set("repobench-p", 64, ScoreMetric::CodeSim), false),
];

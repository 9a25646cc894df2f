//! Overlap of words, LongBench's `qa_f1_score`.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use super::python;

static ARTICLES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(?:a|an|the)\b").expect("the pattern is fixed"));

/// Lower case, without ASCII punctuation and articles, in words.
fn normalised(text: &str) -> Vec<String> {
    let mut text = text.to_lowercase();
    text.retain(|c| !c.is_ascii_punctuation());
    let text = ARTICLES.replace_all(&text, " ");
    python::split(&text).map(str::to_owned).collect()
}

/// 2PR / (P + R) of the words that both have, each as often as both have it; 0 where there is none.
pub(super) fn f1(prediction: &str, truth: &str) -> f64 {
    let (prediction, truth) = (normalised(prediction), normalised(truth));
    let mut left: HashMap<&str, usize> = HashMap::new();
    truth.iter().for_each(|word| *left.entry(word).or_default() += 1);
    let mut same = 0;
    for word in &prediction {
        if let Some(count) = left.get_mut(word.as_str()).filter(|count| **count > 0) {
            *count -= 1;
            same += 1;
        }
    }
    if same == 0 {
        return 0.0;
    }
    let precision = same as f64 / prediction.len() as f64;
    let recall = same as f64 / truth.len() as f64;
    2.0 * precision * recall / (precision + recall)
}

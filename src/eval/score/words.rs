//! Overlap of words, LongBench's `qa_f1_score`.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::python;

/// What Python's `\b` bounds: letters, numbers of every kind and `_`. Rust's `\w` has marks and
/// joiners as well, and lacks numbers that are no digits.
static WORDS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[\p{L}\p{N}_]+").expect("the pattern is fixed"));

/// Lower case, without ASCII punctuation and articles, in words.
fn normalised(text: &str) -> Vec<String> {
    let mut text = text.to_lowercase();
    text.retain(|c| !c.is_ascii_punctuation());
    let text = WORDS.replace_all(&text, |word: &Captures<'_>| match &word[0] {
        "a" | "an" | "the" => " ".to_owned(),
        word => word.to_owned(),
    });
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

#[cfg(test)]
mod tests {
    use super::f1;

    /// Values of CPython 3.12's `re` in LongBench's scorer.
    #[test]
    fn words_end_where_python_ends_them() {
        for (prediction, truth, score) in [
            ("the\u{b2} cat", "\u{b2} cat", 0.5),
            ("a\u{bd} x", "\u{bd} x", 0.5),
            ("a\u{300} la carte", "\u{300} la carte", 1.0),
            ("the\u{200d} cat", "\u{200d} cat", 1.0),
            ("a_b an the_ x", "a_b the_ x", 1.0),
        ] {
            assert_eq!(f1(prediction, truth), score, "{prediction} {truth}");
        }
    }
}

//! Numbers in an answer, LongBench's `count_score` and `retrieval_score`.

use std::sync::LazyLock;

use regex::Regex;

static DIGITS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\d+").expect("the pattern is fixed"));
static PARAGRAPH: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"Paragraph (\d+)").expect("the pattern is fixed"));

/// The share of the prediction's numbers that are the truth, as text; 0 without any.
pub(super) fn count(prediction: &str, truth: &str) -> f64 {
    let (mut right, mut all) = (0, 0);
    for number in DIGITS.find_iter(prediction) {
        all += 1;
        right += usize::from(number.as_str() == truth);
    }
    if all == 0 { 0.0 } else { right as f64 / all as f64 }
}

/// As [`count`], for the number of the truth's paragraph; `None` where the truth names none.
pub(super) fn retrieval(prediction: &str, truth: &str) -> Option<f64> {
    let paragraph = PARAGRAPH.captures(truth)?;
    Some(count(prediction, &paragraph[1]))
}

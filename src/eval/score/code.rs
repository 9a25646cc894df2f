//! Similarity of a line of code, LongBench's `code_sim_score`.

use super::difflib;

/// The first line that is neither a comment nor a fence.
fn first_line(prediction: &str) -> &str {
    let is_code = |line: &&str| !line.contains('`') && !line.contains('#') && !line.contains("//");
    prediction.trim_start_matches('\n').split('\n').find(is_code).unwrap_or_default()
}

/// fuzzywuzzy's `ratio` without python-Levenshtein, over 100.
pub(super) fn similarity(prediction: &str, truth: &str) -> f64 {
    let line = first_line(prediction);
    if line == truth {
        return 1.0;
    }
    if line.is_empty() || truth.is_empty() {
        return 0.0;
    }
    (100.0 * difflib::ratio(line, truth)).round_ties_even() / 100.0
}

//! References that occur in an answer, RULER's `string_match_all` and `string_match_part`.

use super::python;

/// The answer as RULER reads it: control characters are line ends, white space around it is cut.
pub fn answer_text(prediction: &str) -> String {
    let lines = python::strip(prediction).replace(|c: char| c <= '\u{1f}', "\n");
    python::strip(&lines).to_owned()
}

fn found(prediction: &str, references: &[String]) -> usize {
    let prediction = answer_text(prediction).to_lowercase();
    references.iter().filter(|one| prediction.contains(&one.to_lowercase())).count()
}

/// The share of the references that occur, in any case.
pub(super) fn all(prediction: &str, references: &[String]) -> f64 {
    found(prediction, references) as f64 / references.len() as f64
}

/// 1 where any reference occurs.
pub(super) fn part(prediction: &str, references: &[String]) -> f64 {
    f64::from(u8::from(found(prediction, references) > 0))
}

//! ROUGE-L of a summary, as the package `rouge` 1.0 of pltrdy computes it.

use std::collections::HashSet;

use super::python;

/// Steps that walking back through a table may take: the package recurses, and Python stops it at a
/// thousand calls, some of which are its own. LongBench counts that as 0.
const DEEPEST: usize = 990;

/// Sentences between full stops, each as its words between single blanks.
fn sentences(text: &str) -> Vec<Vec<String>> {
    let words = |sentence: &str| {
        let words = python::split(sentence).collect::<Vec<_>>().join(" ");
        // A sentence of white space is one empty word there.
        words.split(' ').map(str::to_owned).collect()
    };
    text.split('.').filter(|sentence| !sentence.is_empty()).map(words).collect()
}

fn different(sentences: &[Vec<String>]) -> usize {
    sentences.iter().flatten().collect::<HashSet<_>>().len()
}

/// Rows of lengths of common subsequences, `[truth + 1][prediction + 1]`.
fn table(truth: &[String], prediction: &[String]) -> Vec<Vec<u32>> {
    let mut table = vec![vec![0; prediction.len() + 1]; truth.len() + 1];
    for (i, word) in truth.iter().enumerate() {
        for (j, other) in prediction.iter().enumerate() {
            table[i + 1][j + 1] = match word == other {
                true => table[i][j] + 1,
                false => table[i][j + 1].max(table[i + 1][j]),
            };
        }
    }
    table
}

/// Adds the words of one longest common subsequence; `None` where Python would give up.
fn unite<'a>(
    truth: &'a [String],
    prediction: &[String],
    union: &mut HashSet<&'a str>,
) -> Option<()> {
    let table = table(truth, prediction);
    let (mut i, mut j) = (truth.len(), prediction.len());
    let mut steps = 0;
    while i > 0 && j > 0 {
        steps += 1;
        if steps > DEEPEST {
            return None;
        }
        if truth[i - 1] == prediction[j - 1] {
            union.insert(&truth[i - 1]);
            (i, j) = (i - 1, j - 1);
        } else if table[i - 1][j] > table[i][j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    Some(())
}

/// The F value of ROUGE-L over sets of different words; 0 where either text is empty.
pub(super) fn rouge_l(prediction: &str, truth: &str) -> f64 {
    let (prediction, truth) = (sentences(prediction), sentences(truth));
    if prediction.is_empty() || truth.is_empty() {
        return 0.0;
    }
    let mut union = HashSet::new();
    for own in &truth {
        for other in &prediction {
            if unite(own, other, &mut union).is_none() {
                return 0.0;
            }
        }
    }
    let recall = union.len() as f64 / different(&truth) as f64;
    let precision = union.len() as f64 / different(&prediction) as f64;
    2.0 * (precision * recall / (precision + recall + 1e-8))
}

//! GSM-Infinite's symbolic task: values that follow from assignments, among assignments from which
//! nothing follows.

use std::sync::LazyLock;

use regex::Regex;

use super::RecallSample;
use super::sample::places;
use crate::eval::score::answer_text;
use crate::random::SplitMix64;

/// Variables that have values: 1 to this many, by the sample's index.
const MOST_OPERATIONS: usize = 10;

/// A tree over these variables: statements of its edges, and each one's value with the root's 0.
fn tree(names: &[String], rng: &mut SplitMix64) -> (Vec<String>, Vec<i64>) {
    let mut values = vec![0; names.len()];
    let mut statements = Vec::new();
    for at in 1..names.len() {
        let parent = rng.below(at);
        let (text, change) = [("", 0), (" + 1", 1), (" - 1", -1)][rng.below(3)];
        values[at] = values[parent] + change;
        statements.push(format!("assign {} = {}{text}.", names[at], names[parent]));
    }
    (statements, values)
}

/// A sample with `units` variables that have no value.
pub(super) fn sample(index: usize, units: usize, rng: &mut SplitMix64) -> RecallSample {
    let operations = 1 + index % MOST_OPERATIONS;
    let mut names: Vec<String> = places(1_000_000, operations + units, rng)
        .into_iter()
        .map(|number| format!("V{number:06}"))
        .collect();
    let filler = names.split_off(operations);
    let root = rng.below(11) as i64;
    let (mut statements, values) = tree(&names, rng);
    statements.push(format!("assign {} = {root}.", names[0]));
    statements.extend(tree(&filler, rng).0);
    rng.shuffle(&mut statements, usize::MAX);
    // Drawn among the variables, so that frequent values are likelier.
    let asked = values[rng.below(operations)];
    let references: Vec<String> = names
        .iter()
        .zip(&values)
        .filter(|(_, value)| **value == asked)
        .map(|(name, _)| name.clone())
        .collect();
    let value = asked + root;
    RecallSample {
        context: format!(
            "The statements below assign values to variables. Some variables have no known value.\n{}",
            statements.join(" ")
        ),
        question: format!(
            "Question: Which of the variables are known to have the value {value}? Name all of them and nothing else."
        ),
        lead: format!("The variables that are known to have the value {value} are:"),
        references,
        depth: None,
    }
}

static NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\bV\d+\b").expect("the pattern is fixed"));

/// Whether the names in the answer's first line are those of the references. GSM-Infinite has a
/// second model read the answer; here the answer goes on from a lead, so its first line is it.
pub fn is_right(prediction: &str, references: &[String]) -> bool {
    let answer = prediction.rsplit("</think>").next().unwrap_or_default();
    let answer = answer_text(answer);
    let line = answer.lines().next().unwrap_or_default();
    let mut named: Vec<&str> = NAME.find_iter(line).map(|found| found.as_str()).collect();
    named.sort_unstable();
    named.dedup();
    let mut wanted: Vec<&str> = references.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    named == wanted
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Derives what follows from the statements, in any order.
    fn solved(context: &str) -> HashMap<String, i64> {
        let statements: Vec<Vec<&str>> = context
            .split('.')
            .filter_map(|one| Some(one.split_once("assign ")?.1.split(' ').collect()))
            .collect();
        let mut known: HashMap<String, i64> = HashMap::new();
        for _ in 0..20 {
            for words in &statements {
                let base = words[2].parse().ok().or_else(|| known.get(words[2]).copied());
                let change = match words.get(3) {
                    Some(&"+") => 1,
                    Some(&"-") => -1,
                    _ => 0,
                };
                if let Some(base) = base {
                    known.insert(words[0].to_owned(), base + change);
                }
            }
        }
        known
    }

    #[test]
    fn the_references_are_what_follows_from_the_statements() {
        for index in 0..40 {
            let found = sample(index, 30, &mut SplitMix64::new(index as u64));
            let known = solved(&found.context);
            assert_eq!(known.len(), 1 + index % 10, "nothing follows for the others");
            let value: i64 = found
                .question
                .split("value ")
                .nth(1)
                .unwrap()
                .split('?')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            let mut wanted: Vec<&String> =
                known.iter().filter(|(_, own)| **own == value).map(|(name, _)| name).collect();
            wanted.sort_unstable();
            let mut references = found.references.clone();
            references.sort_unstable();
            assert_eq!(references.iter().collect::<Vec<_>>(), wanted);
            assert_eq!(found.context.matches("assign V").count(), 1 + index % 10 + 29);
        }
    }

    #[test]
    fn an_answer_is_right_where_it_names_these_and_no_others() {
        let references = ["V000001".to_owned(), "V000002".to_owned()];
        for (answer, right) in [
            (" V000002, V000001.", true),
            (" V000002 and V000001\nassign V000003 = 1", true),
            ("<think>V000009</think> V000001 V000002 V000001", true),
            (" V000001", false),
            (" V000001, V000002, V000003", false),
            ("", false),
        ] {
            assert_eq!(is_right(answer, &references), right, "{answer}");
        }
    }
}

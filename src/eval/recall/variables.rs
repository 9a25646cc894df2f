//! RULER's variable tracking: a value that is passed from variable to variable among noise.

use super::RecallSample;
use super::sample::places;
use crate::learn::data::FILLER;
use crate::random::SplitMix64;

/// Variables that get the value from another one.
const HOPS: usize = 4;

/// Noise sentences of the worked example, which is to have at most 500 tokens. The filler has 23 to
/// 27 tokens in common vocabularies, statements and wording some 200.
const EXAMPLE_UNITS: usize = 10;

struct Chain {
    names: Vec<String>,
    value: usize,
    text: String,
    depth: f64,
}

fn chain(units: usize, letters: usize, rng: &mut SplitMix64) -> Chain {
    let mut names: Vec<String> = Vec::new();
    while names.len() <= HOPS {
        let name: String = (0..letters).map(|_| char::from(b'A' + rng.below(26) as u8)).collect();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let value = 10_000 + rng.below(89_999);
    let mut statements = vec![format!("VAR {} = {value}", names[0])];
    statements.extend(names.windows(2).map(|pair| format!("VAR {} = VAR {} ", pair[1], pair[0])));
    let units = units.max(statements.len());
    let mut lines: Vec<&str> = vec![FILLER; units];
    let mut at = places(units, statements.len(), rng);
    at.sort_unstable();
    for (index, (statement, place)) in statements.iter().zip(&at).enumerate() {
        lines.insert(place + index, statement);
    }
    let text = lines.join("\n").replace(". \n", ".\n");
    Chain { value, text, depth: at[0] as f64 / units as f64, names }
}

fn context(chain: &Chain) -> String {
    format!(
        "Keep track of the variables in the text below, and of the values that they are assigned.\n\n{}",
        chain.text
    )
}

fn question(chain: &Chain) -> String {
    format!("Question: Which variables are assigned the value {} in the text above?", chain.value)
}

fn lead(chain: &Chain) -> String {
    format!(
        "Following the assignments in the text, {} variables are assigned the value {}. They are:",
        HOPS + 1,
        chain.value
    )
}

/// A sample with `units` sentences of noise, after a worked example.
pub(super) fn sample(units: usize, rng: &mut SplitMix64) -> RecallSample {
    let shown = chain(EXAMPLE_UNITS, 3, rng);
    let own = chain(units, 5, rng);
    let example = format!(
        "{}\n{}\nAnswer: {} {}",
        context(&shown),
        question(&shown),
        lead(&shown),
        shown.names.join(" ")
    );
    RecallSample {
        context: format!("{example}\n\n{}", context(&own)),
        question: question(&own),
        lead: lead(&own),
        depth: Some(own.depth),
        references: own.names,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_passes_its_value_on_in_order() {
        for seed in 0..20 {
            let found = sample(40, &mut SplitMix64::new(seed));
            let own = found.context.rsplit("\n\n").next().unwrap();
            assert_eq!(found.references.len(), 5);
            let at = |text: String| own.find(&text).unwrap();
            let mut last = at(format!("VAR {} = ", found.references[0]));
            for pair in found.references.windows(2) {
                let here = at(format!("VAR {} = VAR {}", pair[1], pair[0]));
                assert!(here > last);
                last = here;
            }
            assert_eq!(own.matches(FILLER).count(), 40);
            let value = found
                .question
                .split(' ')
                .find(|word| word.len() == 5 && word.parse::<usize>().is_ok());
            assert!(own.contains(&format!("VAR {} = {}", found.references[0], value.unwrap())));
        }
    }
}

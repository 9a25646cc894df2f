//! RULER's common words and frequent coded words.

use super::RecallSample;
use super::sample::places;
use super::vocabulary::pool;
use crate::random::SplitMix64;

/// Common words that are asked for.
const COMMON: usize = 10;

struct Listed {
    text: String,
    common: Vec<String>,
}

/// A numbered list of `words` different words, `common` of which stand there `often` times and the
/// others `seldom` times.
fn listed(
    words: &[String],
    common: usize,
    (often, seldom): (usize, usize),
    fixed: &mut SplitMix64,
) -> Listed {
    let times = |at: usize| if at < common { often } else { seldom };
    let mut all: Vec<&str> = words
        .iter()
        .enumerate()
        .flat_map(|(at, word)| std::iter::repeat_n(word.as_str(), times(at)))
        .collect();
    fixed.shuffle(&mut all, usize::MAX);
    let entries: Vec<String> =
        all.iter().enumerate().map(|(at, word)| format!("{}. {word}", at + 1)).collect();
    Listed { text: entries.join(" "), common: words[..common.min(words.len())].to_vec() }
}

fn context(list: &str) -> String {
    format!(
        "Below is a numbered list of words. Some of them are in it more often than the others. Keep in mind the ones that are in it most often.\n{list}"
    )
}

const QUESTION: &str = "Question: Which 10 words are the most common ones in the list above?";
const LEAD: &str = "The 10 most common words in the list are:";

/// A sample of `units` different words, after a worked example.
pub(super) fn common(
    ctx: usize,
    units: usize,
    rng: &mut SplitMix64,
    fixed: &mut SplitMix64,
) -> RecallSample {
    // Short contexts have shorter lists.
    let (example_words, example_times, times) = match ctx < 4096 {
        true => (20, (3, 1), (6, 1)),
        false => (40, (10, 3), (30, 3)),
    };
    let units = units.max(COMMON + 1);
    let pool = pool(units.max(example_words));
    let drawn = |n: usize, rng: &mut SplitMix64| -> Vec<String> {
        places(pool.len(), n, rng).into_iter().map(|at| pool[at].clone()).collect()
    };
    let shown = listed(&drawn(example_words, rng), COMMON, example_times, fixed);
    let own = listed(&drawn(units, rng), COMMON, times, fixed);
    let numbered: Vec<String> =
        shown.common.iter().enumerate().map(|(at, word)| format!("{}. {word}", at + 1)).collect();
    let example =
        format!("{}\n{QUESTION}\nAnswer: {LEAD} {}", context(&shown.text), numbered.join(" "));
    RecallSample {
        context: format!("{example}\n\n{}", context(&own.text)),
        question: QUESTION.to_owned(),
        lead: LEAD.to_owned(),
        references: own.common,
        depth: None,
    }
}

/// The exponent of the frequencies, and the value of Riemann's zeta function there.
const ALPHA: f64 = 2.0;
const ZETA: f64 = std::f64::consts::PI * std::f64::consts::PI / 6.0;

/// New tokens of an answer, which the vocabulary's size leaves room for.
const ANSWER: usize = 50;

/// Different coded words of a context.
pub(super) fn coded_words(ctx: usize) -> usize {
    (ctx.saturating_sub(ANSWER) / 50).max(4)
}

/// A sample of about `units` coded words.
pub(super) fn coded(
    ctx: usize,
    units: usize,
    rng: &mut SplitMix64,
    fixed: &mut SplitMix64,
) -> RecallSample {
    let wanted = coded_words(ctx);
    let mut words: Vec<String> = Vec::with_capacity(wanted);
    while words.len() < wanted {
        let word: String = (0..6).map(|_| char::from(b'a' + rng.below(26) as u8)).collect();
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.sort_unstable();
    fixed.shuffle(&mut words, usize::MAX);
    "...".clone_into(&mut words[0]);
    let mut all: Vec<&str> = Vec::with_capacity(units);
    for (rank, word) in words.iter().enumerate() {
        let times = (units as f64 * ((rank + 1) as f64).powf(-ALPHA) / ZETA).floor() as usize;
        all.extend(std::iter::repeat_n(word.as_str(), times));
    }
    fixed.shuffle(&mut all, usize::MAX);
    RecallSample {
        context: format!(
            "Read the coded text below and count how often each coded word is in it. Leave out the dots '...'.\n{}",
            all.join(" ")
        ),
        question: "Question: Without an explanation, which three coded words are in the coded text above most often?".to_owned(),
        lead: "The three words that are in the coded text above most often are:".to_owned(),
        references: words[1..4].to_vec(),
        depth: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(text: &str, word: &str) -> usize {
        text.split_whitespace().filter(|other| *other == word).count()
    }

    #[test]
    fn common_words_are_listed_as_often_as_rulers() {
        for (ctx, often, seldom) in [(4096, 30, 3), (2048, 6, 1)] {
            let found = common(ctx, 50, &mut SplitMix64::new(3), &mut SplitMix64::new(1));
            let own = found.context.rsplit("\n\n").next().unwrap();
            assert_eq!(found.references.len(), 10);
            assert!(found.references.iter().all(|word| times(own, word) == often), "{own}");
            let entries = own.split_whitespace().filter(|word| {
                word.strip_suffix('.').is_some_and(|number| number.parse::<usize>().is_ok())
            });
            assert_eq!(entries.count(), 10 * often + 40 * seldom);
        }
    }

    #[test]
    fn coded_words_follow_the_zeta_distribution() {
        let (ctx, units) = (4096, 700);
        let found = coded(ctx, units, &mut SplitMix64::new(3), &mut SplitMix64::new(1));
        let text = found.context.lines().nth(1).unwrap();
        for (rank, word) in found.references.iter().enumerate() {
            let expected = (700.0 / ((rank + 2) as f64).powi(2) / 1.644_934_066_848_226_4).floor();
            assert_eq!(times(text, word), expected as usize, "rank {}", rank + 2);
        }
        assert_eq!(times(text, "..."), (700.0_f64 / 1.644_934_066_848_226_4).floor() as usize);
    }
}

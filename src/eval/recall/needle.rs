//! RULER's needle tasks: sentences that give a key a value, hidden in noise, prose or among others
//! of their kind.

use super::sample::places;
use super::vocabulary::pair;
use super::{Essay, RecallSample, RecallTask};
use crate::learn::data::{FILLER, uuid};
use crate::random::SplitMix64;

/// What surrounds the needles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hay {
    Noise,
    Essay,
    Needles,
}

/// Kinds of keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Words,
    Numbers,
    Uuids,
}

impl Kind {
    fn draw(self, rng: &mut SplitMix64) -> String {
        match self {
            Self::Words => pair(rng),
            Self::Numbers => (1_000_000 + rng.below(9_000_000)).to_string(),
            Self::Uuids => uuid(rng),
        }
    }

    fn name(self, one: bool) -> &'static str {
        match (self, one) {
            (Self::Words, true) => "word",
            (Self::Words, false) => "words",
            (Self::Numbers, true) => "number",
            (Self::Numbers, false) => "numbers",
            (Self::Uuids, true) => "uuid",
            (Self::Uuids, false) => "uuids",
        }
    }
}

struct Settings {
    hay: Hay,
    key: Kind,
    value: Kind,
    keys: usize,
    values: usize,
    asked: usize,
}

fn settings(task: RecallTask) -> Settings {
    use Kind::{Numbers, Uuids, Words};
    let of =
        |hay, key, value, keys, values, asked| Settings { hay, key, value, keys, values, asked };
    match task {
        RecallTask::Single1 => of(Hay::Noise, Words, Numbers, 1, 1, 1),
        RecallTask::Single3 => of(Hay::Essay, Words, Uuids, 1, 1, 1),
        RecallTask::Multikey1 => of(Hay::Essay, Words, Numbers, 4, 1, 1),
        RecallTask::Multikey2 => of(Hay::Needles, Words, Numbers, 1, 1, 1),
        RecallTask::Multikey3 => of(Hay::Needles, Uuids, Uuids, 1, 1, 1),
        RecallTask::Multivalue => of(Hay::Essay, Words, Numbers, 1, 4, 1),
        RecallTask::Multiquery => of(Hay::Essay, Words, Numbers, 4, 1, 4),
        _ => of(Hay::Essay, Words, Numbers, 1, 1, 1),
    }
}

/// What surrounds the needles of a task.
pub(super) fn hay(task: RecallTask) -> Hay {
    settings(task).hay
}

fn needle(kind: Kind, key: &str, value: &str) -> String {
    format!("One of the special magic {} for {key} is: {value}.", kind.name(false))
}

/// Depths of needles in prose: 40 even steps from 0 to 100 per cent, rounded.
fn depths(count: usize, rng: &mut SplitMix64) -> Vec<usize> {
    let steps = places(40, count, rng).into_iter();
    steps.map(|step| (step as f64 * 100.0 / 39.0).round_ties_even() as usize).collect()
}

/// Needles among the hay, and where each stands, 0 to 1.
fn hidden(
    settings: &Settings,
    needles: &[String],
    essay: &Essay,
    units: usize,
    rng: &mut SplitMix64,
) -> (String, Vec<f64>) {
    if settings.hay == Hay::Essay {
        let sentences = essay.sentences(units);
        let mut at = depths(needles.len(), rng);
        at.sort_unstable();
        let mut parts: Vec<&str> = Vec::with_capacity(sentences.len() + needles.len());
        let mut from = 0;
        for (needle, depth) in needles.iter().zip(&at) {
            let place = sentences.len() * depth / 100;
            parts.extend(sentences[from..place].iter().map(String::as_str));
            parts.push(needle);
            from = place;
        }
        parts.extend(sentences[from..].iter().map(String::as_str));
        return (parts.join(" "), at.iter().map(|&depth| depth as f64 / 100.0).collect());
    }
    let mut lines: Vec<String> = (0..units.max(needles.len()))
        .map(|_| match settings.hay {
            Hay::Needles => {
                needle(settings.value, &settings.key.draw(rng), &settings.value.draw(rng))
            }
            _ => FILLER.to_owned(),
        })
        .collect();
    let n = lines.len();
    let mut at = places(n, needles.len(), rng);
    at.sort_unstable_by(|a, b| b.cmp(a));
    for (needle, &place) in needles.iter().zip(&at) {
        lines.insert(place, needle.clone());
    }
    (lines.join("\n"), at.iter().map(|&place| place as f64 / n as f64).collect())
}

/// A sample with `units` sentences of noise, words of prose, or other needles.
pub(super) fn sample(
    task: RecallTask,
    essay: &Essay,
    units: usize,
    rng: &mut SplitMix64,
    fixed: &mut SplitMix64,
) -> RecallSample {
    let settings = settings(task);
    let mut keys: Vec<String> = Vec::new();
    while keys.len() < settings.keys {
        let key = settings.key.draw(rng);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let values: Vec<Vec<String>> = keys
        .iter()
        .map(|_| (0..settings.values).map(|_| settings.value.draw(rng)).collect())
        .collect();
    let mut order: Vec<(usize, usize)> =
        (0..settings.keys).flat_map(|key| (0..settings.values).map(move |v| (key, v))).collect();
    fixed.shuffle(&mut order, usize::MAX);
    let needles: Vec<String> = order
        .iter()
        .map(|&(key, value)| needle(settings.value, &keys[key], &values[key][value]))
        .collect();
    let (hay, at) = hidden(&settings, &needles, essay, units, rng);
    let asked = places(settings.keys, settings.asked, rng);
    let depth = order.iter().zip(&at).find(|((key, _), _)| *key == asked[0]).map(|(_, at)| *at);
    let names: Vec<&str> = asked.iter().map(|&key| keys[key].as_str()).collect();
    let query = match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{}, and {last}", others.join(", ")),
        None => String::new(),
    };
    let one = settings.asked * settings.values == 1;
    let kind = settings.value.name(one);
    let (some, is, are) = match one {
        true => ("One special magic", "is", "is"),
        false => ("Some special magic", "are", "are all"),
    };
    RecallSample {
        context: format!(
            "{some} {kind} {is} hidden in the text below. Keep in mind what it says of special magic {}; there will be a question.\n{hay}",
            settings.value.name(false)
        ),
        question: format!("What {are} the special magic {kind} for {query} in the text above?"),
        lead: format!("The special magic {kind} for {query} in the text above {is}"),
        references: asked.iter().flat_map(|&key| values[key].clone()).collect(),
        depth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::data::Haystack;

    fn drawn(task: RecallTask, units: usize, seed: u64) -> RecallSample {
        let essay = Essay::of(&Haystack::default());
        let (mut rng, mut fixed) = (SplitMix64::new(seed), SplitMix64::new(1));
        sample(task, &essay, units, &mut rng, &mut fixed)
    }

    #[test]
    fn counts_are_rulers() {
        for (task, needles, references) in [
            (RecallTask::Single1, 1, 1),
            (RecallTask::Single2, 1, 1),
            (RecallTask::Single3, 1, 1),
            (RecallTask::Multikey1, 4, 1),
            (RecallTask::Multikey2, 61, 1),
            (RecallTask::Multikey3, 61, 1),
            (RecallTask::Multivalue, 4, 4),
            (RecallTask::Multiquery, 4, 4),
        ] {
            let found = drawn(task, 60, 5);
            let stated = found.context.matches("One of the special magic ").count();
            assert_eq!((stated, found.references.len()), (needles, references), "{task:?}");
            for reference in &found.references {
                assert_eq!(found.context.matches(reference.as_str()).count(), 1, "{task:?}");
                assert!(!found.question.contains(reference.as_str()));
            }
        }
        let noise = drawn(RecallTask::Single1, 60, 5);
        assert_eq!(noise.context.matches(FILLER).count(), 60);
    }

    #[test]
    fn depth_is_where_the_asked_needle_stands() {
        for task in [RecallTask::Single1, RecallTask::Multikey1, RecallTask::Multikey2] {
            for seed in 0..20 {
                let found = drawn(task, 2000, seed);
                let at = found.context.find(&found.references[0]).unwrap() as f64;
                let share = at / found.context.len() as f64;
                assert!((share - found.depth.unwrap()).abs() < 0.05, "{task:?} {share}");
            }
        }
    }

    #[test]
    fn several_keys_are_asked_for_as_a_list() {
        let found = drawn(RecallTask::Multiquery, 50, 2);
        assert!(found.question.contains(", and ") && found.question.contains("What are all the"));
        let one = drawn(RecallTask::Single2, 50, 2);
        assert!(one.question.starts_with("What is the special magic number for"));
    }
}

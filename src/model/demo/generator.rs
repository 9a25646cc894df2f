//! Generated text of plain sentences in which facts are hidden. The demo model was trained to
//! recall them; learning and evaluation use such text where the user gives none.
//!
//! The algorithm, draw by draw, is in `demo/SPEC.md`; the Python twin that trained the model gives
//! byte-identical text.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::random::SplitMix64;
use crate::{Error, Result};

static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| {
    let raw: Raw = serde_json::from_str(include_str!("../../../demo/grammar.json"))
        .expect("the embedded grammar is whole");
    Grammar::new(raw)
});

#[derive(Deserialize)]
struct Raw {
    keys: Vec<Box<str>>,
    lists: std::collections::HashMap<String, Vec<Box<str>>>,
    sentences: Vec<String>,
    facts: Vec<Box<str>>,
    questions: Vec<Box<str>>,
    question_form: String,
    answer_lead: String,
    answer: String,
    value_min: usize,
    value_count: usize,
    newline_one_in: usize,
}

struct Grammar {
    raw: Raw,
    /// The parts of each sentence.
    sentences: Vec<Vec<Part>>,
}

enum Part {
    Text(String),
    Slot(String),
}

impl Grammar {
    fn new(raw: Raw) -> Self {
        let sentences = raw.sentences.iter().map(|template| parts(template)).collect();
        Self { raw, sentences }
    }
}

/// `{name}` slots and the text between them.
fn parts(template: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (slot, after) = after.split_once('}').expect("slots are closed");
        parts.extend([Part::Text(before.to_owned()), Part::Slot(slot.to_owned())]);
        rest = after;
    }
    parts.push(Part::Text(rest.to_owned()));
    parts
}

/// One filler sentence.
pub fn sentence(rng: &mut SplitMix64) -> String {
    let template = &GRAMMAR.sentences[rng.below(GRAMMAR.sentences.len())];
    let mut text = String::new();
    for part in template {
        match part {
            Part::Text(literal) => text.push_str(literal),
            Part::Slot(list) => text.push_str(rng.pick(&GRAMMAR.raw.lists[list])),
        }
    }
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// Settings of a sample.
#[derive(Debug, Clone, Default)]
pub struct DemoSpec<'a> {
    /// Seed of all draws.
    pub seed: u64,
    /// Filler is added until the text has about this many bytes.
    pub target_chars: usize,
    /// Facts in the text.
    pub facts: usize,
    /// Their places, per mille of the filler; spread at random where not given.
    pub depths: Option<&'a [usize]>,
    /// The fact that is asked for; drawn where not given.
    pub ask: Option<usize>,
    /// Filler sentences to use instead of generated ones.
    pub filler: Option<&'a [String]>,
}

/// A text with hidden facts, a question about one of them and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoText {
    /// The text, facts included.
    pub text: String,
    /// (key, value) of each fact.
    pub facts: Vec<(String, String)>,
    /// The fact that is asked for.
    pub ask: usize,
    /// The place of each fact, per mille of the filler.
    pub depths: Vec<usize>,
    /// The question, beginning with a line end and ending with `Answer:`.
    pub question: String,
    /// The answer up to its value.
    pub answer_lead: String,
    /// The value with the space before it and the full stop.
    pub answer: String,
}

impl DemoText {
    /// Draws a sample.
    ///
    /// # Errors
    /// When there are fewer keys than facts, no fact at all, or depths and facts differ in number.
    pub fn draw(wanted: &DemoSpec<'_>) -> Result<Self> {
        let grammar = &GRAMMAR.raw;
        let n = wanted.facts;
        if n == 0 || n > grammar.keys.len() {
            return Err(Error::input(format!(
                "a sample holds 1 to {} facts, not {n}",
                grammar.keys.len()
            )));
        }
        if wanted
            .depths
            .is_some_and(|depths| depths.len() != n || depths.iter().any(|&depth| depth > 1000))
        {
            return Err(Error::input(format!(
                "a sample of {n} facts takes {n} depths of 0 to 1000"
            )));
        }
        if wanted.ask.is_some_and(|ask| ask >= n) || wanted.filler.is_some_and(<[String]>::is_empty)
        {
            return Err(Error::input("a sample asks for one of its facts and has filler"));
        }
        let mut rng = SplitMix64::new(wanted.seed);
        let mut keys: Vec<&str> = grammar.keys.iter().map(|key| &**key).collect();
        rng.shuffle(&mut keys, n);
        let mut values: Vec<usize> = Vec::with_capacity(n);
        while values.len() < n {
            let value = grammar.value_min + rng.below(grammar.value_count);
            if !values.contains(&value) {
                values.push(value);
            }
        }
        let facts: Vec<(String, String)> = keys
            .iter()
            .zip(&values)
            .map(|(key, value)| ((*key).to_owned(), value.to_string()))
            .collect();
        let lines: Vec<String> = facts
            .iter()
            .map(|(key, value)| {
                rng.pick(&grammar.facts).replace("{key}", key).replace("{value}", value)
            })
            .collect();
        let drawn = rng.below(n);
        let ask = wanted.ask.unwrap_or(drawn);
        let which = rng.pick(&grammar.questions);
        let depths = match wanted.depths {
            Some(depths) => depths.to_vec(),
            None => (0..n).map(|i| (i * 1000 + rng.below(1000)) / n).collect(),
        };
        let filler = draw_filler(&mut rng, wanted, lines.iter().map(|line| line.len() + 1).sum());
        let text = join(&mut rng, &lines, &depths, &filler, grammar.newline_one_in);
        let (key, value) = &facts[ask];
        Ok(Self {
            question: grammar.question_form.replace("{question}", &which.replace("{key}", key)),
            answer_lead: grammar.answer_lead.replace("{key}", key),
            answer: grammar.answer.replace("{value}", value),
            text,
            ask,
            depths,
            facts,
        })
    }

    /// Text and question, as sent to the model.
    pub fn prompt(&self) -> String {
        format!("{}{}", self.text, self.question)
    }

    /// The question alone.
    pub fn asked(&self) -> &str {
        let line = self.question.lines().find(|line| !line.is_empty()).unwrap_or_default();
        line.split_once(": ").map_or(line, |(_, question)| question)
    }

    /// The asked fact's value, digits only.
    pub fn value(&self) -> &str {
        &self.facts[self.ask].1
    }
}

fn draw_filler(rng: &mut SplitMix64, wanted: &DemoSpec<'_>, mut length: usize) -> Vec<String> {
    let start = wanted.filler.map_or(0, |own| rng.below(own.len()));
    let mut filler: Vec<String> = Vec::new();
    while length < wanted.target_chars {
        let sentence = match wanted.filler {
            Some(own) => own[(start + filler.len()) % own.len()].clone(),
            None => sentence(rng),
        };
        length += sentence.len() + 1;
        filler.push(sentence);
    }
    filler
}

/// Places facts among the filler at their depths, with a space or a line end between neighbours.
fn join(
    rng: &mut SplitMix64,
    lines: &[String],
    depths: &[usize],
    filler: &[String],
    newline_one_in: usize,
) -> String {
    let place = |fact: usize| depths[fact] * filler.len() / 1000;
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by_key(|&fact| place(fact));
    let mut facts = order.into_iter().peekable();
    let mut body: Vec<&str> = Vec::with_capacity(lines.len() + filler.len());
    for at in 0..=filler.len() {
        while let Some(fact) = facts.next_if(|&fact| place(fact) == at) {
            body.push(&lines[fact]);
        }
        body.extend(filler.get(at).map(String::as_str));
    }
    let mut text = body[0].to_owned();
    for sentence in &body[1..] {
        text.push(if rng.below(newline_one_in) == 0 { '\n' } else { ' ' });
        text.push_str(sentence);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../../demo/vectors.json")).unwrap()
    }

    #[test]
    fn random_numbers_equal_the_python_twins() {
        for case in vectors()["rng"].as_array().unwrap() {
            let seed = case["seed"].as_u64().unwrap();
            let mut rng = SplitMix64::new(seed);
            for want in case["next"].as_array().unwrap() {
                assert_eq!(rng.draw(), want.as_u64().unwrap(), "seed {seed}");
            }
            let mut rng = SplitMix64::new(seed);
            for want in case["below_1000"].as_array().unwrap() {
                assert_eq!(rng.below(1000) as u64, want.as_u64().unwrap(), "seed {seed}");
            }
        }
    }

    #[test]
    fn samples_equal_the_python_twins_byte_for_byte() {
        let vectors = vectors();
        let samples = vectors["samples"].as_array().unwrap();
        assert!(samples.len() >= 5);
        for case in samples {
            let (args, want) = (&case["args"], &case["want"]);
            let numbers = |value: &Value| -> Option<Vec<usize>> {
                Some(value.as_array()?.iter().map(|n| n.as_u64().unwrap() as usize).collect())
            };
            let texts = |value: &Value| -> Option<Vec<String>> {
                Some(value.as_array()?.iter().map(|t| t.as_str().unwrap().to_owned()).collect())
            };
            let (depths, filler) = (numbers(&args["depths"]), texts(&args["filler"]));
            let sample = DemoText::draw(&DemoSpec {
                seed: args["seed"].as_u64().unwrap(),
                target_chars: args["target_chars"].as_u64().unwrap() as usize,
                facts: args["n_facts"].as_u64().unwrap() as usize,
                depths: depths.as_deref(),
                ask: args["ask"].as_u64().map(|n| n as usize),
                filler: filler.as_deref(),
            })
            .unwrap();
            assert_eq!(sample.text, want["text"].as_str().unwrap());
            assert_eq!(sample.question, want["question"].as_str().unwrap());
            assert_eq!(sample.answer_lead, want["answer_lead"].as_str().unwrap());
            assert_eq!(sample.answer, want["answer"].as_str().unwrap());
            assert_eq!(sample.depths, numbers(&want["depths"]).unwrap());
            assert_eq!(sample.ask as u64, want["ask"].as_u64().unwrap());
        }
    }

    #[test]
    fn impossible_samples_are_refused() {
        assert!(DemoText::draw(&DemoSpec::default()).is_err());
        assert!(DemoText::draw(&DemoSpec { facts: 1000, ..DemoSpec::default() }).is_err());
        assert!(
            DemoText::draw(&DemoSpec { facts: 2, depths: Some(&[1]), ..DemoSpec::default() })
                .is_err()
        );
    }
}

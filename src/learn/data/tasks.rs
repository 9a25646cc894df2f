//! Recall tasks as token ids: a shared context, and questions with supervised answers.

use super::haystack::{Haystack, HaystackPart, passage};
use crate::model::Model;
use crate::model::demo::generator::{DemoSpec, DemoText};
use crate::numbers::count;
use crate::random::SplitMix64;
use crate::{Error, Result};

/// A kind of sample.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Codes of several names stated among filler sentences; each is asked for.
    Codes,
    /// One code among filler sentences (passkey).
    Passkey,
    /// Lines that give a uuid for each of many uuids (RULER's niah_multikey_3).
    MultiKey,
    /// Four numbers of one key spread over prose (RULER's niah_multivalue).
    MultiValue,
    /// Ordinary text: its last tokens.
    Text,
}

/// A sample's text: the message before the question, and questions with answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// What the user says, up to the question.
    pub context: String,
    /// Each question with the beginning of its answer and the answer's value.
    pub questions: Vec<[String; 3]>,
}

/// One question as token ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Tokens after the shared prefix.
    pub tail: Vec<u32>,
    /// The answer; its tokens are fed and supervised.
    pub answer: Vec<u32>,
    /// Which answer tokens are digits (or hexadecimal digits) of the value: recall and NLL count
    /// these.
    pub scored: Vec<bool>,
}

/// A sample as token ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Its kind.
    pub task: Task,
    /// The shared prefix.
    pub prefix: Vec<u32>,
    /// Its questions; at least one.
    pub questions: Vec<Question>,
}

/// Parameters of a sample.
#[derive(Debug, Clone, Copy)]
pub struct Draw<'a> {
    /// Source of the filler.
    pub haystack: &'a Haystack,
    /// Part of the haystack.
    pub part: HaystackPart,
    /// Most tokens, answers included.
    pub tokens: usize,
    /// Number of facts in task `codes`.
    pub codes: usize,
    /// Seed of all draws.
    pub seed: u64,
}

/// The repeated filler of passkey tests (arXiv 2305.16300).
pub(crate) const FILLER: &str =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

/// Tokens of ordinary text that are supervised.
const TEXT_ROWS: usize = 40;

/// A version 4 uuid in lower case.
pub(crate) fn uuid(rng: &mut SplitMix64) -> String {
    // Version 4: 122 random bits.
    let (a, b) = (
        rng.draw() & 0xffff_ffff_ffff_0fff | 0x4000,
        rng.draw() & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000,
    );
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xffff,
        b >> 48,
        b & 0xffff_ffff_ffff
    )
}

/// Draws a recall sample of about `bytes` bytes.
pub fn draw(task: Task, draw: &Draw<'_>, bytes: usize) -> Result<Text> {
    let mut rng = SplitMix64::new(draw.seed);
    match task {
        Task::Codes | Task::Passkey => {
            codes(if task == Task::Codes { draw.codes } else { 1 }, draw, bytes, &mut rng)
        }
        Task::MultiKey => Ok(multi_key(bytes, &mut rng)),
        Task::MultiValue => multi_value(draw, bytes, &mut rng),
        Task::Text => Err(Error::run("ordinary text asks no question")),
    }
}

fn codes(facts: usize, draw: &Draw<'_>, bytes: usize, rng: &mut SplitMix64) -> Result<Text> {
    // Half of the samples use the repeated filler, the others sentences of the haystack.
    let filler = match rng.below(2) {
        0 => FILLER.split_inclusive(". ").map(|sentence| sentence.trim().to_owned()).collect(),
        _ => draw.haystack.sentences(draw.part, bytes, rng)?,
    };
    let wanted = DemoSpec {
        seed: rng.draw(),
        target_chars: bytes,
        facts,
        filler: Some(&filler),
        ..DemoSpec::default()
    };
    let sample = DemoText::draw(&wanted)?;
    let questions = sample.facts.iter().map(|(key, value)| {
        [
            format!("What is the code for {key}?"),
            format!("The code for {key} is"),
            format!(" {value}"),
        ]
    });
    Ok(Text { questions: questions.collect(), context: sample.text })
}

fn multi_key(bytes: usize, rng: &mut SplitMix64) -> Text {
    let line =
        |key: &str, value: &str| format!("One of the special magic uuids for {key} is: {value}.\n");
    let mut context = String::from(
        "Some special magic uuids are hidden within the following text. Memorize them.\n",
    );
    let mut pairs = Vec::new();
    while context.len() < bytes || pairs.len() < 2 {
        let (key, value) = (uuid(rng), uuid(rng));
        context.push_str(&line(&key, &value));
        pairs.push((key, value));
    }
    // Two questions, one from each half.
    let half = pairs.len() / 2;
    let asked = [rng.below(half), half + rng.below(pairs.len() - half)];
    let questions = asked.map(|at| {
        let (key, value) = &pairs[at];
        let question =
            format!("What is the special magic uuid for {key} mentioned in the provided text?");
        [question, format!("The special magic uuid for {key} is"), format!(" {value}")]
    });
    Text { context, questions: questions.to_vec() }
}

fn multi_value(draw: &Draw<'_>, bytes: usize, rng: &mut SplitMix64) -> Result<Text> {
    const KEYS: [&str; 8] = [
        "quiet-harbour",
        "brave-lantern",
        "amber-orchard",
        "hollow-bridge",
        "silver-anchor",
        "gentle-meadow",
        "copper-window",
        "distant-engine",
    ];
    let key = KEYS[rng.below(KEYS.len())];
    let values: Vec<String> =
        (0..4).map(|_| (1_000_000 + rng.below(9_000_000)).to_string()).collect();
    let mut sentences = draw.haystack.sentences(draw.part, bytes, rng)?;
    // One value in each quarter, at a random place. Inserted from the back, so that earlier places
    // stay valid.
    for (quarter, value) in values.iter().enumerate().rev() {
        let at = (quarter * sentences.len() + rng.below(sentences.len().max(1))) / 4;
        sentences.insert(
            at.min(sentences.len()),
            format!("One of the special magic numbers for {key} is: {value}."),
        );
    }
    let context = format!(
        "Some special magic numbers are hidden within the following text. Memorize them.\n{}",
        sentences.join(" ")
    );
    let question =
        format!("What are all the special magic numbers for {key} mentioned in the provided text?");
    let lead = format!("The special magic numbers for {key} mentioned in the provided text are");
    Ok(Text {
        context,
        questions: vec![[
            question,
            lead,
            format!(" {}, {}, {}, and {}", values[0], values[1], values[2], values[3]),
        ]],
    })
}

/// Token ids of a sample in the model's own chat template.
pub fn tokens(model: &Model, task: Task, text: &Text) -> Result<Tokens> {
    let tokenizer = model.tokenizer.as_ref().ok_or_else(|| {
        Error::input(format!("{} has no tokenizer, so it cannot read recall tasks", model.name))
    })?;
    // A template that puts "Answer:" after the question is one of plain text, where the answer
    // begins with a space.
    let plain = tokenizer.template().is_none_or(|template| {
        template.render(&[("user", "x")]).is_ok_and(|text| text.ends_with(':'))
    });
    let (before, blank) = if plain { ("\nQuestion: ", " ") } else { ("\n\n", "") };
    let ids = |text: &str| -> Result<Vec<u32>> {
        let mut ids = tokenizer.encode(text)?;
        if model.config().bos.is_some() && ids.first() == model.config().bos.as_ref() {
            ids.remove(0);
        }
        Ok(ids)
    };
    let mut prompts = Vec::new();
    let mut answers = Vec::new();
    for [question, lead, value] in &text.questions {
        prompts.push(tokenizer.encode_chat(&format!("{}{before}{question}", text.context))?);
        let lead = format!("{blank}{lead}");
        let answer = ids(&format!("{lead}{value}"))?;
        let lead = shared(&answer, &ids(&lead)?);
        let is_digit = |&id: &u32| {
            let text = tokenizer.token_text(id);
            !text.trim().is_empty() && text.trim().chars().all(|c| c.is_ascii_hexdigit())
        };
        let scored = answer.iter().enumerate().map(|(at, id)| at >= lead && is_digit(id)).collect();
        answers.push((answer, scored));
    }
    let prefix = prompts[1..]
        .iter()
        .fold(prompts[0].len(), |len, other| len.min(shared(&prompts[0], other)));
    // With a single question, the last token of the prompt becomes the tail, so that every branch
    // has one.
    let prefix = prefix.min(prompts.iter().map(Vec::len).min().unwrap_or(0).saturating_sub(1));
    let shared_tokens = prompts[0][..prefix].to_vec();
    let branch = |(prompt, (answer, scored)): (Vec<u32>, (Vec<u32>, Vec<bool>))| Question {
        tail: prompt[prefix..].to_vec(),
        answer,
        scored,
    };
    Ok(Tokens {
        task,
        prefix: shared_tokens,
        questions: prompts.into_iter().zip(answers).map(branch).collect(),
    })
}

/// Length of the common beginning.
fn shared(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Tries at the asked length, and tries in all: the later ones aim lower, because places of one text
/// differ in bytes per token, those of tables most.
const TRIES: usize = 8;
const ALL_TRIES: usize = 16;

/// A sample of nearly and at most `draw.tokens` tokens. The size of the text is computed from the
/// bytes per token of a try before.
///
/// # Errors
/// Texts without a sentence in this part, and texts or questions that do not go into so few tokens.
pub fn draw_of_length(model: &Model, task: Task, draw: &Draw<'_>) -> Result<Tokens> {
    if task == Task::Text {
        let mut rng = SplitMix64::new(draw.seed);
        let text = draw.haystack.passage(draw.part, draw.tokens * 8, &mut rng);
        return text_rows(model, &text, draw.tokens, TEXT_ROWS);
    }
    let longest = |tokens: &Tokens| {
        let question = |question: &Question| question.tail.len() + question.answer.len();
        tokens.prefix.len() + tokens.questions.iter().map(question).max().unwrap_or(0)
    };
    let (mut bytes, mut shortest) = (draw.tokens * 3, usize::MAX);
    let mut longest_that_fits: Option<(usize, Tokens)> = None;
    for attempt in 0..ALL_TRIES {
        let tokens = tokens(model, task, &self::draw(task, draw, bytes)?)?;
        let found = longest(&tokens);
        let share = match attempt {
            ..TRIES => 80,
            // The one that aims as the others did is taken as it is.
            TRIES => 0,
            _ => 50,
        };
        if found <= draw.tokens && found * 100 >= draw.tokens * share {
            return Ok(tokens);
        }
        shortest = shortest.min(found);
        let is_longer = longest_that_fits.as_ref().is_none_or(|(held, _)| found > *held);
        if found <= draw.tokens && is_longer {
            longest_that_fits = Some((found, tokens));
        }
        // Aim a little lower, so that the next try fits.
        let aim = if attempt < TRIES { 93 } else { 70 };
        bytes = (bytes * draw.tokens * aim / 100 / found.max(1)).max(1);
    }
    let fits = longest_that_fits.map(|(_, tokens)| tokens);
    fits.ok_or_else(|| Error::input(does_not_fit(task, draw, shortest)))
}

/// Why no sample of so many tokens was made, and what helps.
fn does_not_fit(task: Task, draw: &Draw<'_>, shortest: usize) -> String {
    let wanted = count(draw.tokens);
    let shortest = format!("the shortest that was made has {}", count(shortest));
    match task {
        Task::Codes | Task::Passkey | Task::MultiValue if !draw.haystack.pieces.is_empty() => {
            format!(
                "no sample of {wanted} tokens can be cut from these texts ({shortest}): their sentences are too long or too unlike for it, as those of tables are; a longer context helps, or texts with shorter sentences"
            )
        }
        _ => format!(
            "the question and its facts do not go into a sample of {wanted} tokens ({shortest}): a longer context helps"
        ),
    }
}

/// Ordinary text of `length` tokens, of which the last `rows` are the answer.
pub fn text_rows(model: &Model, text: &str, length: usize, rows: usize) -> Result<Tokens> {
    let tokenizer = model.tokenizer.as_ref().ok_or_else(|| {
        Error::input(format!("{} has no tokenizer, so it cannot read text", model.name))
    })?;
    let mut ids = tokenizer.encode(text)?;
    ids.truncate(length);
    if ids.len() < rows + 2 {
        return Err(Error::input(format!(
            "a text of {} tokens is too short: at least {} are needed",
            count(ids.len()),
            count(rows + 2)
        )));
    }
    let answer = ids.split_off(ids.len() - rows);
    let tail: Vec<u32> = ids.pop().into_iter().collect();
    let scored = vec![false; answer.len()];
    Ok(Tokens { task: Task::Text, prefix: ids, questions: vec![Question { tail, answer, scored }] })
}

/// Text for the windows of the check.
pub fn window_of(text: &str, bytes: usize, seed: u64) -> String {
    passage(text, bytes, &mut SplitMix64::new(seed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::data::HaystackPiece;
    use crate::model::load::{Opened, Source};

    fn piece(text: &str) -> Haystack {
        Haystack { pieces: vec![HaystackPiece::new("notes.txt".to_owned(), text.to_owned())] }
    }

    fn of<'a>(haystack: &'a Haystack, part: HaystackPart, seed: u64) -> Draw<'a> {
        Draw { haystack, part, tokens: 700, codes: 4, seed }
    }

    /// "a sample asks for one of its facts and has filler", it said once.
    #[test]
    fn a_text_without_a_sentence_is_named_with_what_there_is() {
        let short = piece("hi");
        let all =
            (0..16).map(|seed| draw(Task::Codes, &of(&short, HaystackPart::HeldOut, seed), 2000));
        // Half of the samples have filler of their own.
        let refused: Vec<String> =
            all.filter_map(|made| made.err().map(|error| error.to_string())).collect();
        assert!(!refused.is_empty());
        for sentence in refused {
            assert!(sentence.contains("notes.txt") && sentence.contains("too short"), "{sentence}");
            assert!(sentence.contains("2 bytes") && sentence.contains("1,000"), "{sentence}");
        }
    }

    #[test]
    fn what_does_not_fit_is_said_with_what_helps() {
        let long = piece("| a | b |\n");
        let told =
            |task, haystack| does_not_fit(task, &of(haystack, HaystackPart::Training, 1), 2_324);
        let own = told(Task::Codes, &long);
        assert!(own.contains("700 tokens") && own.contains("2,324"), "{own}");
        assert!(
            own.contains("sentences are too long") && own.contains("a longer context"),
            "{own}"
        );
        // No text of the user's is to blame for these.
        for other in [told(Task::MultiKey, &long), told(Task::Codes, &Haystack::default())] {
            assert!(!other.contains("texts") && other.contains("a longer context"), "{other}");
        }
    }

    /// Tables whose places differ in bytes per token by far ended the run once.
    #[test]
    fn samples_are_cut_from_tables() {
        let row = |i: usize| match (i / 7) % 3 {
            0 => format!("| {:-<90} |\n", ""),
            1 => format!("| {i:x} | {:#010b} | {} |\n", i * 77 % 256, i * 7919),
            _ => format!("| {:60} | {i} |\n", "a name of several words"),
        };
        let table = piece(&(0..3000).map(row).collect::<String>());
        let opened = Opened::open(&Source::Demo).expect("the demo");
        let model = opened.load(None, &mut |_| Ok(())).expect("the demo model");
        for seed in 0..24 {
            let sample =
                draw_of_length(&model, Task::Codes, &of(&table, HaystackPart::Training, seed));
            let sample = sample.unwrap_or_else(|error| panic!("{seed}: {error}"));
            let most = sample.questions.iter().map(|one| one.tail.len() + one.answer.len()).max();
            assert!(sample.prefix.len() + most.unwrap_or(0) <= 700, "{seed}");
        }
    }
}

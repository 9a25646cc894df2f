//! Held-out data: fresh seeds, other lengths, evenly spread depths, and texts that were not trained
//! on.

use super::contenders::rivals;
use super::decode::CheckPlan;
use super::plain::PLAIN;
use crate::learn::data::{
    Draw, Haystack, HaystackPart, HaystackPiece, Task, Tokens, draw_of_length, window_of,
};
use crate::model::Model;
use crate::random::SplitMix64;
use crate::{Error, Result, numbers};

/// Size of the check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// Recall prompts.
    pub prompts: usize,
    /// Shortest and longest context in training, in tokens.
    pub lengths: (usize, usize),
    /// Seed of the training; the seeds of the check differ from it.
    pub seed: u64,
}

/// Makes the seeds of the check differ from those of training.
const CHECK_SEED: u64 = 0xC0FF_EE00_D15E_A5E5;

/// Codes per prompt. All are asked for, so that depths are balanced.
const CODES: usize = 7;

/// Tokens at the end of a text window that decode is forced through.
const FORCED: usize = 128;

/// Lengths of text windows, where the model's context allows them.
const WINDOW: (usize, usize) = (1024, 1536);

/// Questions per prompt that the training-free rules answer.
const RULE_QUESTIONS: usize = 2;

/// Texts that a check is taken to have: the fetched ones are as many.
const TEXTS: usize = 3;

/// About the decode steps of a check of so many prompts, with every rule and plain cache: answers of
/// eight tokens, and the windows of a few texts.
pub fn answer_steps(prompts: usize) -> usize {
    let others = rivals() + PLAIN.len();
    let answers = prompts * (2 * CODES + others * RULE_QUESTIONS);
    answers * 8 + text_windows(prompts) * FORCED * (2 + others)
}

/// About the text windows of a check of so many prompts.
pub fn text_windows(prompts: usize) -> usize {
    if prompts == 0 { 0 } else { TEXTS * windows_of(prompts) }
}

/// Windows of each text.
fn windows_of(prompts: usize) -> usize {
    (prompts / 12).clamp(2, 12)
}

/// Makes the plan; also returns the number of texts that are of the kind trained on.
pub fn plan(
    model: &Model,
    haystack: &Haystack,
    others: &[HaystackPiece],
    extent: &Extent,
) -> Result<(CheckPlan, usize)> {
    let mut rng = SplitMix64::new(extent.seed ^ CHECK_SEED);
    let mut prompts = Vec::with_capacity(extent.prompts);
    for index in 0..extent.prompts {
        // Other lengths than in training: two fifths and four fifths of the longest.
        let length =
            (extent.lengths.1 * if index % 2 == 0 { 2 } else { 4 } / 5).max(extent.lengths.0);
        let draw = Draw {
            haystack,
            part: HaystackPart::HeldOut,
            tokens: length,
            codes: CODES,
            seed: rng.draw(),
        };
        prompts.push(draw_of_length(model, Task::Codes, &draw)?);
    }
    let windows_each = windows_of(extent.prompts);
    let own: Vec<HaystackPiece> = match haystack.pieces.is_empty() {
        true => vec![HaystackPiece::new(
            "sentences".to_owned(),
            haystack.passage(HaystackPart::HeldOut, 400_000, &mut rng),
        )],
        false => haystack.pieces.clone(),
    };
    let others = others.iter().filter(|other| own.iter().all(|own| own.name != other.name));
    let mut texts = Vec::new();
    for piece in own.iter().chain(others) {
        let mut windows: Vec<Vec<u32>> = Vec::new();
        for _ in 0..windows_each {
            // The same window twice would be one observation that counts as two.
            let drawn = window(model, piece.part(HaystackPart::HeldOut), &mut rng)?;
            windows
                .extend(drawn.filter(|drawn| windows.iter().all(|known| !overlap(known, drawn))));
        }
        if !windows.is_empty() {
            texts.push((piece.name.clone(), windows));
        }
    }
    Ok((CheckPlan { prompts, texts, forced: FORCED, rule_questions: RULE_QUESTIONS }, own.len()))
}

/// Recall prompts of nearly `tokens` tokens from held-out text, with seven questions each.
pub fn recall_prompts(
    model: &Model,
    haystack: &Haystack,
    count: usize,
    tokens: usize,
    seed: u64,
) -> Result<Vec<Tokens>> {
    let mut rng = SplitMix64::new(seed ^ CHECK_SEED);
    let mut draw =
        || Draw { haystack, part: HaystackPart::HeldOut, tokens, codes: CODES, seed: rng.draw() };
    (0..count).map(|_| draw_of_length(model, Task::Codes, &draw())).collect()
}

/// `count` windows of `tokens` tokens each, spread evenly over a text without overlap.
///
/// # Errors
/// When the text, called `name`, has fewer tokens than all windows together.
pub fn spread_windows(
    model: &Model,
    (name, text): (&str, &str),
    count: usize,
    tokens: usize,
) -> Result<Vec<Vec<u32>>> {
    let tokenizer = model.tokenizer.as_ref().ok_or_else(|| {
        Error::input(format!("{} has no tokenizer to read a text with", model.name))
    })?;
    let ids = tokenizer.encode(text)?;
    if ids.len() < count * tokens {
        return Err(Error::input(format!(
            "{name}: {} windows of {} tokens need more text than the {} tokens that are there",
            numbers::count(count),
            numbers::count(tokens),
            numbers::count(ids.len())
        )));
    }
    let room = ids.len() - tokens;
    let start = |index: usize| room * index / (count - 1).max(1);
    Ok((0..count).map(|index| ids[start(index)..][..tokens].to_vec()).collect())
}

/// Whether two windows of a text have more than half of the shorter one's tokens in common: then one
/// has the beginning of the other within its first half.
fn overlap(a: &[u32], b: &[u32]) -> bool {
    /// Tokens that no two places of a text share by chance, after those in which a window that begins
    /// within a word is cut otherwise.
    const MARK: std::ops::Range<usize> = 8..40;
    let within = |a: &[u32], b: &[u32]| {
        let mark = &b[MARK.start.min(b.len())..MARK.end.min(b.len())];
        let half = a.len() - b.len().min(a.len()) / 2;
        a[..half].windows(mark.len().max(1)).any(|run| run == mark)
    };
    within(a, b) || within(b, a)
}

/// A window of token ids; `None` where the text is too short for one.
fn window(model: &Model, text: &str, rng: &mut SplitMix64) -> Result<Option<Vec<u32>>> {
    let longest = WINDOW.1.min(model.config().max_context);
    let length = WINDOW.0.min(longest) + rng.below(longest - WINDOW.0.min(longest) + 1);
    let Some(tokenizer) = &model.tokenizer else { return Ok(None) };
    let mut ids = tokenizer.encode(&window_of(text, length * 8, rng.draw()))?;
    ids.truncate(length);
    Ok((ids.len() > 2 * FORCED).then_some(ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_share_most_of_their_tokens_overlap() {
        let of = |start: u32| (start..start + 1000).collect::<Vec<u32>>();
        for (other, is) in [(0, true), (100, true), (460, true), (600, false), (5000, false)] {
            assert_eq!(
                (overlap(&of(0), &of(other)), overlap(&of(other), &of(0))),
                (is, is),
                "{other}"
            );
        }
        let short: Vec<u32> = (300..700).collect();
        assert!(overlap(&of(0), &short) && overlap(&short, &of(0)));
    }
}

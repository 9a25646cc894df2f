//! The measurement: calibration samples, draws, and the sums over both.

use super::settings::{SensitivitySettings, SensitivityStep};
use crate::learn::data::{Draw, Haystack, HaystackPart, Task, Tokens, draw_of_length, text_rows};
use crate::learn::engine::{self, Damage, DamageQuery, Sample};
use crate::mask::{ChannelMask, Sensitivity, Width};
use crate::model::Model;
use crate::numbers::count;
use crate::random::{SplitMix64, scrambled};
use crate::{Error, Result};

/// The result of a measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredSensitivity {
    /// Damage of every width.
    pub sensitivity: Sensitivity,
    /// Rows of text that were scored.
    pub text_rows: usize,
    /// Rows of recall samples that were scored.
    pub recall_rows: usize,
}

/// Measures the sensitivity on windows of `haystack` and, where their weight is not 0, on recall
/// samples. Only the part of the texts that learning may see is read. `progress` may cancel.
pub fn measure(
    model: &Model,
    haystack: &Haystack,
    settings: &SensitivitySettings,
    progress: &mut dyn FnMut(SensitivityStep) -> Result<()>,
) -> Result<MeasuredSensitivity> {
    let calibration = CalibrationTokens::draw(model, haystack, settings)?;
    let all = calibration.work();
    let (mut done, mut sums) = (0, CalibrationSums::default());
    for (finished, (kind, index, tokens)) in calibration.each().enumerate() {
        let share = done as f32 / all.max(1) as f32;
        progress(SensitivityStep { done: finished, samples: calibration.samples(), share })?;
        let sample = prefilled(model, tokens)?;
        sums.add(model, settings, (kind, index), &sample, (&Sensitivity::WIDTHS, None))?;
        done += work(tokens);
    }
    sums.measured(model, settings)
}

/// The tokens of a measurement: windows of text, and recall samples.
pub(super) struct CalibrationTokens([Vec<Tokens>; 2]);

impl CalibrationTokens {
    /// All tokens come first: a text that is too short is refused before anything is computed.
    pub(super) fn draw(
        model: &Model,
        haystack: &Haystack,
        settings: &SensitivitySettings,
    ) -> Result<Self> {
        settings.check(model.config())?;
        let text = calibration_windows(model, haystack, settings)?;
        let recall_samples = if settings.recall_weight > 0.0 { settings.recall_samples } else { 0 };
        let of_length = |tokens: usize| -> Result<Vec<Tokens>> {
            let sample = |sample| recall_tokens(model, haystack, settings, (sample, tokens));
            (0..recall_samples).map(sample).collect()
        };
        // A tokenizer of short tokens may need more than half a window for the shortest prompt.
        let recall = of_length(settings.recall_tokens())
            .or_else(|_| of_length(settings.window_tokens))
            .map_err(|error| {
                // What a prompt needs depends on what it draws: the length that is named is one of which
                // all of them could be drawn.
                let longer = |tokens: &usize| Some((tokens + tokens / 8 + 1).next_multiple_of(ROUND));
                let enough = std::iter::successors(longer(&settings.window_tokens), longer)
                    .take_while(|&tokens| tokens <= model.config().max_context)
                    .find(|&tokens| of_length(tokens).is_ok());
                Error::input(match enough {
                    Some(enough) => format!(
                        "recall prompts do not fit into windows of {} tokens: --window-tokens {enough} makes room for them, --recall-weight 0 measures on text alone",
                        settings.window_tokens
                    ),
                    None => format!("recall prompts: {error}; --recall-weight 0 measures on text alone"),
                })
            })?;
        Ok(Self([text, recall]))
    }

    /// Kind (text, then recall), number and tokens of every sample.
    pub(super) fn each(&self) -> impl Iterator<Item = (usize, usize, &Tokens)> {
        let of_kind = |(kind, samples): (usize, &'_ Vec<Tokens>)| (kind, samples.len());
        let counts: Vec<(usize, usize)> = self.0.iter().enumerate().map(of_kind).collect();
        counts.into_iter().flat_map(move |(kind, count)| {
            (0..count).map(move |index| (kind, index, &self.0[kind][index]))
        })
    }

    pub(super) fn samples(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// About what all samples take, in tokens.
    fn work(&self) -> usize {
        self.0.iter().flatten().map(work).sum()
    }
}

/// Lengths that a message names are multiples of this.
const ROUND: usize = 32;

/// About what a sample takes, in tokens.
fn work(tokens: &Tokens) -> usize {
    tokens.prefix.len() + 4 * rows(tokens)
}

/// The windows of text of a measurement.
///
/// # Errors
/// No text, or one that is too short for a window.
pub fn calibration_windows(
    model: &Model,
    haystack: &Haystack,
    settings: &SensitivitySettings,
) -> Result<Vec<Tokens>> {
    (0..settings.windows).map(|window| window_tokens(model, haystack, settings, window)).collect()
}

/// The prefill of a sample.
pub(super) fn prefilled(model: &Model, tokens: &Tokens) -> Result<Sample> {
    let branches: Vec<_> =
        tokens.questions.iter().map(|q| (q.tail.clone(), q.answer.clone())).collect();
    Sample::new(&model.decoder, &tokens.prefix, &branches)
}

/// Damage summed over the samples of both kinds, text and recall.
#[derive(Default)]
pub(super) struct CalibrationSums([Sums; 2]);

impl CalibrationSums {
    /// Adds the damage of some widths on a sample, under a mask where there is one.
    pub(super) fn add(
        &mut self,
        model: &Model,
        settings: &SensitivitySettings,
        (kind, index): (usize, usize),
        sample: &Sample,
        (widths, mask): (&[Width], Option<&ChannelMask>),
    ) -> Result<()> {
        let mut random = generator(settings.seed, kind, index);
        let draw = &mut |probabilities: &[f32]| drawn(probabilities, &mut random);
        let query = DamageQuery { window: settings.window, draws: settings.draws, widths, mask };
        self.0[kind].add(engine::damage(&model.decoder, query, sample, draw)?);
        Ok(())
    }

    /// The sensitivity that the sums give.
    pub(super) fn measured(
        &self,
        model: &Model,
        settings: &SensitivitySettings,
    ) -> Result<MeasuredSensitivity> {
        let [text, recall] = &self.0;
        Ok(MeasuredSensitivity {
            text_rows: text.terms / settings.draws,
            recall_rows: recall.terms / settings.draws,
            sensitivity: Sensitivity::new(
                model.config().mask_shape(),
                mixed(text, recall, settings.recall_weight, |sums| &sums.k),
                mixed(text, recall, settings.recall_weight, |sums| &sums.v),
            )?,
        })
    }
}

/// Damage summed over samples.
#[derive(Default)]
struct Sums {
    terms: usize,
    k: Vec<f64>,
    v: Vec<f64>,
}

impl Sums {
    fn add(&mut self, damage: Damage) {
        self.terms += damage.terms;
        for (sums, own) in [(&mut self.k, damage.k), (&mut self.v, damage.v)] {
            sums.resize(4 * own.len(), 0.0);
            sums.iter_mut().zip(own.into_iter().flatten()).for_each(|(sum, own)| *sum += own);
        }
    }
}

/// Half of the mean squares: on text, plus `weight` times those on recall samples.
fn mixed(text: &Sums, recall: &Sums, weight: f64, table: impl Fn(&Sums) -> &Vec<f64>) -> Vec<f32> {
    let half_mean = |sums: &Sums, at: usize| {
        table(sums).get(at).map_or(0.0, |sum| 0.5 * sum / sums.terms.max(1) as f64)
    };
    let damage = |at| (half_mean(text, at) + weight * half_mean(recall, at)) as f32;
    (0..table(text).len()).map(damage).collect()
}

/// A generator for one sample.
fn generator(seed: u64, kind: usize, index: usize) -> SplitMix64 {
    SplitMix64::new(scrambled(seed) ^ ((kind as u64) << 32 | index as u64))
}

/// A token of this distribution.
fn drawn(probabilities: &[f32], random: &mut SplitMix64) -> usize {
    let total: f64 = probabilities.iter().map(|&p| f64::from(p)).sum();
    let at = (random.draw() >> 11) as f64 / (1_u64 << 53) as f64 * total;
    let mut sum = 0.0;
    let found = probabilities.iter().position(|&p| {
        sum += f64::from(p);
        sum > at
    });
    // Only rounding, or probabilities that are no numbers, can leave none.
    found.unwrap_or(probabilities.len() - 1)
}

fn rows(tokens: &Tokens) -> usize {
    tokens.questions.iter().map(|question| question.answer.len()).sum()
}

/// The tokens of one window of text. Windows take the texts in turn, and those of one text are
/// spread evenly over it: with seed 0 in the middle of their share of it, else at a random place.
fn window_tokens(
    model: &Model,
    haystack: &Haystack,
    settings: &SensitivitySettings,
    window: usize,
) -> Result<Tokens> {
    let wanted = settings.window_tokens;
    let pieces = haystack.pieces.len();
    let Some(piece) = haystack.pieces.get(window % pieces.max(1)) else {
        return Err(Error::input("sensitivity is measured on a text, and there is none"));
    };
    let text = piece.part(HaystackPart::Training);
    let slots = (settings.windows - window % pieces).div_ceil(pieces);
    // Whole steps of a share, so that places are the same on every machine.
    const STEPS: usize = 1 << 20;
    let place = match settings.seed {
        0 => STEPS / 2,
        seed => generator(seed, 3, window).below(STEPS),
    };
    // Most texts have fewer bytes per token than this; where one has more, a longer piece is read.
    let mut bytes = wanted * 8;
    loop {
        let room = text.len().saturating_sub(bytes);
        let at = room as u128 * (STEPS * (window / pieces) + place) as u128;
        let start = text.floor_char_boundary((at / (STEPS * slots) as u128) as usize);
        let end = text.floor_char_boundary((start + bytes).min(text.len()));
        let whole = end - start == text.len();
        match text_rows(model, &text[start..end], wanted, settings.rows) {
            Ok(tokens) if tokens.prefix.len() + 1 + settings.rows == wanted => return Ok(tokens),
            Err(error) if model.tokenizer.is_none() => return Err(error),
            _ if whole => {
                return Err(Error::input(format!(
                    "{} is too short for a window of {} tokens (the last sixth of a text is held out): give it a longer text or smaller windows",
                    piece.name,
                    count(wanted)
                )));
            }
            _ => bytes *= 2,
        }
    }
}

fn recall_tokens(
    model: &Model,
    haystack: &Haystack,
    settings: &SensitivitySettings,
    (sample, tokens): (usize, usize),
) -> Result<Tokens> {
    let draw = Draw {
        haystack,
        part: HaystackPart::Training,
        tokens,
        codes: 4,
        seed: generator(settings.seed, 2, sample).draw(),
    };
    draw_of_length(model, Task::Codes, &draw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_drawn_as_often_as_their_probability_says() {
        let probabilities = [0.5, 0.0, 0.125, 0.375];
        let mut random = SplitMix64::new(3);
        let mut counts = [0_u32; 4];
        (0..8000).for_each(|_| counts[drawn(&probabilities, &mut random)] += 1);
        for (count, p) in counts.iter().zip(probabilities) {
            assert!((f64::from(*count) / 8000.0 - f64::from(p)).abs() < 0.02, "{counts:?}");
        }
        assert_eq!(counts[1], 0);
    }

    #[test]
    fn recall_adds_its_weight_times_its_mean_to_that_of_text() {
        let sums = |terms, k: [f64; 4]| Sums { terms, k: k.to_vec(), v: Vec::new() };
        let text = sums(10, [20.0, 0.0, 2.0, 0.0]);
        let recall = sums(2, [8.0, 4.0, 0.0, 0.0]);
        let mix = |recall| mixed(&text, recall, 0.25, |sums| &sums.k);
        assert_eq!(mix(&recall), [1.5, 0.25, 0.1, 0.0]);
        assert_eq!(mix(&Sums::default()), [1.0, 0.0, 0.1, 0.0]);
    }
}

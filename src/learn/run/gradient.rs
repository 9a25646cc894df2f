//! The sensitivity as a method: one backward pass over windows of text and recall prompts, and the
//! mask with the least predicted damage.

use std::time::Instant;

use super::LearnEvent;
use super::learning::Found;
use super::request::{LearnMethod, LearnRequest, MOST_WINDOWS};
use crate::learn::data::{Haystack, HaystackPart, HaystackPiece, SENTENCES};
use crate::learn::sensitivity::{
    self, MeasuredSensitivity, SENSITIVITY, SensitivitySettings, SensitivityStep,
};
use crate::mask::select;
use crate::model::Model;
use crate::numbers::count;
use crate::random::SplitMix64;
use crate::{Error, Result};

/// Refuses what cannot be measured.
pub(super) fn check(model: &Model, request: &LearnRequest, resume: bool) -> Result<()> {
    if resume {
        return Err(Error::input(format!(
            "a measurement of the {SENSITIVITY} takes a minute and has no checkpoint to go on from: only the paper's method has (--method {})",
            LearnMethod::Leank.name()
        )));
    }
    if !model.decoder.is_on_host() {
        return Err(Error::input(format!(
            "the {SENSITIVITY} is measured over weights in this process's memory: --device cpu measures it there, --method {} learns on the GPU",
            LearnMethod::Leank.name()
        )));
    }
    if request.windows > MOST_WINDOWS {
        return Err(Error::input(format!(
            "--windows must be at most {MOST_WINDOWS}, not {}",
            count(request.windows)
        )));
    }
    settings(model, request, request.windows).check(model.config())
}

/// Measures the sensitivity and cuts the mask from it.
pub(super) fn found(
    model: &Model,
    request: &LearnRequest,
    report: &mut dyn FnMut(&LearnEvent) -> Result<()>,
) -> Result<Found> {
    let began = Instant::now();
    let haystack = &haystack(request);
    let settings = settings(model, request, request.windows);
    let mut samples = 0;
    let measured = sensitivity::measure(model, haystack, &settings, &mut |step| {
        samples = step.samples;
        report(&LearnEvent::Prefill(step.done, step.samples))
    })?;
    report(&LearnEvent::Prefill(samples, samples))?;
    let mut recipe = sensitivity::recipe(SENSITIVITY, model, haystack, &settings, &measured);
    recipe["method"] = SENSITIVITY.into();
    let sensitivity = measured.sensitivity;
    let (sparsity, align) = (request.settings.sparsity, request.settings.align);
    Ok(Found {
        mask: select::prune(&sensitivity, sparsity, align, request.settings.variant.pair_closed)?,
        importance: sensitivity.pruning()?,
        sensitivity: Some(sensitivity),
        steps: 0,
        samples,
        prefill_seconds: began.elapsed().as_secs_f64(),
        step_ratio: 0.0,
        recipe,
    })
}

/// The sensitivity of a few windows, as a rival of a learned mask; none where it cannot be measured,
/// which is no reason to lose what was learned: weights on a device, texts too short for a window.
pub(super) fn rival(
    model: &Model,
    request: &LearnRequest,
    report: &mut dyn FnMut(&LearnEvent) -> Result<()>,
) -> Result<Option<crate::mask::Sensitivity>> {
    const WINDOWS: usize = 2;
    let haystack = haystack(request);
    let usual = settings(model, request, WINDOWS);
    // Contexts may have no room for recall prompts; then it is measured on text alone.
    for recall_weight in [usual.recall_weight, 0.0] {
        let settings = SensitivitySettings { recall_weight, ..usual };
        let going = &mut |_: SensitivityStep| report(&LearnEvent::Check(0.0));
        match sensitivity::measure(model, &haystack, &settings, going) {
            Ok(MeasuredSensitivity { sensitivity, .. }) => return Ok(Some(sensitivity)),
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(_) => {}
        }
    }
    Ok(None)
}

/// The run's window and seed, and windows of text no longer than its longest context.
fn settings(model: &Model, request: &LearnRequest, windows: usize) -> SensitivitySettings {
    let usual = SensitivitySettings::new(model.config());
    let window_tokens = usual.window_tokens.min(request.lengths.1);
    SensitivitySettings {
        window: request.settings.window,
        windows,
        window_tokens,
        rows: usual.rows.min(window_tokens / 4).max(1),
        seed: request.settings.seed,
        ..usual
    }
}

/// The run's texts; generated sentences where it has none.
fn haystack(request: &LearnRequest) -> Haystack {
    if !request.haystack.pieces.is_empty() {
        return request.haystack.clone();
    }
    let mut random = SplitMix64::new(request.settings.seed);
    let text = Haystack::default().passage(HaystackPart::Training, GENERATED, &mut random);
    Haystack { pieces: vec![HaystackPiece::new(SENTENCES.to_owned(), text)] }
}

/// Characters of generated sentences: room for windows that do not overlap.
const GENERATED: usize = 100_000;

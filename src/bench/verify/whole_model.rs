//! One model on the CPU and on a device, token by token: prefill, the steps that are recorded and
//! the steps that replay the recording.

use std::sync::Arc;

use super::CaseOutcome;
use crate::cache::{CacheSpec, SequenceCache};
use crate::element::Dtype;
use crate::mask::{ChannelMask, Window};
use crate::model::Model;
use crate::model::decoder::{StepBuffers, with_quiet_hooks};
use crate::model::device::DeviceSteps;
use crate::{Error, Result};

/// A window small enough for the demo's prompts to have a middle.
const WINDOW: Window = Window { sink: 4, recent: 24, chunk: 8 };
/// Prompt tokens of the sequences. The first is long enough to open another slab of its middle
/// during the test.
const PROMPTS: [usize; 2] = [288, 150];
/// Tokens fed to each after its prompt.
const STEPS: usize = 40;
/// Largest difference of two logits, relative to the largest logit, that rounding in the matmuls of
/// a 16-bit model can explain.
const ALLOWED: f64 = 2e-2;

/// Compares every logit of a prefill and of [`STEPS`] steps over two sequences at once, dense and
/// pruned; returns the worse result.
pub fn compare_models(here: &Model, there: &Model) -> Result<CaseOutcome> {
    let shape = here.config().mask_shape();
    // Two of three channels are kept, and some heads keep none.
    let pruned = ChannelMask::from_fn(shape, |layer, head, channel| {
        (layer + head) % 3 != 2 && channel % 3 != 0
    });
    let (mut error, mut compared) = (0.0f64, 0);
    for mask in [ChannelMask::full(shape), pruned] {
        let spec = Arc::new(CacheSpec::new(shape, WINDOW, Dtype::F16, mask)?);
        let (expected, found) = (decode(here, &spec)?, decode(there, &spec)?);
        let largest = expected.iter().fold(0.0f32, |most, logit| most.max(logit.abs()));
        for (expected, found) in expected.iter().zip(&found) {
            let apart = f64::from((expected - found).abs() / largest);
            if apart.is_nan() || apart > ALLOWED {
                return Err(Error::run(format!(
                    "{} on {}: a logit of {found} where {} has {expected}",
                    there.name,
                    there.decoder.device_name(),
                    here.decoder.device_name()
                )));
            }
            error = error.max(apart);
            compared += 1;
        }
    }
    Ok(CaseOutcome { error, allowed: ALLOWED, compared })
}

/// Compares steps that are repeated from a recording with the same steps made launch by launch, on
/// two loads of one model on a device. Libraries may choose other algorithms or working memory while
/// a step is recorded.
///
/// # Errors
/// A logit that differs, and steps of `recorded` of which fewer than nine in ten repeated a recording:
/// then nothing was compared.
pub fn compare_recording(launched: &Model, recorded: &Model) -> Result<CaseOutcome> {
    let spec = Arc::new(CacheSpec::dense(launched.config().mask_shape(), WINDOW, Dtype::F16)?);
    let expected = {
        // As for another thread that computes on the device: nothing is recorded meanwhile.
        let _shared = launched.decoder.share();
        decode(launched, &spec)?
    };
    let found = decode(recorded, &spec)?;
    let DeviceSteps { steps, repeated, not_recorded, .. } =
        recorded.decoder.device_steps().unwrap_or_default();
    if 10 * repeated < 9 * STEPS as u64 {
        return Err(Error::run(format!(
            "{} on {}: {repeated} of {steps} steps repeated a recording{}",
            recorded.name,
            recorded.decoder.device_name(),
            not_recorded.map(|cause| format!(": {cause}")).unwrap_or_default()
        )));
    }
    let largest = expected.iter().fold(0.0f32, |most, logit| most.max(logit.abs()));
    let mut error = 0.0f64;
    for (at, (expected, found)) in expected.iter().zip(&found).enumerate() {
        let apart = f64::from((expected - found).abs() / largest);
        if apart.is_nan() || apart > ALLOWED {
            return Err(Error::run(format!(
                "{} on {}: logit {at} is {found} in a recorded step and {expected} launch by launch",
                recorded.name,
                recorded.decoder.device_name()
            )));
        }
        error = error.max(apart);
    }
    Ok(CaseOutcome { error, allowed: ALLOWED, compared: found.len() })
}

/// Logits after each prompt and after every step.
fn decode(model: &Model, spec: &Arc<CacheSpec>) -> Result<Vec<f32>> {
    let vocab = model.config().vocab;
    let token = |at: usize, sequence: usize| ((at * 31 + sequence * 7 + 3) % vocab) as u32;
    let (mut logits, mut caches) = (Vec::new(), Vec::new());
    for (sequence, &len) in PROMPTS.iter().enumerate() {
        let prompt: Vec<u32> = (0..len).map(|at| token(at, sequence)).collect();
        let mut cache = SequenceCache::new(Arc::clone(spec));
        let states =
            with_quiet_hooks(|hooks| model.decoder.prefill(&prompt, &mut [&mut cache], hooks))?;
        logits.extend(model.decoder.logits(&states.last()?)?);
        caches.push(cache);
    }
    let mut buffers = StepBuffers::new(model.config(), PROMPTS.len());
    for step in 0..STEPS {
        let tokens: Vec<u32> =
            (0..PROMPTS.len()).map(|sequence| token(1000 + step, sequence)).collect();
        let mut all: Vec<&mut SequenceCache> = caches.iter_mut().collect();
        model.decoder.step(&tokens, &mut all, &mut buffers, &mut |_, _, _| ())?;
        logits.extend_from_slice(&buffers.logits);
    }
    Ok(logits)
}

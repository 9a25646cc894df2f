//! The check of a mask that was learned to be baked into weights, in that use.
//!
//! The ordinary check prefills with dense weights and prunes what decode reads. Baked weights change
//! the prefill too and lose more, so a verdict of `ship` needs this check.

use std::sync::Arc;

use serde_json::json;

use super::{LearnRequest, Outcome};
use crate::Result;
use crate::decode::baked::{BakedSetup, compare_baked};
use crate::decode::sampler::Sampling;
use crate::learn::check::{self, CheckPlan, Extent, McNemar, Verdict};
use crate::model::Model;

/// Runs the prompts and texts of the check through `baked`, the same model with the learned mask in
/// its weights, and judges by what it loses against `dense`. The rows of the ordinary check stay;
/// the verdict and the mask's recipe become those of this one. Nothing happens where no check was
/// made. `progress` gets the share done and may cancel.
///
/// # Errors
/// Those of running the models, and of `progress`.
pub fn check_baked(
    dense: &Arc<Model>,
    baked: &Arc<Model>,
    request: &LearnRequest,
    outcome: &mut Outcome,
    progress: &mut dyn FnMut(f32) -> Result<()>,
) -> Result<()> {
    let Some(before) = outcome.rows.first() else { return Ok(()) };
    let settings = &request.settings;
    let extent =
        Extent { prompts: request.check_prompts, lengths: request.lengths, seed: settings.seed };
    let (plan, own_texts) = check::plan(dense, &request.haystack, &request.others, &extent)?;
    let contenders = check::dense_and_learned(outcome.file.mask(), settings.window)?;
    let (whole, learned) = (Arc::clone(&contenders[0].spec), &contenders[1]);
    // Both sides have whole caches: the mask is in the weights. Questions first, half of the work.
    let questions = CheckPlan { texts: Vec::new(), ..plan.clone() };
    let mut losses = check::measure(baked, &[Arc::clone(&whole)], &questions, 1, &mut |share| {
        progress(share / 2.0)
    })?
    .swap_remove(0);
    let windows: usize = plan.texts.iter().map(|(_, windows)| windows.len()).sum();
    let mut done = 0;
    for (_, text) in &plan.texts {
        let mut steps = Vec::new();
        for window in text {
            // The token after the last one is not known, and a window may fill the context.
            let prompt = window[..window.len() - 1].to_vec();
            let cache = Arc::clone(&whole);
            let setup = BakedSetup { prompt, max_new: 1, sampling: Sampling::default(), cache };
            steps.push(
                compare_baked(dense, baked, &setup, &mut |share| {
                    progress(0.5 + (done as f32 + share) / windows as f32 / 2.0)
                })?
                .prompt,
            );
            done += 1;
        }
        losses.texts.push(steps);
    }
    let row = learned.row(&losses, &plan, own_texts);
    let evidence = row.beside(before);
    let verdict = Verdict::of(&evidence, &request.thresholds);
    let test = evidence.answers.map_or_else(McNemar::of_none, |answers| answers.test);
    let check = &mut outcome.file.origin.recipe["check"];
    check["verdict"] = verdict.word().into();
    check["reason"] = verdict.reason.clone().into();
    check["mcnemar"] = json!(test);
    check["baked"] = json!(row);
    outcome.verdict = Some(verdict);
    outcome.baked = Some(row);
    Ok(())
}

//! A learning run: channels chosen by either method, and the check of the mask at the end.

use std::sync::Arc;
use std::time::Instant;

use super::checkpoint::CheckpointFolder;
use super::report::{self, Checked};
use super::request::{LearnMethod, LearnRequest};
use super::{gradient, leank};
use crate::learn::check::{CheckRow, Cost, Verdict};
use crate::learn::data::Task;
use crate::learn::train::{Dense, Update};
use crate::mask::files::{MaskFile, Origin};
use crate::mask::{CachePlan, ChannelMask, Importance, Sensitivity, fingerprint};
use crate::model::Model;
use crate::numbers::count;
use crate::{Error, Result, machine};

/// Progress of a learning run.
#[derive(Debug, Clone, PartialEq)]
pub enum LearnEvent {
    /// Prefilling sample `.0` of `.1`, and with a sensitivity its backward pass.
    Prefill(usize, usize),
    /// The recall of the dense model, per task.
    Dense(Vec<(Task, Dense)>),
    /// An update was made.
    Update(Update),
    /// A checkpoint could not be written, for this reason. Learning goes on, and the next one is
    /// tried.
    Unsaved(String),
    /// The factors after an update.
    Factors(Importance),
    /// Validation of the stage-1 cut and of the best mask.
    Validated {
        /// Loss of the stage-1 cut.
        cut: f32,
        /// Loss of the mask that is kept.
        best: f32,
    },
    /// Share of the check that is done, 0 to 1.
    Check(f32),
}

/// The result of a learning run.
pub struct Outcome {
    /// The mask with importance and recipe.
    pub file: MaskFile,
    /// The check's rows; empty without a check.
    pub rows: Vec<CheckRow>,
    /// What the learned mask and plain caches cost and lose in the check, the mask first; empty
    /// without a check, and on a GPU.
    pub costs: Vec<Cost>,
    /// What the mask costs baked into weights; `None` where [`super::check_baked`] was not run.
    pub baked: Option<CheckRow>,
    /// The verdict; `None` without a check.
    pub verdict: Option<Verdict>,
    /// Updates of both stages; 0 with a sensitivity.
    pub steps: usize,
    /// Total time in seconds.
    pub seconds: f64,
    /// Samples that were prefilled.
    pub samples: usize,
    /// Seconds of the total that the prefills of the pool took, or the whole measurement of a
    /// sensitivity.
    pub prefill_seconds: f64,
    /// Seconds of the total that the check took.
    pub check_seconds: f64,
    /// Time per update of stage 1 divided by prefill time per sample; 0 without updates.
    pub step_ratio: f64,
    /// Peak resident memory in bytes.
    pub peak_bytes: u64,
}

/// What a method found.
pub(super) struct Found {
    /// The mask at the sparsity that was asked for.
    pub mask: ChannelMask,
    /// What its channels were ordered by.
    pub importance: Importance,
    /// The sensitivity, where that was the method.
    pub sensitivity: Option<Sensitivity>,
    /// Updates of both stages.
    pub steps: usize,
    /// Samples that were prefilled.
    pub samples: usize,
    /// Seconds of their prefills, or of the measurement.
    pub prefill_seconds: f64,
    /// Time per update over prefill time per sample.
    pub step_ratio: f64,
    /// How it was found, for the mask's file.
    pub recipe: serde_json::Value,
}

/// Runs a learning. By the paper's method checkpoints are written to `checkpoint` every few updates;
/// if the file exists and `resume` is set, the run continues from it.
pub fn learn(
    model: &Arc<Model>,
    request: &LearnRequest,
    checkpoint: &CheckpointFolder,
    resume: bool,
    report: &mut dyn FnMut(&LearnEvent) -> Result<()>,
) -> Result<Outcome> {
    request.settings.check()?;
    let window = request.settings.window;
    if window.middle(request.lengths.1) == 0 {
        return Err(Error::input(format!(
            "sink {} and recent {} keep every token of contexts up to {}, so there is nothing to prune",
            count(window.sink),
            count(window.recent),
            count(request.lengths.1)
        )));
    }
    // What cannot be made is said before anything is learned: the run's samples, and the check.
    match request.method {
        LearnMethod::Sensitivity => gradient::check(model, request, resume)?,
        LearnMethod::Leank => leank::check(request)?,
    }
    let plan = match request.check_prompts {
        0 => None,
        _ => Some(report::plan(model, request)?),
    };
    let began = Instant::now();
    let found = match request.method {
        LearnMethod::Sensitivity => gradient::found(model, request, report)?,
        LearnMethod::Leank => leank::found(model, request, (checkpoint.file(), resume), report)?,
    };
    let learned_seconds = began.elapsed().as_secs_f64();
    let checked = match plan {
        None => Checked::default(),
        Some(plan) => report::checked(model, request, &found, plan, report)?,
    };
    let verdict = (!checked.rows.is_empty()).then(|| report::judge(&checked, &request.thresholds));
    let recipe = report::recipe(request, &found, &checked, verdict.as_ref());
    let origin = Origin {
        model: model.name.clone(),
        fingerprint: fingerprint(&model.config().geometry()),
        window: request.settings.window,
        align: request.settings.align,
        recipe,
    };
    let file = MaskFile {
        plan: CachePlan::of_mask(&found.mask),
        importance: Some(found.importance),
        sensitivity: found.sensitivity,
        target_sparsity: Some(request.settings.sparsity),
        origin,
    };
    Ok(Outcome {
        file,
        rows: checked.rows,
        costs: checked.costs,
        baked: None,
        verdict: verdict.map(|(verdict, _)| verdict),
        steps: found.steps,
        samples: found.samples,
        seconds: began.elapsed().as_secs_f64(),
        prefill_seconds: found.prefill_seconds,
        check_seconds: began.elapsed().as_secs_f64() - learned_seconds,
        step_ratio: found.step_ratio,
        peak_bytes: machine::peak_bytes().unwrap_or(0),
    })
}

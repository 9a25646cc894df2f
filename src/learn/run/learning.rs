//! A learning run: samples, updates, checkpoints, and the check at the end.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::checkpoint::{self, CheckpointFolder};
use super::report::{self, Checked};
use super::request::LearnRequest;
use crate::learn::check::{CheckRow, Cost, Verdict};
use crate::learn::data::Task;
use crate::learn::train::{Dense, Pool, Stage, TrainState, Trainer, Update, Wanted};
use crate::mask::files::{MaskFile, Origin};
use crate::mask::select::select;
use crate::mask::{CachePlan, Importance, fingerprint};
use crate::model::Model;
use crate::numbers::count;
use crate::{Error, Result, machine};

/// Progress of a learning run.
#[derive(Debug, Clone, PartialEq)]
pub enum LearnEvent {
    /// Prefilling sample `.0` of `.1`.
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
    /// Updates of both stages.
    pub steps: usize,
    /// Total time in seconds.
    pub seconds: f64,
    /// Seconds of the total that the prefills of the pool took.
    pub prefill_seconds: f64,
    /// Seconds of the total that the check took.
    pub check_seconds: f64,
    /// Time per update of stage 1 divided by prefill time per sample.
    pub step_ratio: f64,
    /// Peak resident memory in bytes.
    pub peak_bytes: u64,
}

/// Number of samples that are only used to choose between the stage-1 cut and later masks.
pub const VALIDATION: usize = 8;

/// Number of updates between two checkpoints.
const SAVE_EVERY: usize = 25;

/// Dense recall below which learning is refused.
const LEAST_RECALL: f64 = 0.2;

/// Runs a learning. Checkpoints are written to `checkpoint` every few updates. If the file exists
/// and `resume` is set, the run continues from it.
pub fn learn(
    model: &Arc<Model>,
    request: &LearnRequest,
    checkpoint: &CheckpointFolder,
    resume: bool,
    report: &mut dyn FnMut(&LearnEvent) -> Result<()>,
) -> Result<Outcome> {
    request.settings.check()?;
    if (request.settings.steps == 0) != request.start.is_some() {
        return Err(Error::input(
            "stage 1 has at least one update, and none where learning goes on from given importance",
        ));
    }
    if request.pool == 0 {
        return Err(Error::input("--pool must be at least 1: there is no sample to learn from"));
    }
    let window = request.settings.window;
    if window.middle(request.lengths.1) == 0 {
        return Err(Error::input(format!(
            "sink {} and recent {} keep every token of contexts up to {}, so there is nothing to prune",
            count(window.sink),
            count(window.recent),
            count(request.lengths.1)
        )));
    }
    // What the check cannot make is said before anything is learned.
    let plan = match request.check_prompts {
        0 => None,
        _ => Some(report::plan(model, request)?),
    };
    let began = Instant::now();
    let (checkpoint, key) = (checkpoint.file(), key(model, request));
    let state = match (&request.start, resume) {
        (_, true) if !checkpoint.exists() => {
            return Err(Error::input(format!(
                "there is no learning to go on with: its checkpoint, {}, is not there",
                checkpoint.display()
            )));
        }
        (_, true) => Some(TrainState::load(checkpoint, &request.settings, &key)?),
        (Some(start), false) => Some(start.state(model, &request.settings)?),
        (None, false) => None,
    };
    let learned = match state {
        // All updates are done: only the check is run, without a pool.
        Some(state) if state.stage == Stage::Done => {
            Learned { state, prefill_seconds: 0.0, step_ratio: 0.0 }
        }
        state => train(model, request, state, (checkpoint, &key), report)?,
    };
    let state = learned.state;
    if let Some((cut, best)) = state.validated() {
        report(&LearnEvent::Validated { cut, best })?;
    }
    let importance = Importance::new(model.config().mask_shape(), state.alpha.clone())?;
    let mask = select(&importance, &request.settings.options())?;
    let learned_seconds = began.elapsed().as_secs_f64();
    let checked = match plan {
        None => Checked::default(),
        Some(plan) => report::checked(model, request, &mask, plan, report)?,
    };
    let verdict = (!checked.rows.is_empty()).then(|| report::judge(&checked, &request.thresholds));
    let recipe = report::recipe(model, request, &state, &mask, &checked, verdict.as_ref());
    let origin = Origin {
        model: model.name.clone(),
        fingerprint: fingerprint(&model.config().geometry()),
        window: request.settings.window,
        align: request.settings.align,
        recipe,
    };
    let file = MaskFile {
        plan: CachePlan::of_mask(&mask),
        importance: Some(importance),
        sensitivity: None,
        target_sparsity: Some(request.settings.sparsity),
        origin,
    };
    Ok(Outcome {
        file,
        rows: checked.rows,
        costs: checked.costs,
        baked: None,
        verdict: verdict.map(|(verdict, _)| verdict),
        steps: state.losses.len() + state.mask_losses.len(),
        seconds: began.elapsed().as_secs_f64(),
        prefill_seconds: learned.prefill_seconds,
        check_seconds: began.elapsed().as_secs_f64() - learned_seconds,
        step_ratio: learned.step_ratio,
        peak_bytes: machine::peak_bytes().unwrap_or(0),
    })
}

/// A finished training.
struct Learned {
    state: TrainState,
    prefill_seconds: f64,
    step_ratio: f64,
}

/// Fills the pool and makes all remaining updates.
fn train(
    model: &Model,
    request: &LearnRequest,
    state: Option<TrainState>,
    (checkpoint, key): (&Path, &str),
    report: &mut dyn FnMut(&LearnEvent) -> Result<()>,
) -> Result<Learned> {
    let settings = &request.settings;
    let mut pool = fill(model, request, report)?;
    let validation = pool.samples.split_off(request.pool);
    let mut trainer = Trainer::new(model, settings, &pool.samples, &validation, state)?;
    let (mut step_time, mut timed) = (0.0, 0_u32);
    loop {
        let started = Instant::now();
        let update = match trainer.step() {
            Ok(Some(update)) => update,
            Ok(None) => break,
            Err(error) => {
                // A step that fails leaves the state unchanged.
                trainer.state.save(checkpoint, settings, key)?;
                return Err(Error::run(format!(
                    "{error}; the last good state is in {}",
                    checkpoint.display()
                )));
            }
        };
        // The update that ends stage 1 also validates, so it is not timed as an ordinary step.
        if update.stage == Stage::Importance && trainer.state.stage == Stage::Importance {
            step_time += started.elapsed().as_secs_f64();
            timed += 1;
        }
        let told = report(&LearnEvent::Update(update))
            .and_then(|()| report(&LearnEvent::Factors(trainer.importance()?)));
        if told.is_err() {
            trainer.state.save(checkpoint, settings, key)?;
        }
        told?;
        let is_due = trainer.state.step.is_multiple_of(SAVE_EVERY);
        if (is_due || trainer.state.stage != update.stage)
            && let Err(cause) = trainer.state.save(checkpoint, settings, key)
        {
            // What was learned is worth more than a checkpoint of it.
            report(&LearnEvent::Unsaved(cause.to_string()))?;
        }
    }
    let prefill_seconds = pool.prefill.as_secs_f64();
    let per_sample = prefill_seconds / (request.pool + VALIDATION) as f64;
    Ok(Learned {
        state: trainer.state,
        prefill_seconds,
        step_ratio: step_time / f64::from(timed.max(1)) / per_sample,
    })
}

/// What a checkpoint belongs to besides its settings: model and data.
fn key(model: &Model, request: &LearnRequest) -> String {
    let mut key = json!({
        "model": fingerprint(&model.config().geometry()),
        "weights": checkpoint::weights_sha256(model),
        "texts": checkpoint::texts(&request.haystack.pieces),
        "tasks": request.tasks,
        "lengths": request.lengths,
        "pool": request.pool,
    });
    if let Some(start) = &request.start {
        key["importance"] = start.importance.sha256().into();
    }
    key.to_string()
}

fn fill(
    model: &Model,
    request: &LearnRequest,
    report: &mut dyn FnMut(&LearnEvent) -> Result<()>,
) -> Result<Pool> {
    let samples = request.pool + VALIDATION;
    let config = model.config();
    let tokens = (request.lengths.0 + request.lengths.1) / 2;
    let bytes = [config.kv_width(), tokens, samples]
        .iter()
        .fold(4 * config.layers as u64, |bytes, &factor| bytes.saturating_mul(factor as u64));
    machine::check_memory(&format!("a pool of {samples} prefills"), bytes)?;
    let wanted = Wanted {
        haystack: &request.haystack,
        tasks: &request.tasks,
        lengths: request.lengths,
        samples,
        seed: request.settings.seed,
    };
    let pool =
        Pool::fill(model, &wanted, &mut |index| report(&LearnEvent::Prefill(index, samples)))?;
    report(&LearnEvent::Dense(pool.dense.clone()))?;
    pool.check_dense(LEAST_RECALL)?;
    Ok(pool)
}

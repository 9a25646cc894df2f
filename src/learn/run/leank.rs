//! The LeanK paper's method: a pool of prefills, updates of both stages, and their checkpoints.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::LearnEvent;
use super::checkpoint;
use super::learning::Found;
use super::request::{LearnMethod, LearnRequest};
use crate::learn::data::HaystackPiece;
use crate::learn::train::{Pool, Stage, TrainState, Trainer, Wanted};
use crate::mask::select::select;
use crate::mask::{Importance, fingerprint};
use crate::model::Model;
use crate::{Error, Result, machine};

/// Number of samples that are only used to choose between the stage-1 cut and later masks.
pub const VALIDATION: usize = 8;

/// Number of updates between two checkpoints.
const SAVE_EVERY: usize = 25;

/// Dense recall below which learning is refused.
const LEAST_RECALL: f64 = 0.2;

/// Refuses requests that learn nothing.
pub(super) fn check(request: &LearnRequest) -> Result<()> {
    if (request.settings.steps == 0) != request.start.is_some() {
        return Err(Error::input(
            "stage 1 has at least one update, and none where learning goes on from given importance",
        ));
    }
    if request.pool == 0 {
        return Err(Error::input("--pool must be at least 1: there is no sample to learn from"));
    }
    Ok(())
}

/// Learns importance and cuts the mask from it.
pub(super) fn found(
    model: &Model,
    request: &LearnRequest,
    (checkpoint, resume): (&Path, bool),
    report: &mut dyn FnMut(&LearnEvent) -> Result<()>,
) -> Result<Found> {
    let key = key(model, request);
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
            Learned { state, samples: 0, prefill_seconds: 0.0, step_ratio: 0.0 }
        }
        state => train(model, request, state, (checkpoint, &key), report)?,
    };
    let Learned { state, samples, prefill_seconds, step_ratio } = learned;
    if let Some((cut, best)) = state.validated() {
        report(&LearnEvent::Validated { cut, best })?;
    }
    let importance = Importance::new(model.config().mask_shape(), state.alpha.clone())?;
    Ok(Found {
        mask: select(&importance, &request.settings.options())?,
        importance,
        sensitivity: None,
        steps: state.losses.len() + state.mask_losses.len(),
        samples,
        prefill_seconds,
        step_ratio,
        recipe: recipe(model, request, &state),
    })
}

/// How the importance was learned.
fn recipe(model: &Model, request: &LearnRequest, state: &TrainState) -> Value {
    let names = |pieces: &[HaystackPiece]| {
        pieces.iter().map(|piece| piece.name.clone()).collect::<Vec<_>>()
    };
    let tail = |losses: &[f32]| {
        let last = &losses[losses.len().saturating_sub(20)..];
        (!last.is_empty()).then(|| last.iter().sum::<f32>() / last.len() as f32)
    };
    json!({
        "tool": concat!("kscope ", env!("CARGO_PKG_VERSION")),
        "rule": "learned",
        "method": LearnMethod::Leank,
        "weights": model.decoder.learning_weights(),
        "settings": request.settings,
        "data": {
            "haystack": names(&request.haystack.pieces),
            "tasks": request.tasks,
            "lengths": request.lengths,
            "pool": request.pool,
        },
        "losses": {
            "stage_1_first": state.losses.first(),
            "stage_1_last_20": tail(&state.losses),
            "stage_2_last_20": tail(&state.mask_losses),
            "validation_cut": state.validated().map(|(cut, _)| cut),
            "validation_kept": state.validated().map(|(_, kept)| kept),
        },
        "importance": request.start.as_ref().map(|start| json!({ "file": start.file, "recipe": start.recipe })),
    })
}

/// A finished training.
struct Learned {
    state: TrainState,
    samples: usize,
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
        samples: request.pool + VALIDATION,
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

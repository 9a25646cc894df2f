//! The request of a learning run: settings, data, and where it starts.

use std::path::PathBuf;

use super::checkpoint::CheckpointFolder;
use crate::learn::check::Thresholds;
use crate::learn::data::{self, Haystack, HaystackPiece, Task};
use crate::learn::sensitivity::SENSITIVITY;
use crate::learn::train::{Settings, Stage, TrainState};
use crate::mask::Importance;
use crate::model::Model;
use crate::numbers::count;
use crate::{Error, Result};

/// How a run finds which channels matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LearnMethod {
    /// The damage that leaving a channel or a head out is predicted to do, from one backward pass
    #[default]
    Sensitivity,
    /// The LeanK paper's: a factor for every channel, learned in many updates
    Leank,
}

impl LearnMethod {
    /// All methods, the default first.
    pub const ALL: [Self; 2] = [Self::Sensitivity, Self::Leank];

    /// Its name on the command line, on screen and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sensitivity => SENSITIVITY,
            Self::Leank => "leank",
        }
    }

    /// A failure after everything was found: by the paper's method the checkpoint still holds it.
    pub fn survives(self, place: &CheckpointFolder, failure: Error) -> Error {
        match self {
            Self::Sensitivity => failure,
            Self::Leank => place.survives(&failure),
        }
    }
}

/// What to learn, from which data, and how to check it.
#[derive(Debug, Clone)]
pub struct LearnRequest {
    /// How channels are chosen.
    pub method: LearnMethod,
    /// Sparsity, alignment, window and seed; with [`LearnMethod::Leank`] the whole training.
    pub settings: Settings,
    /// Filler and ordinary text.
    pub haystack: Haystack,
    /// Texts of other kinds, used only in the check.
    pub others: Vec<HaystackPiece>,
    /// Kinds of samples.
    pub tasks: Vec<Task>,
    /// Shortest and longest context in tokens.
    pub lengths: (usize, usize),
    /// Windows of text that a sensitivity is measured on.
    pub windows: usize,
    /// Samples to learn from by the paper's method.
    pub pool: usize,
    /// Importance to start from instead of stage 1.
    pub start: Option<LearnStart>,
    /// Prompts of the check; 0 skips it, and the mask has no verdict.
    pub check_prompts: usize,
    /// Whether the mask is to be baked into weights, where no cache gets smaller and so no plain
    /// cache is its rival.
    pub baked: bool,
    /// Whether the check also runs the training-free rules.
    pub rivals: bool,
    /// The largest loss that the mask may have.
    pub thresholds: Thresholds,
}

impl LearnRequest {
    /// A request with the default tasks, pool, check and thresholds.
    ///
    /// # Errors
    /// Settings that cannot be trained with, and contexts that the model does not support.
    pub fn new(
        model: &Model,
        texts: (Haystack, Vec<HaystackPiece>),
        settings: Settings,
        lengths: (usize, usize),
    ) -> Result<Self> {
        settings.check()?;
        let most = model.config().max_context;
        if lengths.1 > most {
            return Err(Error::input(format!(
                "--ctx up to {} is more than the model's context of {}",
                count(lengths.1),
                count(most)
            )));
        }
        Ok(Self {
            method: LearnMethod::default(),
            settings,
            haystack: texts.0,
            others: texts.1,
            tasks: default_tasks(model),
            lengths,
            windows: WINDOWS,
            pool: POOL,
            start: None,
            check_prompts: CHECK_PROMPTS,
            baked: false,
            rivals: true,
            thresholds: Thresholds::default(),
        })
    }
}

/// Windows of text that a sensitivity is measured on by default.
pub const WINDOWS: usize = 12;

/// Most windows that are measured: half a million tokens, and hours of a small model.
pub const MOST_WINDOWS: usize = 256;

/// Samples to learn from by default.
pub const POOL: usize = 96;

/// Prompts of the check by default; seven questions each.
pub const CHECK_PROMPTS: usize = 60;

/// Importance that stage 2 starts with, and its origin.
#[derive(Debug, Clone)]
pub struct LearnStart {
    /// The importance, 0 to 1.
    pub importance: Importance,
    /// The file's name.
    pub file: String,
    /// How it was made.
    pub recipe: serde_json::Value,
}

impl LearnStart {
    /// The state at the start of stage 2; a finished one where stage 2 has no updates.
    pub(super) fn state(&self, model: &Model, settings: &Settings) -> Result<TrainState> {
        let (found, shape) = (self.importance.shape(), model.config().mask_shape());
        if found != shape {
            return Err(Error::input(format!(
                "{}: expected importance of shape {shape}, found {found}",
                self.file
            )));
        }
        let mut state = TrainState::of(&self.importance)?;
        if settings.mask_steps == 0 {
            state.stage = Stage::Done;
        }
        Ok(state)
    }
}

/// Default tasks. The demo model was only trained to recall facts among sentences.
pub fn default_tasks(model: &Model) -> Vec<Task> {
    match model.name.as_str() {
        "demo" => vec![Task::Codes, Task::Text],
        _ => vec![
            Task::Codes,
            Task::Text,
            Task::MultiKey,
            Task::Text,
            Task::MultiValue,
            Task::Text,
            Task::Passkey,
        ],
    }
}

/// The haystack from the user's files or otherwise from the fetched texts, and the local texts of
/// other kinds. The demo model uses generated sentences where no file is named.
///
/// # Errors
/// Files that cannot be read, and texts that are too short to learn from.
pub fn texts(
    model: &Model,
    files: &[PathBuf],
    field: &str,
) -> Result<(Haystack, Vec<HaystackPiece>)> {
    let is_demo = model.name == "demo";
    if is_demo && files.is_empty() {
        return Ok(Default::default());
    }
    let haystack = data::load(files, field)?.joined();
    haystack.check_length()?;
    Ok((haystack, if is_demo { Vec::new() } else { data::held_out()? }))
}

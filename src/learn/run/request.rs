//! What is learned, from what, and from where it goes on.

use std::path::PathBuf;

use crate::learn::check::Thresholds;
use crate::learn::data::{self, Haystack, HaystackPiece, Task};
use crate::learn::train::{Settings, Stage, TrainState};
use crate::mask::Importance;
use crate::model::Model;
use crate::{Error, Result};

/// What is learned, from what, and how it is checked.
#[derive(Debug, Clone)]
pub struct LearnRequest {
    /// The training.
    pub settings: Settings,
    /// Filler and ordinary text.
    pub haystack: Haystack,
    /// Texts of another kind, for the check alone.
    pub others: Vec<HaystackPiece>,
    /// Kinds of samples.
    pub tasks: Vec<Task>,
    /// Shortest and longest context in tokens.
    pub lengths: (usize, usize),
    /// Samples to learn from.
    pub pool: usize,
    /// Importance to go on from instead of stage 1.
    pub start: Option<LearnStart>,
    /// Prompts of the check; 0 leaves it out, and the mask without a verdict.
    pub check_prompts: usize,
    /// Whether the check also runs the training-free rules.
    pub rivals: bool,
    /// What the mask may lose.
    pub thresholds: Thresholds,
}

impl LearnRequest {
    /// A learning with the default tasks, pool, check and thresholds.
    ///
    /// # Errors
    /// Settings that cannot be trained with, and contexts that the model cannot see.
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
                "--ctx up to {} is more than the model's context of {most}",
                lengths.1
            )));
        }
        Ok(Self {
            settings,
            haystack: texts.0,
            others: texts.1,
            tasks: default_tasks(model),
            lengths,
            pool: POOL,
            start: None,
            check_prompts: CHECK_PROMPTS,
            rivals: true,
            thresholds: Thresholds::default(),
        })
    }
}

/// Samples to learn from by default.
pub const POOL: usize = 96;

/// Prompts of the check by default; seven questions each.
pub const CHECK_PROMPTS: usize = 60;

/// Importance that stage 2 begins with, and where it comes from.
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
    /// The beginning of stage 2; the end of learning where that has no updates.
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

/// Default tasks: the demo model recalls facts among sentences and nothing else.
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

/// The haystack of the user's files or else of the fetched texts, and the texts of another kind
/// that are here. The demo model reads its own sentences where no file is named.
pub fn texts(
    model: &Model,
    files: &[PathBuf],
    field: &str,
) -> Result<(Haystack, Vec<HaystackPiece>)> {
    match model.name == "demo" {
        true if files.is_empty() => Ok(Default::default()),
        true => Ok((data::load(files, field)?, Vec::new())),
        false => Ok((data::load(files, field)?, data::held_out()?)),
    }
}

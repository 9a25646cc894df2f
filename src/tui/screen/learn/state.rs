//! Learning as the screen shows it: the form, the progress, and the result.

use std::path::PathBuf;

use tui_input::Input;

use crate::learn::data::Task;
use crate::learn::estimate::RunEstimate;
use crate::learn::run::{LearnMethod, VALIDATION};
use crate::learn::train::{Dense, Stage, Update};
use crate::learn::worker::{Done, Order};
use crate::mask::{ChannelMask, Importance};
use crate::tui::screen::learn::form::{Field, Form, LearnExtent};

/// What a learning run is doing.
#[derive(Debug, Clone, PartialEq)]
pub enum LearningPart {
    /// No run was started.
    Idle,
    /// Prefilling samples, or measuring on them: done, all.
    Pool(usize, usize),
    /// Stage 1.
    Importance,
    /// Stage 2.
    Masks,
    /// The held-out check, share done.
    Check(f32),
    /// The run has ended.
    Done,
    /// The run was cancelled.
    Cancelled,
    /// The run failed, for this reason.
    Failed(String),
}

/// The state of the learn screen.
#[derive(Debug, Clone)]
pub struct Learning {
    /// Settings of the next run.
    pub form: Form,
    /// The selected field.
    pub field: Field,
    /// The text of the field that is being typed.
    pub typing: Option<Input>,
    /// What the run is doing.
    pub part: LearningPart,
    /// Number of the run; notices with another number are stale.
    pub generation: u64,
    /// The order that the run was started with.
    pub order: Option<Order>,
    /// When the run and its current part began, in milliseconds since the start.
    pub began_ms: (f64, f64),
    /// When the run ended, in milliseconds since the start.
    pub ended_ms: Option<f64>,
    /// Dense recall per task.
    pub dense: Vec<(Task, Dense)>,
    /// Every update.
    pub updates: Vec<Update>,
    /// The current factors, 0 to 1.
    pub factors: Option<Importance>,
    /// The mask that the current factors give at the target.
    pub cut: Option<ChannelMask>,
    /// Validation losses of the stage-1 cut and of the mask that is kept.
    pub validated: Option<(f32, f32)>,
    /// The result.
    pub done: Option<Box<Done>>,
    /// About what a run of the form takes, and the free memory.
    pub estimate: Option<(RunEstimate, Option<u64>)>,
    /// What an estimate was asked for.
    pub estimated_for: Option<LearnExtent>,
    /// Progress notices that were dropped because the channel was full.
    pub dropped: u64,
    /// What was there before the run.
    pub before: Option<Box<Self>>,
}

impl Default for Learning {
    fn default() -> Self {
        Self {
            form: Form::default(),
            field: Field::Haystack,
            typing: None,
            part: LearningPart::Idle,
            generation: 0,
            order: None,
            began_ms: (0.0, 0.0),
            ended_ms: None,
            dense: Vec::new(),
            updates: Vec::new(),
            factors: None,
            cut: None,
            validated: None,
            done: None,
            estimate: None,
            estimated_for: None,
            dropped: 0,
            before: None,
        }
    }
}

impl Learning {
    /// Whether a run is in progress.
    pub fn runs(&self) -> bool {
        matches!(
            self.part,
            LearningPart::Pool(..)
                | LearningPart::Importance
                | LearningPart::Masks
                | LearningPart::Check(_)
        )
    }

    /// The method of the run, or of the next one where there was none.
    pub fn ordered(&self) -> LearnMethod {
        self.order.as_ref().map_or(self.form.method, |order| order.method)
    }

    /// The run was not started after all: what was there before it is there again.
    pub fn take_back(&mut self) {
        if let Some(before) = self.before.take() {
            let (form, generation) = (self.form.clone(), self.generation);
            *self = Self { form, generation, ..*before };
        }
    }

    /// Clears the last run and begins a new one.
    pub fn begin(&mut self, order: Order, now_ms: f64) {
        let (form, field) = (self.form.clone(), self.field);
        let before = Some(Box::new(Self { before: None, ..std::mem::take(self) }));
        let samples = match order.method {
            LearnMethod::Sensitivity => order.windows,
            LearnMethod::Leank => order.pool + VALIDATION,
        };
        *self = Self {
            form,
            field,
            generation: order.generation,
            part: LearningPart::Pool(0, samples),
            order: Some(order),
            began_ms: (now_ms, now_ms),
            before,
            ..Self::default()
        };
    }

    /// Moves on to another part.
    pub fn enter(&mut self, part: LearningPart, now_ms: f64) {
        if std::mem::discriminant(&self.part) != std::mem::discriminant(&part) {
            self.began_ms.1 = now_ms;
        }
        self.part = part;
        if !self.runs() {
            self.ended_ms = Some(now_ms);
        }
    }

    /// Updates of one stage, in order.
    pub fn of(&self, stage: Stage) -> impl Iterator<Item = &Update> {
        self.updates.iter().filter(move |update| update.stage == stage)
    }

    /// Share of the current part that was done since it began here, and share of the whole part.
    /// They differ in a resumed run, which begins in the middle of a part.
    pub fn shares(&self) -> (f64, f64) {
        let stage = |stage: Stage, all: usize| {
            let first = self.of(stage).next().map_or(0, |update| update.step);
            let done = self.of(stage).last().map_or(first, |update| update.step + 1);
            let share = |done: usize, all: usize| done as f64 / all.max(1) as f64;
            (share(done - first, all.saturating_sub(first)), share(done, all))
        };
        let settings = self.order.as_ref().map(|order| &order.settings);
        match &self.part {
            LearningPart::Pool(done, all) => {
                (*done as f64 / (*all).max(1) as f64, *done as f64 / (*all).max(1) as f64)
            }
            LearningPart::Importance => {
                stage(Stage::Importance, settings.map_or(1, |settings| settings.steps))
            }
            LearningPart::Masks => {
                stage(Stage::Mask, settings.map_or(1, |settings| settings.mask_steps))
            }
            LearningPart::Check(share) => (f64::from(*share), f64::from(*share)),
            LearningPart::Done => (1.0, 1.0),
            LearningPart::Idle | LearningPart::Cancelled | LearningPart::Failed(_) => (0.0, 0.0),
        }
    }

    /// Seconds until the current part ends, at its speed so far.
    pub fn left_seconds(&self, now_ms: f64) -> Option<f64> {
        let (share, _) = self.shares();
        (self.runs() && share > 0.0)
            .then(|| (now_ms - self.began_ms.1).max(0.0) / 1e3 * (1.0 - share) / share)
    }

    /// Seconds since the run began, or its total time.
    pub fn seconds(&self, now_ms: f64) -> f64 {
        (self.ended_ms.unwrap_or(now_ms) - self.began_ms.0).max(0.0) / 1e3
    }

    /// The haystack as paths.
    pub fn haystack(&self) -> Vec<PathBuf> {
        let paths = self.form.haystack.split(',').map(str::trim);
        paths.filter(|path| !path.is_empty()).map(PathBuf::from).collect()
    }
}

//! An evaluation as the screen shows it: its settings, its progress, and what came out so far.

use std::path::PathBuf;
use std::sync::Arc;

use tui_input::Input;

use crate::eval::prompt::Protocol;
use crate::eval::recall::RecallTask;
use crate::eval::run::{Figures, Suite};
use crate::eval::worker::{LostSample, own_text};
use crate::mask::CachePlan;
use crate::numbers::{count, parse_tokens};

/// A setting of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvalField {
    /// What is evaluated.
    Suite,
    /// All recall tasks, or one.
    Task,
    /// Longest context.
    Context,
    /// How many lengths: each half as long as the one before.
    Lengths,
    /// Samples of each task and length.
    Samples,
    /// Chunks of each text.
    Chunks,
    /// When the question comes.
    Question,
    /// Seed of all draws.
    Seed,
    /// Texts.
    Text,
    /// Folder of the results.
    Out,
}

impl EvalField {
    /// All fields in the order of the form.
    pub const ALL: [Self; 10] = [
        Self::Suite,
        Self::Task,
        Self::Context,
        Self::Lengths,
        Self::Samples,
        Self::Chunks,
        Self::Question,
        Self::Seed,
        Self::Text,
        Self::Out,
    ];

    /// The name on screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Suite => "suite",
            Self::Task => "tasks",
            Self::Context => "context",
            Self::Lengths => "lengths",
            Self::Samples => "samples",
            Self::Chunks => "chunks",
            Self::Question => "question",
            Self::Seed => "seed",
            Self::Text => "texts",
            Self::Out => "folder",
        }
    }

    /// What it does, for `i`.
    pub fn about(self) -> &'static str {
        match self {
            Self::Suite => "recall asks for facts in long prompts, text measures losses on texts",
            Self::Task => "which recall tasks are asked",
            Self::Context => "the longest prompt in tokens",
            Self::Lengths => "how many lengths, each half as long as the one before",
            Self::Samples => "prompts of each task and length, the same for dense and masks",
            Self::Chunks => "parts of each text that losses are measured over",
            Self::Question => {
                "after the cut: the middle is pruned before the question is read, as in a conversation; in the prompt: it is read with the rest"
            }
            Self::Seed => "decides all prompts: the same seed asks the same",
            Self::Text => {
                "files, folders or fetched texts that losses are measured on; without any all fetched ones, and for the demo, which knows nothing else, generated sentences (`kscope eval` takes the fetched ones there too)"
            }
            Self::Out => "the folder of the results, from which a stopped run goes on",
        }
    }

    /// Whether its value can be typed; those of the others are chosen.
    pub fn is_typed(self) -> bool {
        !matches!(self, Self::Suite | Self::Task | Self::Question)
    }

    /// Whether its value is a text; others change in steps.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Out)
    }

    /// The field `by` rows further down.
    pub fn moved(self, by: isize) -> Self {
        Self::ALL[(self as usize).saturating_add_signed(by).min(Self::ALL.len() - 1)]
    }
}

/// Suites in the order of their field.
const SUITES: [(Suite, &str); 4] = [
    (Suite::Recall, "recall"),
    (Suite::Text, "text"),
    (Suite::Stability, "stability"),
    (Suite::All, "all"),
];

/// Shortest context that can be chosen.
const LEAST_CONTEXT: usize = 256;

const MOST_LENGTHS: usize = 4;
const MOST_SAMPLES: usize = 1000;
const MOST_CHUNKS: usize = 1000;

/// The values of the form.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalForm {
    /// What is evaluated.
    pub suite: Suite,
    /// The recall task; `None` for all.
    pub task: Option<RecallTask>,
    /// Longest context in tokens.
    pub context: usize,
    /// How many lengths.
    pub lengths: usize,
    /// Samples of each task and length.
    pub samples: usize,
    /// Chunks of each text.
    pub chunks: usize,
    /// When the question comes.
    pub protocol: Protocol,
    /// Seed of all draws.
    pub seed: u64,
    /// Files, folders or names of texts; empty for the fetched ones.
    pub text: String,
    /// Folder of the results; empty to keep them on screen only.
    pub out: String,
}

impl Default for EvalForm {
    fn default() -> Self {
        Self {
            suite: Suite::Recall,
            task: None,
            context: 1024,
            lengths: 2,
            samples: 10,
            chunks: 2,
            protocol: Protocol::After,
            seed: 42,
            text: String::new(),
            out: String::new(),
        }
    }
}

/// The element `by` places further on; the ends stop.
fn stepped<T: Copy + PartialEq>(all: &[T], now: T, up: bool) -> T {
    let at = all.iter().position(|one| *one == now).unwrap_or(0);
    all[at.saturating_add_signed(if up { 1 } else { -1 }).min(all.len() - 1)]
}

impl EvalForm {
    /// Contexts in tokens, ascending.
    pub fn ctx(&self, most: usize) -> Vec<usize> {
        let longest = self.context.min(most);
        let mut all: Vec<usize> = (0..self.lengths).map(|halved| longest >> halved).collect();
        all.retain(|ctx| *ctx >= LEAST_CONTEXT.min(longest) / 2);
        all.reverse();
        all
    }

    /// Makes the value of a stepped field smaller or larger; `most` is the model's longest context.
    pub fn step(&mut self, field: EvalField, up: bool, most: usize) {
        let doubled = |value: usize| if up { value * 2 } else { value / 2 };
        let one_more = |value: usize| if up { value + 1 } else { value.saturating_sub(1) };
        match field {
            EvalField::Suite => {
                self.suite = stepped(&SUITES.map(|(suite, _)| suite), self.suite, up)
            }
            EvalField::Task => {
                let tasks: Vec<Option<RecallTask>> =
                    std::iter::once(None).chain(RecallTask::ALL.map(Some)).collect();
                self.task = stepped(&tasks, self.task, up);
            }
            EvalField::Context => {
                self.context = doubled(self.context).clamp(LEAST_CONTEXT.min(most), most)
            }
            EvalField::Lengths => self.lengths = one_more(self.lengths).clamp(1, MOST_LENGTHS),
            EvalField::Samples => self.samples = doubled(self.samples).clamp(1, MOST_SAMPLES),
            EvalField::Chunks => self.chunks = one_more(self.chunks).clamp(1, MOST_CHUNKS),
            EvalField::Question => {
                self.protocol = if up { Protocol::Prompt } else { Protocol::After };
            }
            EvalField::Seed => {
                self.seed =
                    if up { self.seed.saturating_add(1) } else { self.seed.saturating_sub(1) }
            }
            EvalField::Text | EvalField::Out => {}
        }
    }

    /// The first value of a field that is chosen.
    pub fn first(&mut self, field: EvalField) {
        match field {
            EvalField::Suite => self.suite = SUITES[0].0,
            EvalField::Task => self.task = None,
            EvalField::Question => self.protocol = Protocol::After,
            _ => {}
        }
    }

    /// The value of a field as it counts for a model.
    pub fn value_for(&self, field: EvalField, model: &str) -> String {
        match (field, own_text(model)) {
            (EvalField::Text, Some(own)) if self.text.is_empty() => format!("({own})"),
            _ => self.value(field),
        }
    }

    /// The value of a field.
    pub fn value(&self, field: EvalField) -> String {
        match field {
            EvalField::Suite => {
                let known = SUITES.iter().find(|(suite, _)| *suite == self.suite);
                known.map_or("data", |(_, name)| name).to_owned()
            }
            EvalField::Task => self.task.map_or("all", RecallTask::name).to_owned(),
            EvalField::Context => count(self.context),
            EvalField::Lengths => self.lengths.to_string(),
            EvalField::Samples => self.samples.to_string(),
            EvalField::Chunks => format!("{} of a text", self.chunks),
            EvalField::Question => match self.protocol {
                Protocol::After => "after the cut",
                Protocol::Prompt => "in the prompt",
            }
            .to_owned(),
            EvalField::Seed => self.seed.to_string(),
            EvalField::Text if self.text.is_empty() => "(fetched)".to_owned(),
            EvalField::Text => self.text.clone(),
            EvalField::Out if self.out.is_empty() => "(not written)".to_owned(),
            EvalField::Out => self.out.clone(),
        }
    }

    /// The text of a typed field.
    pub fn text_of(&self, field: EvalField) -> String {
        match field {
            EvalField::Out => self.out.clone(),
            EvalField::Text => self.text.clone(),
            EvalField::Context => self.context.to_string(),
            EvalField::Chunks => self.chunks.to_string(),
            other => self.value(other),
        }
    }

    /// Takes what was typed; a number outside its bounds becomes the nearest. `most` is the model's
    /// longest context.
    ///
    /// # Errors
    /// What a number should have been.
    pub fn take(&mut self, field: EvalField, text: &str, most: usize) -> Result<(), String> {
        let number = || {
            let wrong = || format!("{}: expected a number such as 8 or 2k", field.name());
            parse_tokens(text).ok_or_else(wrong)
        };
        match field {
            EvalField::Out => self.out = text.to_owned(),
            EvalField::Text => self.text = text.to_owned(),
            EvalField::Context => self.context = number()?.clamp(LEAST_CONTEXT.min(most), most),
            EvalField::Lengths => self.lengths = number()?.clamp(1, MOST_LENGTHS),
            EvalField::Samples => self.samples = number()?.clamp(1, MOST_SAMPLES),
            EvalField::Chunks => self.chunks = number()?.clamp(1, MOST_CHUNKS),
            EvalField::Seed => self.seed = number()? as u64,
            EvalField::Suite | EvalField::Task | EvalField::Question => {}
        }
        Ok(())
    }

    /// Texts as `kscope eval --text` names them: separated by commas.
    pub fn texts(&self) -> Vec<String> {
        let texts = self.text.split(',').map(str::trim).filter(|text| !text.is_empty());
        texts.map(str::to_owned).collect()
    }

    /// The folder of the results.
    pub fn folder(&self) -> Option<PathBuf> {
        Some(self.out.trim()).filter(|path| !path.is_empty()).map(PathBuf::from)
    }
}

/// What an evaluation is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvalPart {
    /// None was started.
    Idle,
    /// Texts are read and lengths of samples are found.
    Preparing,
    /// Samples: done, all.
    Samples(usize, usize),
    /// It has ended.
    Done,
    /// It was cancelled.
    Cancelled,
    /// It failed, for this reason.
    Failed(String),
}

/// The state of the eval screen.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Settings of the next run.
    pub form: EvalForm,
    /// The selected field.
    pub field: EvalField,
    /// The text of the field that is being typed.
    pub typing: Option<Input>,
    /// What the run is doing.
    pub part: EvalPart,
    /// Number of the run; news with another number are stale.
    pub generation: u64,
    /// What the newest result is of.
    pub newest: String,
    /// Results that were here when the run began.
    pub held: usize,
    /// What is evaluated, by name.
    pub masks: Vec<(String, CachePlan)>,
    /// When the run began, and when its first sample began, in milliseconds since the start.
    pub began_ms: (f64, f64),
    /// When the run ended, in milliseconds since the start.
    pub ended_ms: Option<f64>,
    /// The figures so far.
    pub figures: Option<Arc<Figures>>,
    /// Samples that a mask lost.
    pub lost: Vec<LostSample>,
    /// The selected one.
    pub picked: usize,
    /// First row of the table that is shown.
    pub scroll: usize,
}

impl Default for Evaluation {
    fn default() -> Self {
        Self {
            form: EvalForm::default(),
            field: EvalField::Suite,
            typing: None,
            part: EvalPart::Idle,
            generation: 0,
            newest: String::new(),
            held: 0,
            masks: Vec::new(),
            began_ms: (0.0, 0.0),
            ended_ms: None,
            figures: None,
            lost: Vec::new(),
            picked: 0,
            scroll: 0,
        }
    }
}

impl Evaluation {
    /// Whether a run is in progress.
    pub fn runs(&self) -> bool {
        matches!(self.part, EvalPart::Preparing | EvalPart::Samples(..))
    }

    /// Clears the last run and begins a new one, of these masks.
    pub fn begin(&mut self, generation: u64, masks: Vec<(String, CachePlan)>, now_ms: f64) {
        let (form, field) = (self.form.clone(), self.field);
        *self = Self {
            form,
            field,
            generation,
            masks,
            part: EvalPart::Preparing,
            began_ms: (now_ms, now_ms),
            ..Self::default()
        };
    }

    /// Ends the run.
    pub fn end(&mut self, part: EvalPart, now_ms: f64) {
        self.part = part;
        self.ended_ms = Some(now_ms);
    }

    /// Share of the samples that is done.
    pub fn share(&self) -> f64 {
        match self.part {
            EvalPart::Samples(done, all) => done as f64 / all.max(1) as f64,
            EvalPart::Done => 1.0,
            _ => 0.0,
        }
    }

    /// Seconds until the run ends at the pace of this run's samples.
    pub fn left_seconds(&self, now_ms: f64) -> Option<f64> {
        let EvalPart::Samples(done, all) = self.part else { return None };
        let own = done.checked_sub(self.held).filter(|own| *own > 0)?;
        let each = (now_ms - self.began_ms.1).max(0.0) / 1e3 / own as f64;
        Some(each * all.saturating_sub(done) as f64)
    }

    /// Seconds since the run began, or its total time.
    pub fn seconds(&self, now_ms: f64) -> f64 {
        (self.ended_ms.unwrap_or(now_ms) - self.began_ms.0).max(0.0) / 1e3
    }
}

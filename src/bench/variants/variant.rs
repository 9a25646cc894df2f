//! One way to make masks, as a file says it, and the bytes that masks are cut to.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::learn::data::Task;
use crate::learn::engine::DistillLoss;
use crate::learn::sensitivity::{SENSITIVITY, SensitivitySettings};
use crate::learn::train::{Settings, Variant};
use crate::mask::files::DEFAULT_ALIGN;
use crate::mask::{Needs, Rule, Window};
use crate::model::Model;
use crate::model::config::Config;
use crate::{Error, Result};

/// What all masks of one column are cut to.
#[derive(Debug, Clone, PartialEq)]
pub enum VariantTarget {
    /// The bytes of the first variant's mask, with the first seed, that prunes this share of channels.
    Sparsity(f64),
    /// This share of the bytes of a dense f16 middle.
    Share(f64),
    /// The bytes of this mask.
    File(PathBuf),
}

/// How importance becomes a mask of so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VariantCut {
    /// The channels with the most importance, whatever head they are in.
    Rank,
    /// The least sum of damages, in which a dropped head has a damage of its own. Only from a
    /// sensitivity.
    Damage,
}

/// One way to make masks. What is not given is what `kscope learn` and `kscope score` do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearnVariant {
    /// Its name in the table.
    #[serde(skip_serializing)]
    pub name: String,
    /// `none`, a rule, `sensitivity`, or the path of an importance file.
    pub start: String,
    /// Names or paths of the texts that are looked at or learned from; empty for those of the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<String>,
    /// Windows of text that a rule or a sensitivity looks at.
    pub windows: Option<usize>,
    /// Tokens of such a window.
    pub window_tokens: Option<usize>,
    /// Its last rows that are scored.
    pub rows: Option<usize>,
    /// Tokens drawn from each prediction.
    pub draws: Option<usize>,
    /// Weight of recall prompts beside the text.
    pub recall_weight: Option<f64>,
    /// Recall prompts.
    pub recall_prompts: Option<usize>,
    /// Measurements of the sensitivity on the way to each target; 0 for one at the start alone.
    pub rounds: usize,
    /// Updates of stage 1.
    pub steps: Option<usize>,
    /// Updates of stage 2.
    pub mask_steps: Option<usize>,
    /// Sparsity that stage 1 learns at; every target's own where it is not given.
    pub learn_at: Option<f64>,
    /// Samples to learn from.
    pub pool: usize,
    /// Kinds of samples, taken in turn; empty for the usual ones.
    pub tasks: Vec<Task>,
    /// Shortest and longest context in tokens.
    pub ctx: (usize, usize),
    /// Learning rate of stage 1.
    pub lr: Option<f64>,
    /// Weight of the mean factor in the loss of stage 1.
    pub reg: Option<f64>,
    /// Learning rate of stage 2.
    pub mask_lr: Option<f64>,
    /// Samples whose gradients are averaged in one update of stage 2.
    pub accumulate: Option<usize>,
    /// Factors rounded to bf16.
    pub bf16: bool,
    /// Stage 2 as in the LeanK authors' code.
    pub authors: bool,
    /// What both stages are pulled towards.
    pub loss: DistillLoss,
    /// Kept counts are multiples of this.
    pub align: usize,
    /// Both channels of a rotation pair together.
    pub pair_closed: bool,
    /// How the mask is cut.
    pub cut: Option<VariantCut>,
    /// What the damage of a dropped head is multiplied by before it is weighed against that of channels.
    pub drop_weight: f64,
}

impl Default for LearnVariant {
    fn default() -> Self {
        Self {
            name: String::new(),
            start: "none".to_owned(),
            texts: Vec::new(),
            windows: None,
            window_tokens: None,
            rows: None,
            draws: None,
            recall_weight: None,
            recall_prompts: None,
            rounds: 0,
            steps: None,
            mask_steps: None,
            learn_at: None,
            pool: crate::learn::run::POOL,
            tasks: Vec::new(),
            ctx: (512, 2048),
            lr: None,
            reg: None,
            mask_lr: None,
            accumulate: None,
            bf16: false,
            authors: false,
            loss: DistillLoss::States,
            align: DEFAULT_ALIGN,
            pair_closed: false,
            cut: None,
            drop_weight: 1.0,
        }
    }
}

/// Where a variant begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum LearnFrom {
    /// Every factor is 1.
    Nothing,
    /// The sensitivity: as a rule or, with the damage of dropped heads, as it is.
    Gradient,
    /// A rule that needs no gradient.
    Rule(Rule),
    /// An importance file.
    File(PathBuf),
}

/// Keys that mean something only where text is looked at.
const MEASURED: [&str; 2] = ["windows", "window_tokens"];

/// Keys that mean something only with the gradient.
const OF_GRADIENT: [&str; 5] = ["rows", "draws", "recall_weight", "recall_prompts", "rounds"];

/// Keys that mean something only where something is learned.
const LEARNED: [&str; 11] = [
    "learn_at",
    "pool",
    "tasks",
    "ctx",
    "lr",
    "reg",
    "mask_lr",
    "accumulate",
    "bf16",
    "authors",
    "loss",
];

impl LearnVariant {
    pub(super) fn start(&self) -> LearnFrom {
        match self.start.as_str() {
            "none" => LearnFrom::Nothing,
            SENSITIVITY => LearnFrom::Gradient,
            name => match Rule::named(name) {
                Some(rule) if rule.needs == Needs::Gradient => LearnFrom::Gradient,
                Some(rule) => LearnFrom::Rule(rule),
                None => LearnFrom::File(PathBuf::from(name)),
            },
        }
    }

    /// Updates of both stages at a sparsity.
    fn updates(&self, sparsity: f64) -> (usize, usize) {
        let usual = Settings::for_sparsity(sparsity);
        match self.start() {
            LearnFrom::Nothing => {
                (self.steps.unwrap_or(usual.steps), self.mask_steps.unwrap_or(usual.mask_steps))
            }
            _ => (self.steps.unwrap_or(0), self.mask_steps.unwrap_or(0)),
        }
    }

    /// Whether it makes any update.
    pub(super) fn learns(&self) -> bool {
        self.updates(0.5) != (0, 0)
    }

    /// How its masks are cut.
    pub(super) fn cut(&self) -> VariantCut {
        self.cut.unwrap_or(match self.start == SENSITIVITY && !self.learns() {
            true => VariantCut::Damage,
            false => VariantCut::Rank,
        })
    }

    /// Refuses what contradicts itself. `given` are the keys of the variant's own table.
    pub(super) fn check(&self, given: &[&str]) -> Result<()> {
        let wrong = |what: String| Error::input(format!("variant `{}`: {what}", self.name));
        if self.name.trim().is_empty() {
            return Err(Error::input("a variant has no name: expected `name = \"...\"`"));
        }
        let start = self.start();
        if let LearnFrom::Rule(rule) = start
            && rule.needs == Needs::File
        {
            return Err(wrong(format!(
                "`start = \"{}\"` needs a file: expected its path as the start",
                rule.name
            )));
        }
        let measures = match start {
            LearnFrom::Gradient => true,
            LearnFrom::Rule(rule) => rule.needs == Needs::Text,
            _ => false,
        };
        let idle = |keys: &[&'static str]| keys.iter().copied().find(|key| given.contains(key));
        let misplaced = [
            (measures || self.learns(), &["texts"][..], "no text is looked at"),
            (measures, &MEASURED[..], "no text is looked at to start with"),
            (start == LearnFrom::Gradient, &OF_GRADIENT, "the start is no sensitivity"),
            (self.learns(), &LEARNED, "nothing is learned"),
        ];
        for (applies, keys, why) in misplaced {
            if let Some(key) = idle(keys).filter(|_| !applies) {
                return Err(wrong(format!("`{key}` means nothing where {why}")));
            }
        }
        if start == LearnFrom::Nothing && self.steps == Some(0) {
            return Err(wrong(
                "stage 1 has at least 1 update where nothing is given to start with".to_owned(),
            ));
        }
        if self.rounds > 0 && self.learns() {
            return Err(wrong("`rounds` gives masks and no importance to learn from".to_owned()));
        }
        if self.cut() == VariantCut::Damage && (start != LearnFrom::Gradient || self.learns()) {
            return Err(wrong(
                "`cut = \"damage\"` needs a sensitivity that nothing is learned from".to_owned(),
            ));
        }
        if self.cut() == VariantCut::Damage && self.pair_closed && self.rounds > 0 {
            return Err(wrong("`rounds` does not keep pairs together".to_owned()));
        }
        if self.cut() != VariantCut::Damage && given.contains(&"drop_weight") {
            return Err(wrong(
                "`drop_weight` means nothing where masks are cut by rank".to_owned(),
            ));
        }
        if !(self.drop_weight > 0.0 && self.drop_weight.is_finite()) {
            return Err(wrong(format!(
                "`drop_weight` must be a number above 0, not {}",
                self.drop_weight
            )));
        }
        // Before results are looked up: their keys are JSON, which has no such numbers.
        if let Some(weight) = self.recall_weight.filter(|w| !(*w >= 0.0 && w.is_finite())) {
            return Err(wrong(format!(
                "`recall_weight` must be a number of at least 0, not {weight}"
            )));
        }
        for (key, empty) in [("texts", self.texts.is_empty()), ("tasks", self.tasks.is_empty())] {
            if empty && given.contains(&key) {
                return Err(wrong(format!("`{key}` is empty: expected at least one")));
            }
        }
        for (key, value) in [("windows", self.windows), ("pool", Some(self.pool))] {
            if value == Some(0) {
                return Err(wrong(format!("`{key}` must be at least 1, not 0")));
            }
        }
        if let Some(sparsity) = self.learn_at.filter(|s| !(*s > 0.0 && *s < 1.0)) {
            return Err(wrong(format!("`learn_at` must lie between 0 and 1, not {sparsity}")));
        }
        if self.ctx.0 == 0 || self.ctx.0 > self.ctx.1 {
            return Err(wrong(format!(
                "`ctx` is the shortest and the longest context, not {} and {}",
                self.ctx.0, self.ctx.1
            )));
        }
        let settings = self.settings(self.learn_at.unwrap_or(0.5), Window::default(), 0);
        settings.check().map_err(|error| wrong(error.to_string()))
    }

    /// The settings of a learning.
    pub(super) fn settings(&self, sparsity: f64, window: Window, seed: u64) -> Settings {
        let usual = Settings::for_sparsity(sparsity);
        let (steps, mask_steps) = self.updates(sparsity);
        Settings {
            align: self.align,
            window,
            seed,
            steps,
            lr: self.lr.unwrap_or(usual.lr),
            reg: self.reg.unwrap_or(usual.reg),
            mask_steps,
            accumulate: self.accumulate.unwrap_or(usual.accumulate),
            mask_lr: self.mask_lr.unwrap_or(usual.mask_lr),
            variant: Variant {
                pair_closed: self.pair_closed,
                bf16: self.bf16,
                authors: self.authors,
                loss: self.loss,
            },
            ..usual
        }
    }

    /// What a measurement of the sensitivity looks at.
    pub(super) fn measurement(
        &self,
        config: &Config,
        window: Window,
        seed: u64,
    ) -> SensitivitySettings {
        let usual = SensitivitySettings::new(config);
        SensitivitySettings {
            window,
            windows: self.windows.unwrap_or(usual.windows),
            window_tokens: self.window_tokens.unwrap_or(usual.window_tokens),
            rows: self.rows.unwrap_or(usual.rows),
            draws: self.draws.unwrap_or(usual.draws),
            seed,
            recall_samples: self.recall_prompts.unwrap_or(usual.recall_samples),
            recall_weight: self.recall_weight.unwrap_or(usual.recall_weight),
        }
    }

    /// The kinds of samples to learn from.
    pub(super) fn tasks(&self, model: &Model) -> Vec<Task> {
        match self.tasks.is_empty() {
            true => crate::learn::run::default_tasks(model),
            false => self.tasks.clone(),
        }
    }
}

//! The form of a learning run: its fields, their values, and how they are stepped and typed.

use crate::learn::run::{CHECK_PROMPTS, LearnMethod, MOST_WINDOWS, POOL, WINDOWS};
use crate::learn::train::Settings;
use crate::mask::Window;
use crate::mask::select::ALIGNMENTS;
use crate::numbers::{self, count};

/// A setting of a learning run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Text to learn from.
    Haystack,
    /// How channels are chosen.
    Method,
    /// Share of channels to prune.
    Sparsity,
    /// Multiple of kept counts.
    Align,
    /// Longest context.
    Context,
    /// Windows of text that a sensitivity is measured on.
    Windows,
    /// Samples to learn from.
    Pool,
    /// Updates of stage 1.
    Steps,
    /// Seed of data and order.
    Seed,
    /// Prompts of the check.
    Check,
    /// File that the mask is written to.
    Out,
}

impl Field {
    /// All fields in the order of the form.
    pub const ALL: [Self; 11] = [
        Self::Haystack,
        Self::Method,
        Self::Sparsity,
        Self::Align,
        Self::Context,
        Self::Windows,
        Self::Pool,
        Self::Steps,
        Self::Seed,
        Self::Check,
        Self::Out,
    ];

    /// The most fields that a method has: what is below the form stays where it is.
    pub const MOST: usize = 10;

    /// The fields of a method in the order of the form.
    pub fn of(method: LearnMethod) -> Vec<Self> {
        let other = match method {
            LearnMethod::Sensitivity => &[Self::Pool, Self::Steps][..],
            LearnMethod::Leank => &[Self::Windows],
        };
        Self::ALL.into_iter().filter(|field| !other.contains(field)).collect()
    }

    /// The name on screen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Haystack => "haystack",
            Self::Method => "method",
            Self::Sparsity => "sparsity",
            Self::Align => "align",
            Self::Context => "context",
            Self::Windows => "windows",
            Self::Pool => "pool",
            Self::Steps => "steps",
            Self::Seed => "seed",
            Self::Check => "check",
            Self::Out => "out",
        }
    }

    /// Whether its value is a text, which has no steps.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Haystack | Self::Out)
    }

    /// What it does, for `i`.
    pub fn about(self) -> &'static str {
        match self {
            Self::Haystack => {
                "the text that is looked at and in which the facts that are asked for are hidden: files and folders, separated by commas"
            }
            Self::Method => {
                "sensitivity: what leaving a channel or a head out is predicted to cost, from one backward pass; leank: the paper's way, factors learned in many updates"
            }
            Self::Sparsity => "the share of K channels that the mask drops in the middle tokens",
            Self::Align => "kept channels of a head come in multiples of this",
            Self::Context => {
                "the longest prompt that is looked at or asked; the shortest has a quarter of it"
            }
            Self::Windows => {
                "how many windows of the text the sensitivity is measured on, with eight recall prompts beside them"
            }
            Self::Pool => "how many prompts are prefilled once and then learned from",
            Self::Steps => {
                "updates of stage 1; without a number of its own it follows from the sparsity"
            }
            Self::Seed => "decides the prompts and their order: the same seed learns the same mask",
            Self::Check => {
                "prompts of seven questions each, on text that was not learned from, for the verdict; none, no verdict"
            }
            Self::Out => "the file that the mask is written to",
        }
    }

    /// The field of a method's form `by` rows further down.
    pub fn moved(self, method: LearnMethod, by: isize) -> Self {
        let fields = Self::of(method);
        let at = fields.iter().position(|field| *field == self).unwrap_or(0);
        fields[at.saturating_add_signed(by).min(fields.len() - 1)]
    }
}

/// What the time and the memory of a run depend on.
pub type LearnExtent = (LearnMethod, [usize; 5]);

/// The values of the form.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    /// Text files and folders of them, separated by commas; empty for the fetched texts, or generated sentences where there are none.
    pub haystack: String,
    /// How channels are chosen.
    pub method: LearnMethod,
    /// Hundredths of channels to prune.
    pub percent: u32,
    /// Multiple of kept counts.
    pub align: usize,
    /// Longest context in tokens; the shortest is a quarter of it.
    pub context: usize,
    /// Windows of text that a sensitivity is measured on.
    pub windows: usize,
    /// Samples to learn from.
    pub pool: usize,
    /// Updates of stage 1; `None` derives them from the sparsity.
    pub steps: Option<usize>,
    /// Seed of data and order.
    pub seed: u64,
    /// Prompts of the check.
    pub check: usize,
    /// File that the mask is written to.
    pub out: String,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            haystack: String::new(),
            method: LearnMethod::default(),
            percent: 70,
            align: crate::mask::files::DEFAULT_ALIGN,
            context: 2048,
            windows: WINDOWS,
            pool: POOL,
            steps: None,
            seed: 0,
            check: CHECK_PROMPTS,
            out: "learned.safetensors".to_owned(),
        }
    }
}

impl Form {
    /// The training that the form describes, with the session's window.
    pub fn settings(&self, window: Window) -> Settings {
        let base = Settings::for_sparsity(f64::from(self.percent) / 100.0);
        Settings {
            align: self.align,
            window,
            seed: self.seed,
            steps: self.steps.unwrap_or(base.steps),
            ..base
        }
    }

    /// What the time and the memory of a run depend on.
    pub fn extent(&self) -> LearnExtent {
        let own = match self.method {
            LearnMethod::Sensitivity => [self.windows, 0],
            LearnMethod::Leank => [self.pool, self.steps.unwrap_or_default()],
        };
        (self.method, [self.percent as usize, self.context, own[0], own[1], self.check])
    }

    /// Shortest and longest context in tokens.
    pub fn lengths(&self) -> (usize, usize) {
        (self.context / 4, self.context)
    }

    /// Makes the value of a stepped field smaller or larger; `most` is the model's longest context.
    pub fn step(&mut self, field: Field, up: bool, most: usize) {
        let doubled = |value: usize| if up { value * 2 } else { value / 2 };
        match field {
            Field::Sparsity => {
                self.percent = if up { self.percent + 5 } else { self.percent - 5 }.clamp(5, 95)
            }
            Field::Align => {
                let at = ALIGNMENTS.iter().position(|align| *align == self.align).unwrap_or(0);
                self.align = ALIGNMENTS
                    [at.saturating_add_signed(if up { 1 } else { -1 }).min(ALIGNMENTS.len() - 1)];
            }
            Field::Context => {
                self.context = doubled(self.context).clamp(LEAST_CONTEXT.min(most), most)
            }
            Field::Method => {
                self.method = match self.method {
                    LearnMethod::Sensitivity => LearnMethod::Leank,
                    LearnMethod::Leank => LearnMethod::Sensitivity,
                }
            }
            Field::Windows => self.windows = doubled(self.windows).clamp(1, MOST_WINDOWS),
            Field::Pool => self.pool = doubled(self.pool).clamp(3, 768),
            Field::Steps => {
                let auto = Settings::for_sparsity(f64::from(self.percent) / 100.0).steps;
                let now = self.steps.unwrap_or(auto);
                let next = if up { now + 10 } else { now.saturating_sub(10).max(10) };
                self.steps = (next != auto).then_some(next);
            }
            Field::Seed => {
                self.seed =
                    if up { self.seed.saturating_add(1) } else { self.seed.saturating_sub(1) }
            }
            Field::Check => {
                self.check =
                    if up { self.check + 10 } else { self.check.saturating_sub(10) }.min(1000)
            }
            Field::Haystack | Field::Out => {}
        }
    }

    /// The text that a field's editor begins with.
    pub fn text_of(&self, field: Field) -> String {
        match field {
            Field::Haystack => self.haystack.clone(),
            Field::Out => self.out.clone(),
            Field::Method => self.method.name().to_owned(),
            Field::Sparsity => self.percent.to_string(),
            Field::Align => self.align.to_string(),
            Field::Context => self.context.to_string(),
            Field::Windows => self.windows.to_string(),
            Field::Pool => self.pool.to_string(),
            Field::Steps => self.steps.map_or_else(String::new, |steps| steps.to_string()),
            Field::Seed => self.seed.to_string(),
            Field::Check => self.check.to_string(),
        }
    }

    /// Takes a typed value; `most` is the model's longest context.
    ///
    /// # Errors
    /// One sentence: what the field expects and what was typed. The value then stays.
    pub fn set(&mut self, field: Field, typed: &str, most: usize) -> Result<(), String> {
        let number = |low: usize, high: usize| {
            let found = numbers::parse_tokens(typed.trim_end_matches('%').trim());
            found.filter(|number| (low..=high).contains(number)).ok_or_else(|| {
                format!(
                    "{}: expected a number from {} to {}, found `{typed}`",
                    field.name(),
                    count(low),
                    count(high)
                )
            })
        };
        match field {
            Field::Haystack => self.haystack = typed.to_owned(),
            Field::Out => self.out = typed.to_owned(),
            Field::Method => {
                let found = LearnMethod::ALL.into_iter().find(|method| method.name() == typed);
                self.method = found.ok_or_else(|| {
                    format!("method: expected sensitivity or leank, found `{typed}`")
                })?;
            }
            Field::Sparsity => self.percent = number(1, 99)? as u32,
            Field::Align => {
                let align = number(1, 32)?;
                if !ALIGNMENTS.contains(&align) {
                    return Err(format!(
                        "align: expected one of 1, 2, 4, 8, 16, 32, found `{typed}`"
                    ));
                }
                self.align = align;
            }
            Field::Context => self.context = number(LEAST_CONTEXT.min(most), most)?,
            Field::Windows => self.windows = number(1, MOST_WINDOWS)?,
            Field::Pool => self.pool = number(3, 768)?,
            Field::Steps if typed.is_empty() => self.steps = None,
            Field::Steps => self.steps = Some(number(10, 100_000)?),
            Field::Seed => {
                self.seed = typed
                    .parse()
                    .map_err(|_| format!("seed: expected a whole number, found `{typed}`"))?;
            }
            Field::Check => self.check = number(0, 1000)?,
        }
        Ok(())
    }

    /// The value of a field, and an explanation where the value alone does not say what it means.
    pub fn value(&self, field: Field) -> (String, String) {
        let plain = |value: String| (value, String::new());
        match field {
            Field::Haystack if self.haystack.is_empty() => plain("default texts".to_owned()),
            Field::Haystack => plain(self.haystack.clone()),
            Field::Method if self.method == LearnMethod::Leank => {
                (self.method.name().to_owned(), "the paper's".to_owned())
            }
            Field::Method => plain(self.method.name().to_owned()),
            Field::Sparsity => (format!("{} %", self.percent), "of K channels".to_owned()),
            Field::Align => (self.align.to_string(), "channels".to_owned()),
            Field::Context => (count(self.context), format!("from {}", count(self.lengths().0))),
            Field::Windows => (self.windows.to_string(), "of text".to_owned()),
            Field::Pool => (self.pool.to_string(), "prefills".to_owned()),
            Field::Steps => match self.steps {
                Some(steps) => plain(steps.to_string()),
                None => {
                    let steps = Settings::for_sparsity(f64::from(self.percent) / 100.0).steps;
                    (steps.to_string(), "by sparsity".to_owned())
                }
            },
            Field::Seed => plain(self.seed.to_string()),
            Field::Check if self.check == 0 => (0.to_string(), "no verdict".to_owned()),
            Field::Check => (self.check.to_string(), "prompts of 7".to_owned()),
            Field::Out => plain(self.out.clone()),
        }
    }
}

/// Smallest value of the longest context: a quarter of it is the minimum of `kscope learn`.
const LEAST_CONTEXT: usize = 256;

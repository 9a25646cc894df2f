//! The knobs of the screen and what they are set to.

use tui_input::Input;

/// One knob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knob {
    /// The loaded model, or a published shape.
    Model,
    /// What the middle of the cache stores.
    Stored,
    /// Tokens of each sequence.
    Context,
    /// Sequences decoded together.
    Batch,
    /// The GPU.
    Gpu,
    /// GPUs that serve one copy of the model together.
    Shared,
    /// Dollars for an hour of the GPU.
    Price,
    /// Share of the bandwidth that a step reaches.
    Reach,
    /// Requests a day.
    Requests,
    /// Tokens of a prompt.
    TokensIn,
    /// Tokens of an answer.
    TokensOut,
    /// Hours of the integration.
    Hours,
    /// Dollars for each of them.
    Rate,
}

impl Knob {
    /// All knobs, from top to bottom.
    pub const ALL: [Self; 13] = [
        Self::Model,
        Self::Stored,
        Self::Context,
        Self::Batch,
        Self::Gpu,
        Self::Shared,
        Self::Price,
        Self::Reach,
        Self::Requests,
        Self::TokensIn,
        Self::TokensOut,
        Self::Hours,
        Self::Rate,
    ];

    /// The knob `by` rows further down.
    pub fn moved(self, by: isize) -> Self {
        Self::ALL[(self as usize).saturating_add_signed(by).min(Self::ALL.len() - 1)]
    }

    /// What it does, for `i`.
    pub fn about(self) -> &'static str {
        match self {
            Self::Model => "the loaded model or a published shape",
            Self::Stored => "what the middle of the K/V cache keeps",
            Self::Context => "tokens that each sequence holds in the cache",
            Self::Batch => "sequences that are decoded together",
            Self::Gpu => "the GPU that serves it",
            Self::Shared => "how many GPUs share one copy of the model",
            Self::Price => "what an hour of one GPU costs, with the day of the price",
            Self::Reach => "the share of the GPU's memory bandwidth that a decode step reaches",
            Self::Requests => "requests that have to be served in a day",
            Self::TokensIn => "tokens of a prompt",
            Self::TokensOut => "tokens of an answer",
            Self::Hours => "hours of work that bringing the mask into service takes",
            Self::Rate => "what an hour of that work costs",
        }
    }

    /// The name at the left.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Stored => "stored",
            Self::Context => "context",
            Self::Batch => "sequences",
            Self::Gpu => "GPU",
            Self::Shared => "GPUs/model",
            Self::Price => "$/hour",
            Self::Reach => "reach",
            Self::Requests => "requests/day",
            Self::TokensIn => "tokens in",
            Self::TokensOut => "tokens out",
            Self::Hours => "hours",
            Self::Rate => "work $/hour",
        }
    }
}

/// What the knobs are set to. Models, GPUs and what is stored are indices into their lists.
#[derive(Debug, Clone)]
pub struct Planning {
    /// The selected knob.
    pub knob: Knob,
    /// 0 is the loaded model, the others are [`models`](super::knobs::models).
    pub model: usize,
    /// What is stored: 0 is the loaded model's own mask or plan, where it has one.
    pub stored: usize,
    /// Tokens of each sequence; at most the model's own context counts.
    pub ctx: usize,
    /// Sequences.
    pub batch: usize,
    /// Index into the shipped GPUs.
    pub gpu: usize,
    /// GPUs that share a model.
    pub shared: usize,
    /// Cents for an hour of the GPU; `None` is the list price.
    pub cents: Option<u32>,
    /// Reached bandwidth, percent.
    pub reach: u32,
    /// Requests a day.
    pub requests: usize,
    /// Tokens of a prompt.
    pub tokens_in: usize,
    /// Tokens of an answer.
    pub tokens_out: usize,
    /// Hours of the integration.
    pub hours: usize,
    /// Dollars for each of them.
    pub rate: usize,
    /// What is typed for the selected knob.
    pub typing: Option<Input>,
    /// On a small screen: settings that fit and assumptions in place of the answers.
    pub more: bool,
}

impl Default for Planning {
    fn default() -> Self {
        Self {
            knob: Knob::Context,
            model: 0,
            stored: 0,
            ctx: 32 << 10,
            batch: 16,
            gpu: 0,
            shared: 1,
            cents: None,
            reach: 85,
            requests: 50_000,
            tokens_in: 8_192,
            tokens_out: 512,
            hours: 80,
            rate: 120,
            typing: None,
            more: false,
        }
    }
}

//! The engine's events. They are plain data, so that a recording is a file of events.

mod figures;

pub use figures::{
    Bandwidth, HeadDetail, Live, Measured, Memory, StepMs, Subject, Timed, weakness,
};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::widths;
use crate::cache::{CacheBytes, Sight};
use crate::decode::attended::Attended;
use crate::decode::comparison::Mode;
use crate::decode::divergence::StepDivergence;
use crate::decode::lost::Lost;
use crate::decode::sampler::Sampling;
use crate::decode::session::Finish;
use crate::element::Dtype;
use crate::mask::files::{self, MaskFile};
use crate::mask::{CachePlan, ChannelMask, Rule, Sensitivity, Shape, Window};
use crate::model::additions::{Additions, LayerKind};
use crate::model::served::ServedModel;

/// An event with its run and time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The run that sent it; 0 before the first.
    pub generation: u64,
    /// Milliseconds since the engine began.
    pub at_ms: f64,
    /// Statistics dropped so far because the channel was full. Tokens and states always arrive.
    pub dropped: u64,
    /// What happened.
    pub event: Event,
}

/// The kinds of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Share of the weights that is read, 0 to 1.
    Loading(f32),
    /// The model is ready.
    Loaded(Box<ModelInfo>),
    /// Share of the prompt that is done, 0 to 1.
    Prefill(f32),
    /// The prompt is in the cache and the first token is chosen.
    Started(Box<Started>),
    /// Another turn of the conversation is in the cache, and the first token of its answer comes.
    Turn(Box<Turn>),
    /// Importance by the training-free rules, gathered over the prompt.
    Rules(Box<Rules>),
    /// One more generated token.
    Token(Box<Token>),
    /// The same step on both sides.
    Pair(Box<Pair>),
    /// The pruned side has another mask or window.
    Retuned(Box<Retuned>),
    /// A request cannot be fulfilled; nothing has changed.
    Refused {
        /// The request.
        wish: Wish,
        /// The reason, in one sentence.
        sentence: String,
    },
    /// A mask was measured.
    Measured(Box<Measured>),
    /// Both sides were timed, each alone.
    Timed(Box<Timed>),
    /// The pruned side is fed these tokens from now on.
    Fed(Mode),
    /// The next tokens are chosen so, and end tokens treated so.
    WentOn {
        /// How tokens are chosen.
        sampling: Sampling,
        /// Whether end tokens are tokens like any other.
        ignore_end: bool,
    },
    /// The run went back to this many generated tokens.
    Rewound(usize),
    /// The loss of one step.
    Lost(Box<Lost>),
    /// The attention of one step in one query head.
    Attended(Box<Attended>),
    /// Live importance.
    Live(Box<Live>),
    /// Detail of the watched head.
    Head(Box<HeadDetail>),
    /// Memory as the system and the allocator see it.
    Memory(Memory),
    /// How fast the machine reads memory, measured while decode waited.
    Bandwidth(Box<Bandwidth>),
    /// Decode is paused.
    Paused,
    /// Decode goes on after a pause.
    Resumed,
    /// The run ended.
    Finished(Finish),
    /// The run cannot continue, or, before the first one, the program.
    Failed {
        /// The reason, in one sentence.
        sentence: String,
        /// The exit code of the failure.
        code: u8,
    },
    /// The engine's thread has panicked and ended.
    Panicked(String),
}

/// The model and the settings of its cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The model's name.
    pub name: String,
    /// Name of the architecture.
    pub architecture: String,
    /// The device that it runs on.
    pub device: String,
    /// The types of the weights in memory.
    pub dtype: String,
    /// Bytes of the weights in memory.
    pub weight_bytes: u64,
    /// Layers, KV heads, channels.
    pub shape: Shape,
    /// Query heads per layer.
    pub heads: usize,
    /// Number of weights.
    pub parameters: u64,
    /// Largest context of the model in tokens.
    pub max_context: usize,
    /// Largest context of the session in tokens.
    pub context: usize,
    /// Tokens per full turn of each rotation pair, fastest first; 0 for pairs that do not rotate.
    pub wavelengths: Vec<f64>,
    /// What each layer is; empty where all are alike.
    #[serde(default)]
    pub kinds: Vec<LayerKind>,
    /// Element type of the cache.
    pub kv_dtype: Dtype,
    /// The mask of the session; `None` is dense decode.
    pub mask: Option<MaskInfo>,
    /// A second mask, to compare with.
    pub other: Option<MaskInfo>,
    /// Sink, recent and chunk.
    pub window: Window,
    /// Whether the pruned side runs alone, without a dense cache.
    #[serde(default)]
    pub solo: bool,
    /// Which tokens the pruned side is fed.
    #[serde(default)]
    pub feed: Mode,
    /// What a mask for this model is bound to.
    #[serde(default)]
    pub fingerprint: String,
    /// What every width is predicted to cost, where a file says it. Recordings leave it out.
    #[serde(skip)]
    pub sensitivity: Option<Arc<Sensitivity>>,
    /// The model as a server holds it. Recordings leave it out.
    #[serde(skip)]
    pub served: Option<ServedModel>,
    /// Warnings to show, one sentence each.
    pub warnings: Vec<String>,
}

impl ModelInfo {
    /// What a layer is.
    pub fn kind(&self, layer: usize) -> LayerKind {
        self.kinds.get(layer).copied().unwrap_or_default()
    }

    /// How far the layers look back.
    pub fn sight(&self) -> Arc<Sight> {
        Arc::new(Additions { kinds: self.kinds.clone(), ..Additions::default() }.sight())
    }
}

/// A cache plan and where it comes from. A channel mask is a plan of 16 and 0 bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskInfo {
    /// Its name on screen.
    pub label: String,
    /// Bits of every K channel and of every head's V. Recordings call it `mask`.
    #[serde(rename = "mask", with = "widths")]
    pub plan: CachePlan,
    /// The importance that it was selected from, row-major.
    pub importance: Option<Vec<f32>>,
    /// The name of that importance: `learned`, `key norm`, ...
    pub rule: String,
    /// Kept counts come in multiples of this.
    pub align: usize,
    /// The sparsity asked for, before alignment.
    pub sparsity: Option<f64>,
}

impl MaskInfo {
    /// A plan that is known by its name.
    pub fn named(name: &str, plan: CachePlan) -> Self {
        Self {
            label: name.to_owned(),
            plan,
            importance: None,
            rule: "named".to_owned(),
            align: files::DEFAULT_ALIGN,
            sparsity: None,
        }
    }

    /// The K channels that store something, at whatever width.
    pub fn mask(&self) -> &ChannelMask {
        self.plan.mask()
    }

    /// The mask of the file at `path`; its label is the file's name.
    pub fn of_file(file: MaskFile, path: &Path) -> Self {
        let rule = file
            .origin
            .recipe
            .get("rule")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("file")
            .to_owned();
        Self {
            label: path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            plan: file.plan.clone(),
            importance: file.importance.map(|importance| importance.scores().to_vec()),
            rule,
            align: file.origin.align,
            sparsity: file.target_sparsity,
        }
    }
}

/// The beginning of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// The prompt as text, where the model has a tokenizer.
    pub prompt: String,
    /// Its tokens.
    pub prompt_tokens: usize,
    /// Most tokens to generate.
    pub max_new: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Time of the prefill, milliseconds: of the one that read this prompt, where it is kept.
    pub prefill_ms: f64,
    /// Time from the start of that prefill to its first token, milliseconds.
    pub ttft_ms: f64,
    /// Whether the prompt was kept from a run before, so that nothing was read again.
    #[serde(default)]
    pub kept: bool,
}

/// Another turn of the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Tokens generated before it, in all answers; the first token of its answer is the next.
    pub from: usize,
    /// The message.
    pub text: String,
    /// Tokens that were read for it on the pruned side.
    pub tokens: usize,
    /// Time to read it on all sides, in milliseconds.
    pub ms: f64,
    /// Why the whole conversation was read again, where it was.
    pub again: Option<String>,
}

/// Importance by the rules that need a text, gathered over the prompt, row-major.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Scores by the rule's name, with `_` for `-`.
    #[serde(flatten)]
    scores: BTreeMap<String, Vec<f32>>,
}

impl Rules {
    /// Takes pairs of a rule and its scores.
    pub fn new(scores: impl IntoIterator<Item = (Rule, Vec<f32>)>) -> Self {
        Self {
            scores: scores.into_iter().map(|(rule, scores)| (Self::key(rule), scores)).collect(),
        }
    }

    /// The scores of a rule, if there are any.
    pub fn scores(&self, rule: Rule) -> Option<&[f32]> {
        self.scores.get(&Self::key(rule)).map(Vec::as_slice)
    }

    fn key(rule: Rule) -> String {
        rule.name.replace('-', "_")
    }
}

/// A decode step's token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Tokens generated so far, this one included.
    pub n: usize,
    /// Id of the token.
    pub id: u32,
    /// Text that this token completes.
    pub text: String,
    /// Its name, where it is no text: a special token, or an end token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special: Option<String>,
    /// Natural log-probability at temperature 1.
    pub logprob: f32,
    /// Tokens in the cache.
    pub cached: usize,
    /// Bytes of the cache now.
    pub kv: CacheBytes,
    /// Time of the step; `None` for the first token, which the prefill gives.
    pub step: Option<StepMs>,
}

/// A request that can be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// The change of the mask with this number.
    Retune(u64),
    /// A change of the tokens that the pruned side is fed.
    Feed,
    /// A rewind.
    Rewind,
    /// A sweep.
    Sweep,
    /// A timed run.
    Time,
    /// The question what a step lost.
    Explain,
    /// Another turn of the conversation.
    Ask,
    /// The attention of steps.
    Attend,
    /// A measurement of the bandwidth.
    Bandwidth,
    /// Other sampling, or to go on past an end token.
    GoOn,
}

/// What is said of another turn where no run is at hand.
pub const NO_ANSWER: &str = "there is no answer to go on from";

/// What is said of a token before the last turn.
pub const EARLIER_TURN: &str = "belongs to an earlier turn, which stands";

/// One step on both sides. After one side has ended the other one continues alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Tokens generated so far, this one included.
    pub n: usize,
    /// The dense side.
    pub a: Option<Voice>,
    /// The pruned side.
    pub b: Option<Voice>,
    /// How far they are apart; missing for the first token, and in free mode once the texts differ.
    pub divergence: Option<StepDivergence>,
}

/// One side's part of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Voice {
    /// The token that goes into this side's text.
    pub id: u32,
    /// Text that this token completes.
    pub text: String,
    /// Its name, where it is no text: a special token, or an end token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special: Option<String>,
    /// This side's own compute time; `None` for the first token.
    pub ms: Option<f64>,
    /// Bytes of this side's cache.
    pub kv: usize,
    /// This side's likeliest tokens, likeliest first.
    pub top: Vec<Likely>,
}

impl Voice {
    /// What stands for the token on a screen: its text, or its name where it is no text.
    pub fn shown(&self) -> &str {
        self.special.as_deref().unwrap_or(&self.text)
    }
}

/// A token with its probability at temperature 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Likely {
    /// Id of the token.
    pub id: u32,
    /// Text of the token.
    pub text: String,
    /// Probability.
    pub p: f32,
}

/// A change of the pruned side's mask or window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retuned {
    /// Number of the change.
    pub revision: u64,
    /// The mask.
    pub mask: MaskInfo,
    /// Sink, recent and chunk.
    pub window: Window,
    /// Generated tokens when the change took effect; `None` where no run was in progress.
    pub from: Option<usize>,
    /// Time to build the new cache, in milliseconds.
    pub ms: f64,
}

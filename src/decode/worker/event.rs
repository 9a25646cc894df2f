//! What the engine is told and what it tells: plain data, so that a recording is a file of events.

use serde::{Deserialize, Serialize};

use crate::cache::CacheBytes;
use crate::decode::sampler::Sampling;
use crate::decode::session::Finish;
use crate::machine::DeviceMemory;
use crate::mask::{ChannelMask, Shape, Window};

/// What the engine is told to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Drop the run at hand and begin this one.
    Start(Box<Start>),
    /// Stop after the step at hand.
    Pause,
    /// Go on.
    Resume,
    /// Make this many steps, then pause.
    Step(u32),
    /// Tell the live detail of this head.
    Watch {
        /// Layer.
        layer: usize,
        /// KV head.
        head: usize,
    },
    /// End the thread.
    Shutdown,
}

/// A run to begin.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Number of the run; its events carry it.
    pub generation: u64,
    /// What to send to the model.
    pub prompt: Prompt,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to generate.
    pub max_new: usize,
}

/// What to send to the model.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// Text, in the model's chat template unless it is `raw`.
    Text {
        /// The text.
        text: String,
        /// Send it as it is.
        raw: bool,
    },
    /// A text with hidden facts and a question about one, sent as it is; end tokens do not end the run, so the model goes on asking
    /// and answering.
    Facts {
        /// The text.
        text: String,
    },
    /// Token ids.
    Tokens(Vec<u32>),
}

/// An event with its run and time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The run that made it; 0 before the first.
    pub generation: u64,
    /// Milliseconds since the engine began.
    pub at_ms: f64,
    /// Statistics that found no room in the channel so far. Tokens and states always arrive.
    pub dropped: u64,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Weights read, 0 to 1.
    Loading(f32),
    /// The model is ready.
    Loaded(Box<ModelInfo>),
    /// Prompt done, 0 to 1.
    Prefill(f32),
    /// The prompt is in the cache and the first token is chosen.
    Started(Box<Started>),
    /// Importance by the training-free rules, gathered over the prompt.
    Rules(Box<Rules>),
    /// One more token.
    Token(Box<Token>),
    /// Live importance.
    Live(Box<Live>),
    /// The watched head.
    Head(Box<HeadDetail>),
    /// Memory as the system and the allocator see it.
    Memory(Memory),
    /// Decode stands still until told otherwise.
    Paused,
    /// Decode goes on.
    Resumed,
    /// The run ended.
    Finished(Finish),
    /// The run, or before the first one the program, cannot go on.
    Failed {
        /// Why, in one sentence.
        sentence: String,
        /// The exit code that the failure stands for.
        code: u8,
    },
    /// The engine ran into a bug and is gone.
    Panicked(String),
}

/// The model and what its cache is built to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// What the model calls itself.
    pub name: String,
    /// Decoder family.
    pub architecture: String,
    /// Where it computes.
    pub device: String,
    /// Element type of the weights in memory.
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
    /// Tokens per full turn of each rotation pair, fast to slow.
    pub wavelengths: Vec<f64>,
    /// Element type of the cache.
    pub kv_dtype: String,
    /// The mask of the session; `None` is dense decode.
    pub mask: Option<MaskInfo>,
    /// A second mask, to compare with.
    pub other: Option<MaskInfo>,
    /// Sink, recent and chunk.
    pub window: Window,
    /// Sentences to show.
    pub warnings: Vec<String>,
}

/// A channel mask with what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskInfo {
    /// What it is called on screen.
    pub label: String,
    /// The kept channels.
    #[serde(with = "bits")]
    pub mask: ChannelMask,
    /// What the mask was selected from, row-major.
    pub importance: Option<Vec<f32>>,
    /// What that importance is called: `learned`, `key norm`, ...
    pub rule: String,
    /// Kept counts come in multiples of this.
    pub align: usize,
    /// The sparsity asked for, before alignment.
    pub sparsity: Option<f64>,
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
    /// Time of the prefill.
    pub prefill_ms: f64,
    /// Time from the start to the first token.
    pub ttft_ms: f64,
}

/// Importance by rules that need no training, row-major.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Mean k².
    pub key_norm: Vec<f32>,
    /// Mean q² times mean k².
    pub think: Vec<f32>,
}

/// A decode step's token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Tokens generated so far, this one included.
    pub n: usize,
    /// Id.
    pub id: u32,
    /// Text that became certain with it.
    pub text: String,
    /// Natural log-probability at temperature 1.
    pub logprob: f32,
    /// Tokens in the cache.
    pub cached: usize,
    /// Bytes of the cache as it is.
    pub kv: CacheBytes,
    /// Time of the step; `None` for the first token, which the prefill gives.
    pub step: Option<StepMs>,
}

/// Milliseconds of a step by part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct StepMs {
    /// The whole step with sampling, by the session's clock.
    pub total: f64,
    /// Attention over the cache.
    pub attention: f64,
    /// Linear layers.
    pub projections: f64,
    /// Output projection.
    pub logits: f64,
    /// Norms, rotation, appending.
    pub rest: f64,
}

/// Mean `|q_c k_c|` over the middle and the steps since the last one, row-major.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// One number per channel; 0 for channels that are not stored.
    pub activity: Vec<f32>,
    /// Steps that went in.
    pub steps: usize,
    /// Tokens of the middle.
    pub middle: usize,
}

/// The watched head as of the last step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadDetail {
    /// Layer.
    pub layer: usize,
    /// KV head.
    pub head: usize,
    /// Attention mass of the last step per query head: sink, middle, recent.
    pub mass: Vec<[f32; 3]>,
    /// Mean q² per channel over the steps of the run and the query heads of the group.
    pub q_energy: Vec<f32>,
    /// Mean k² per channel over a sample of the keys that are stored with that channel.
    pub k_energy: Vec<f32>,
}

/// Memory as the system and the allocator see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Resident bytes of the process.
    pub resident: Option<u64>,
    /// Memory of the graphics card, where there is one.
    #[serde(default)]
    pub device: Option<DeviceMemory>,
    /// Bytes that the cache took from the allocator.
    pub kv_allocated: u64,
}

/// A mask as its axes and one digit per channel.
mod bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use crate::mask::{ChannelMask, Shape};

    #[derive(Serialize, Deserialize)]
    struct Form {
        shape: Shape,
        kept: String,
    }

    pub fn serialize<S: Serializer>(mask: &ChannelMask, serializer: S) -> Result<S::Ok, S::Error> {
        let kept = mask.bits().iter().map(|&kept| if kept { '1' } else { '0' }).collect();
        Form { shape: mask.shape(), kept }.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ChannelMask, D::Error> {
        let form = Form::deserialize(deserializer)?;
        ChannelMask::new(form.shape, form.kept.chars().map(|digit| digit == '1').collect()).map_err(D::Error::custom)
    }
}

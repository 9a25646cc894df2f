//! What the engine is told to do.

use super::event::MaskInfo;
use crate::decode::comparison::Mode;
use crate::decode::lost::Asked;
use crate::decode::sampler::Sampling;
use crate::mask::{ChannelMask, Window};

/// What the engine is told to do.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineOrder {
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
    /// Give the pruned side another mask or window from the next token on. A newer one replaces one
    /// that still waits.
    Retune(Box<Retune>),
    /// Measure these masks over the last tokens, one after the other, in place of those still
    /// waiting; none cancels.
    Sweep(Vec<Trial>),
    /// Which tokens the pruned side is fed, from the next one on.
    Feed(Mode),
    /// Time each side alone over the last tokens; decode waits meanwhile.
    Time,
    /// Go back to this many generated tokens.
    Rewind(usize),
    /// Tell what one step lost. A newer question replaces one that still waits.
    Explain(Asked),
    /// End the thread.
    Shutdown,
}

/// Another mask or window for the pruned side.
#[derive(Debug, Clone, PartialEq)]
pub struct Retune {
    /// Number of the change; its events carry it.
    pub revision: u64,
    /// The mask.
    pub mask: MaskInfo,
    /// Sink, recent and chunk.
    pub window: Window,
}

/// A mask to measure beside the one at work.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Its number; its event carries it.
    pub id: u64,
    /// The mask.
    pub mask: ChannelMask,
    /// Sink, recent and chunk.
    pub window: Window,
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
    /// A text with hidden facts and a question about one, sent as it is; end tokens do not end the
    /// run, so the model goes on asking and answering.
    Facts {
        /// The text.
        text: String,
    },
    /// Token ids.
    Tokens(Vec<u32>),
}

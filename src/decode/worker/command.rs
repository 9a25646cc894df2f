//! The commands that the engine accepts.

use super::event::MaskInfo;
use crate::decode::attended::AskedRange;
use crate::decode::comparison::Mode;
use crate::decode::lost::Asked;
use crate::decode::sampler::Sampling;
use crate::mask::{CachePlan, Window};

/// A command for the engine.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineOrder {
    /// Drop the current run and begin this one.
    Start(Box<Start>),
    /// Stop after the current step.
    Pause,
    /// Continue after a pause.
    Resume,
    /// Make this many steps, then pause.
    Step(u32),
    /// At most this many steps a second; `None` as fast as they come.
    Pace(Option<u32>),
    /// Report the live detail of this head.
    Watch {
        /// Layer.
        layer: usize,
        /// KV head.
        head: usize,
    },
    /// Give the pruned side another plan or window from the next token on. Replaces a change that
    /// is still waiting.
    Retune(Box<Retune>),
    /// Measure these plans over the last tokens, one after the other. They replace those still
    /// waiting; an empty list cancels.
    Sweep(Vec<Trial>),
    /// Which tokens the pruned side is fed, from the next one on.
    Feed(Mode),
    /// Time each side alone over the last tokens; decode pauses meanwhile.
    Time,
    /// Report the attention of these steps, the newest first, one between two decode steps. Replaces
    /// what is left of such a request.
    Attend(AskedRange),
    /// Measure once how fast this machine reads memory; decode waits meanwhile.
    Bandwidth,
    /// Choose the next tokens so, and treat end tokens so; a run that an end token ended goes on.
    GoOn {
        /// How tokens are chosen; `None` leaves it.
        sampling: Option<Sampling>,
        /// Whether end tokens are tokens like any other.
        ignore_end: bool,
    },
    /// Rewind to this many generated tokens.
    Rewind(usize),
    /// Go on with another turn of the conversation.
    Ask(Box<Ask>),
    /// Stop reading the turn with this number; nothing of it stays.
    StopAsk(u64),
    /// Report what one step lost. Replaces a question that is still waiting.
    Explain(Asked),
    /// End the thread.
    Shutdown,
}

/// Another plan or window for the pruned side.
#[derive(Debug, Clone, PartialEq)]
pub struct Retune {
    /// Number of the change; events about it carry the number.
    pub revision: u64,
    /// The plan.
    pub mask: MaskInfo,
    /// Sink, recent and chunk.
    pub window: Window,
}

/// A plan to measure besides the current one.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Number of the trial; the event about it carries the number.
    pub id: u64,
    /// The plan.
    pub plan: CachePlan,
    /// Sink, recent and chunk.
    pub window: Window,
}

/// A run to begin.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Number of the run; its events carry the number.
    pub generation: u64,
    /// What to send to the model.
    pub prompt: Prompt,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to generate.
    pub max_new: usize,
    /// Whether end tokens are tokens like any other.
    pub ignore_end: bool,
}

/// Another turn of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Number of the turn, from 1; a later one has a larger number.
    pub number: u64,
    /// The message.
    pub text: String,
}

/// What to send to the model.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// Text, in the model's chat template unless it is `raw`.
    Text {
        /// The text.
        text: String,
        /// Whether it is sent without a template.
        raw: bool,
    },
    /// A text with hidden facts and a question about one, sent without a template. End tokens do
    /// not end the run, so the model goes on asking and answering.
    Facts {
        /// The text.
        text: String,
    },
    /// Token ids.
    Tokens(Vec<u32>),
}

/// An entry of the queue to the thread.
#[derive(Debug)]
pub(super) enum Queued {
    /// A command, taken in order.
    Do(EngineOrder),
    /// The mailbox is not empty. This only wakes a waiting thread; a busy one checks the mailbox by
    /// itself.
    Look,
}

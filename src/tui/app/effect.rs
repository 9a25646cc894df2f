//! What `update` asks the runner to do: everything with a side effect.

use crate::eval::worker::EvalOrder;
use crate::learn::estimate::Pace;
use crate::learn::worker::Order;
use crate::tui::app::path_prompt::PathFor;
use crate::tui::screen::tune::state::Draft;

/// Work for the runner: everything with a side effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send a command to the engine.
    Engine(crate::decode::worker::EngineOrder),
    /// Learn a mask on a thread of its own.
    Learn(Box<Order>),
    /// Learn, and replace the file that is there.
    LearnOver(Box<Order>),
    /// The run of this number does not begin.
    LeaveLearning(u64, String),
    /// Estimate what a run of learning takes on this machine.
    EstimateLearning(Box<(Order, Pace)>),
    /// Ring the terminal's bell.
    Bell,
    /// Stop the current learning run.
    CancelLearning,
    /// Measure sensitivity on a thread of its own; the text is for models without fetched texts.
    Sense(String),
    /// Stop the current measurement of sensitivity.
    CancelSensing,
    /// Evaluate on a thread of its own.
    Evaluate(Box<EvalOrder>),
    /// Stop the current evaluation.
    CancelEvaluation,
    /// Exit, with or without printing a summary.
    Quit {
        /// Print the summary after the screen is gone.
        summary: bool,
    },
    /// Exit with an error: the run failed before there was anything to show.
    Fail(crate::Error),
    /// Stop the process until the shell continues it.
    Suspend,
    /// Clear the terminal and draw every cell.
    Redraw,
    /// Read the theme of this name from its file.
    Theme(String),
    /// Write the layout down for the next session.
    Remember(String),
    /// Put text on the clipboard.
    Copy(String),
    /// Count the tokens of a prompt that is being typed.
    CountPrompt(crate::decode::worker::Prompt),
    /// Write a file and report the result.
    Write {
        /// Its path.
        path: std::path::PathBuf,
        /// Its content.
        bytes: Vec<u8>,
        /// What happens where a file is there already.
        taken: Taken,
    },
    /// Write a mask file and report the result.
    Save(Box<Saving>),
    /// Read a typed folder for completion.
    ListFolder(String),
    /// Look whether the paths that were typed for a form's field are there.
    LookFor(PathFor, String),
    /// Read a mask or plan.
    ReadPlan(String, PlanUse),
    /// Load another model beside the one at work.
    LoadModel(String),
    /// Stop loading it.
    CancelModel,
    /// Control the playback of a recording.
    Replay(ReplayOrder),
}

/// A mask file to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Saving {
    /// Its path.
    pub path: std::path::PathBuf,
    /// Its content.
    pub file: crate::mask::files::MaskFile,
    /// The settings that made it.
    pub draft: Draft,
    /// Whether a file that is there may be replaced.
    pub replaces: bool,
}

/// What a mask or plan is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanUse {
    /// To decode with.
    AtWork,
    /// To compare with on the map.
    Diff,
}

/// What happens to an export where a file of its name is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A question asks first.
    Ask,
    /// A number is added to the name.
    Number,
    /// It is replaced.
    Replace,
}

/// Playback control of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayOrder {
    /// Stop.
    Pause,
    /// Continue.
    Resume,
    /// To the next token.
    Forward,
    /// To the previous token: the recording is replayed from the start up to it.
    Back,
    /// From the beginning.
    Restart,
    /// To this token, counted from 1 over the whole recording; as it stands at the last where there
    /// are fewer.
    Seek(usize),
    /// So many tokens on, or back.
    By(isize),
    /// To this share of its time, in thousandths.
    Share(u16),
    /// At this percentage of its speed.
    Speed(u32),
}

/// Where the playback of a recording is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Playback {
    /// Tokens shown, over all runs of it.
    pub token: usize,
    /// Tokens of the whole.
    pub tokens: usize,
    /// Time in it and its length, in milliseconds, without idle stretches.
    pub at_ms: (f64, f64),
    /// Percentage of its speed.
    pub speed: u32,
}

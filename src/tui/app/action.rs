//! What can happen to the interface: terminal input, time, engine events, and the commands that
//! keys and palette stand for.

use ratatui::crossterm::event::{KeyEvent, MouseEvent};

use crate::decode::worker::Envelope;
use crate::learn::worker::{Notice, Order};
use crate::tui::screen::Screen;
use crate::tui::screen::tune::state::Draft;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse did something.
    Mouse(MouseEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has this many columns and rows now.
    Resize(u16, u16),
    /// Milliseconds since the start.
    Tick(f64),
    /// The engine, or a recording, told something.
    Engine(Box<Envelope>),
    /// A learning told something.
    Learning(Box<Notice>),
    /// A recording has no more events.
    ReplayEnded,
    /// Something to do, whatever key it is on.
    Do(Command),
    /// A mask was written to a file.
    Saved(Box<Saving>),
    /// Something to tell the person, such as how an effect went.
    Tell {
        /// One sentence.
        sentence: String,
        /// Whether it failed.
        failed: bool,
    },
}

macro_rules! commands {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)*) => {
        /// Everything that a key can be bound to. The name is what the configuration and the
        /// palette call it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Command {
            /// Show a screen.
            Show(Screen),
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Command {
            /// All commands, those that show screens last.
            pub fn all() -> impl Iterator<Item = Self> {
                let others = [$(Self::$variant,)*];
                others.into_iter().chain(Screen::ALL.into_iter().map(Self::Show))
            }

            /// The name in configuration and palette.
            pub fn name(self) -> &'static str {
                match self {
                    Self::Show(screen) => screen.command_name(),
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

commands! {
    /// End the program.
    Quit = "quit",
    /// End the program and leave a summary on the terminal.
    QuitWithSummary = "quit-with-summary",
    /// One level out.
    Back = "back",
    /// Show the keys.
    Help = "help",
    /// Type a command.
    Palette = "palette",
    /// Show or hide the log.
    Log = "log",
    /// Draw everything anew.
    Redraw = "redraw",
    /// Stop the program as Ctrl-Z does everywhere.
    Suspend = "suspend",
    /// Show or hide the side panel.
    Panel = "panel",
    /// Stop or go on.
    Pause = "pause",
    /// One step forward.
    StepForward = "step-forward",
    /// One step back in a recording.
    StepBack = "step-back",
    /// The same prompt again.
    Rerun = "rerun",
    /// Up.
    Up = "up",
    /// Down.
    Down = "down",
    /// Left.
    Left = "left",
    /// Right.
    Right = "right",
    /// To the beginning.
    First = "first",
    /// To the end.
    Last = "last",
    /// Half a page up.
    HalfUp = "half-page-up",
    /// Half a page down.
    HalfDown = "half-page-down",
    /// The layer after.
    NextLayer = "next-layer",
    /// The layer before.
    PrevLayer = "previous-layer",
    /// The head after.
    NextHead = "next-head",
    /// The head before.
    PrevHead = "previous-head",
    /// One level in.
    Open = "open",
    /// The next metric.
    Metric = "metric",
    /// The next scale.
    Scale = "scale",
    /// The next colour map.
    Colormap = "colormap",
    /// Against the other mask, or back.
    Diff = "diff",
    /// Fewer channels per column.
    ZoomIn = "zoom-in",
    /// More channels per column.
    ZoomOut = "zoom-out",
    /// The zoom that fits.
    ZoomReset = "zoom-reset",
    /// Search heads.
    Find = "find",
    /// The next head found.
    FindNext = "find-next",
    /// The head found before.
    FindPrev = "find-previous",
    /// Remember this place.
    Mark = "mark",
    /// Go to the remembered place.
    Jump = "jump",
    /// Copy the value under the cursor.
    Copy = "copy",
    /// Write the screen's data or picture to a file.
    Export = "export",
    /// Type a prompt.
    EditPrompt = "edit-prompt",
    /// Send the prompt.
    Submit = "submit",
    /// Type the value of a field.
    EditField = "edit-field",
    /// Learn a mask.
    Learn = "learn",
    /// Stop learning.
    CancelLearning = "cancel-learning",
    /// Go on with a learning that was stopped.
    ResumeLearning = "resume-learning",
    /// Decode with the learned mask from the next token on.
    ApplyLearned = "apply-learned",
    /// Feed both sides the dense side's tokens, or each its own.
    Feed = "feed",
    /// Time each side alone.
    Time = "time",
    /// The other side at the left.
    Swap = "swap",
    /// Go on from the token under the cursor.
    RewindHere = "rewind-here",
    /// A smaller value.
    Less = "less",
    /// A larger value.
    More = "more",
    /// Five steps smaller.
    MuchLess = "much-less",
    /// Five steps larger.
    MuchMore = "much-more",
    /// Keep or prune the channel at hand.
    Flip = "flip",
    /// Keep all channels of the head at hand, or none.
    FlipHead = "flip-head",
    /// Lock the head at hand, or let it go.
    LockHead = "lock-head",
    /// Lock the layer at hand, or let it go.
    LockLayer = "lock-layer",
    /// Take the last change of the mask back.
    Undo = "undo",
    /// Make it again.
    Redo = "redo",
    /// Back to the saved mask.
    Reset = "reset",
    /// Save the mask under a name.
    SaveMask = "save-mask",
    /// Measure masks of many sizes, or stop.
    Sweep = "sweep",
    /// Bytes or time along the plot.
    PlotAxis = "plot-axis",
}

impl Command {
    /// The command called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|command| command.name() == name)
    }
}

/// Something for the runner to do, because it touches the world.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Hand a command to the engine.
    Engine(crate::decode::worker::EngineOrder),
    /// Learn a mask on a thread of its own.
    Learn(Box<Order>),
    /// Stop the learning at hand.
    CancelLearning,
    /// End, with or without a summary left behind.
    Quit {
        /// Print the summary after the screen is gone.
        summary: bool,
    },
    /// End because the run failed before there was anything to look at.
    Fail(crate::Error),
    /// Stop the process until the shell continues it.
    Suspend,
    /// Forget what is on the screen and draw everything.
    Redraw,
    /// Put text on the clipboard.
    Copy(String),
    /// Write a file and tell how it went.
    Write {
        /// Its path.
        path: std::path::PathBuf,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// Write a mask file and tell how it went.
    Save(Box<Saving>),
    /// Steer a recording.
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
}

/// How a recording is steered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayOrder {
    /// Stop.
    Pause,
    /// Go on.
    Resume,
    /// To the next token.
    Forward,
    /// To the token before: everything is played anew up to it.
    Back,
    /// From the beginning.
    Restart,
}

//! What can happen to the interface: terminal input, timer ticks, engine events, and the commands
//! behind keys and palette entries.

use ratatui::crossterm::event::{KeyEvent, MouseEvent};

use crate::decode::worker::event::MaskInfo;
use crate::decode::worker::{Envelope, Prompt};
use crate::eval::worker::EvalNews;
use crate::learn::estimate::RunEstimate;
use crate::learn::sensitivity::worker::Sensed;
use crate::learn::worker::Notice;
use crate::mask::Window;
use crate::tui::app::path_prompt::{Listing, PathFor};
use crate::tui::app::settings::Look;
use crate::tui::app::state::RecentFiles;
use crate::tui::app::story::Quiz;
use crate::tui::color::Palette;
use crate::tui::screen::Screen;

pub use crate::tui::app::effect::{Effect, PlanUse, Playback, ReplayOrder, Saving, Taken};

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
    /// An event from the engine or from a recording.
    Engine(Box<Envelope>),
    /// A notice from a learning run.
    Learning(Box<Notice>),
    /// About what a run of learning takes, and the free memory where it is known.
    Estimated(RunEstimate, Option<u64>),
    /// News from a measurement of sensitivity.
    Sensing(Box<Sensed>),
    /// News of an evaluation.
    Evaluating(Box<EvalNews>),
    /// A recording has no more events.
    ReplayEnded,
    /// The playback of a recording is here.
    Played(Playback),
    /// A command, whichever key it is bound to.
    Do(Command),
    /// A mask was written to a file.
    Saved(Box<Saving>),
    /// A prompt that is being typed has so many tokens, or cannot be one.
    Counted {
        /// Its text.
        text: String,
        /// Tokens with the chat template, or why there are none.
        tokens: std::result::Result<usize, String>,
    },
    /// The configuration was read again, or why it cannot be.
    Configured(Box<std::result::Result<Look, String>>),
    /// The terminal answered after the first frame: the look with its background, and whether it
    /// shows pictures.
    TerminalTold(Box<Look>, bool),
    /// A theme was read from its file, or why it cannot be.
    Themed(std::result::Result<Palette, String>),
    /// The message just told is about this file.
    Linked(std::path::PathBuf),
    /// A file is there already; with this effect it is replaced.
    Taken {
        /// The file.
        path: std::path::PathBuf,
        /// Writes it all the same.
        then: Box<Effect>,
        /// What is done where it shall stay.
        otherwise: Option<Box<Effect>>,
    },
    /// What a typed folder holds.
    Listed(String, Listing),
    /// Whether the paths of a form's field are there: what was typed, and what is wrong.
    LookedFor {
        /// The field.
        purpose: PathFor,
        /// What was typed.
        typed: String,
        /// Why it is not taken.
        trouble: Option<String>,
    },
    /// The recent files of earlier sessions.
    Recalled(RecentFiles),
    /// A mask or plan was read; the text is what was typed for it.
    PlanRead {
        /// What it is.
        info: Box<MaskInfo>,
        /// Its window.
        window: Window,
        /// What it is for.
        to: PlanUse,
    },
    /// Share of another model that is loaded.
    ModelLoading(String, f32),
    /// Another model is not loaded: the one at work stays.
    ModelRefused(String),
    /// Another model is there.
    ModelChanged {
        /// Its name.
        name: String,
        /// The prompt to begin with, where the last one does not suit it.
        prompt: Prompt,
        /// What that prompt asks, where it is known.
        quiz: Option<Quiz>,
    },
    /// A message for the user, such as the result of an effect.
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
    /// Go one level out: close what is open, or leave the screen.
    Back = "back",
    /// Show the keys.
    Help = "help",
    /// Say in words what the cursor is on.
    Explain = "explain",
    /// Open the palette, to type a command.
    Palette = "palette",
    /// List every option with its value and source.
    Settings = "settings",
    /// Show or hide the log.
    Log = "log",
    /// Tell the story of the demo.
    Story = "story",
    /// The next chapter of the story.
    StoryNext = "story-next",
    /// End the story.
    StoryEnd = "story-end",
    /// Redraw the whole screen.
    Redraw = "redraw",
    /// Stop the process, as Ctrl-Z does in any program.
    Suspend = "suspend",
    /// Move the line at hand left or up.
    SplitLess = "part-smaller",
    /// Move the line at hand right or down.
    SplitMore = "part-larger",
    /// Take the next line between parts of the screen.
    SplitNext = "part-next",
    /// Put the parts of the screen where they were.
    SplitReset = "parts-reset",
    /// Show or hide the side panel.
    Panel = "panel",
    /// Pause or continue the run.
    Pause = "pause",
    /// One step forward.
    StepForward = "step-forward",
    /// One step back in a recording.
    StepBack = "step-back",
    /// Sample where the text loops, go on where it ended early.
    GoOn = "go-on",
    /// Some tokens on in a recording.
    SeekOn = "seek-on",
    /// Some tokens back in a recording.
    SeekBack = "seek-back",
    /// Decode, or play a recording, faster.
    Faster = "faster",
    /// Decode, or play a recording, slower.
    Slower = "slower",
    /// Start the same prompt again.
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
    /// Go one level in.
    Open = "open",
    /// The next metric.
    Metric = "metric",
    /// The next scale.
    Scale = "scale",
    /// The next colour map.
    Colormap = "colormap",
    /// Show the difference to the other mask, or the mask itself again.
    Diff = "diff",
    /// Fewer channels per column.
    ZoomIn = "zoom-in",
    /// More channels per column.
    ZoomOut = "zoom-out",
    /// The zoom that fits.
    ZoomReset = "zoom-reset",
    /// Search heads.
    Find = "find",
    /// The next head that the search found.
    FindNext = "find-next",
    /// The previous head that the search found.
    FindPrev = "find-previous",
    /// Remember this place.
    Mark = "mark",
    /// Go to the remembered place.
    Jump = "jump",
    /// Copy the value under the cursor.
    Copy = "copy",
    /// List the tokens that suffered most.
    Suffered = "suffered",
    /// Write the screen's data or picture to a file.
    Export = "export",
    /// Open a mask or plan from a file.
    OpenFile = "open-file",
    /// Compare with a mask or plan from a file.
    DiffFile = "diff-file",
    /// Load another model.
    ChangeModel = "change-model",
    /// Complete the path that is typed.
    Complete = "complete",
    /// Answer a question with yes.
    Yes = "yes",
    /// Answer a question with no.
    No = "no",
    /// Type a prompt.
    EditPrompt = "edit-prompt",
    /// Begin with an empty prompt.
    NewPrompt = "new-prompt",
    /// Type another turn of the conversation.
    Ask = "ask",
    /// Send the prompt.
    Submit = "submit",
    /// Type the value of a field.
    EditField = "edit-field",
    /// Learn a mask.
    Learn = "learn",
    /// Stop learning.
    CancelLearning = "cancel-learning",
    /// Continue a learning run that was stopped.
    ResumeLearning = "resume-learning",
    /// Decode with the learned mask from the next token on.
    ApplyLearned = "apply-learned",
    /// Evaluate the mask or plan at work.
    Evaluate = "evaluate",
    /// Stop the evaluation.
    CancelEvaluation = "cancel-evaluation",
    /// Feed both sides the dense side's tokens, or each side its own.
    Feed = "feed",
    /// Time each side alone.
    Time = "time",
    /// Swap the sides: the other one goes left.
    Swap = "swap",
    /// Continue from the token under the cursor.
    RewindHere = "rewind-here",
    /// A smaller value.
    Less = "less",
    /// A larger value.
    More = "more",
    /// Five steps smaller.
    MuchLess = "much-less",
    /// Five steps larger.
    MuchMore = "much-more",
    /// Keep or prune the selected channel.
    Flip = "flip",
    /// Keep all channels of the selected head, or none.
    FlipHead = "flip-head",
    /// Fewer bits for the selected channel.
    ChannelNarrower = "channel-narrower",
    /// More bits for the selected channel.
    ChannelWider = "channel-wider",
    /// Fewer bits for every K channel of the selected head.
    KNarrower = "k-narrower",
    /// More bits for every K channel of the selected head.
    KWider = "k-wider",
    /// Fewer bits for V of the selected head.
    VNarrower = "v-narrower",
    /// More bits for V of the selected head.
    VWider = "v-wider",
    /// Fewer bits for everything in the selected layer.
    LayerNarrower = "layer-narrower",
    /// More bits for everything in the selected layer.
    LayerWider = "layer-wider",
    /// Measure the sensitivity that plans are chosen by, or stop measuring.
    Sense = "measure-sensitivity",
    /// Lock or unlock the selected head.
    LockHead = "lock-head",
    /// Lock or unlock the selected layer.
    LockLayer = "lock-layer",
    /// Undo the last change of the mask or plan.
    Undo = "undo",
    /// Redo the change that was undone.
    Redo = "redo",
    /// Return to what is saved.
    Reset = "reset",
    /// Save the mask or plan under a name.
    SaveMask = "save-mask",
    /// Measure masks and plans of many sizes, or stop measuring.
    Sweep = "sweep",
    /// Show bytes or time on the x axis of the plot.
    PlotAxis = "plot-axis",
    /// Pin what is set on the bench.
    Pin = "pin",
    /// Pin a mask of every rule with the bytes of what is set.
    PinRules = "pin-rules",
    /// Pin the plans that other programs offer.
    PinNamed = "pin-named",
    /// Pin the points of the sweep.
    PinSweep = "pin-sweep",
    /// Take a row off the bench.
    Unpin = "unpin",
    /// Compare the rows of the bench with this one, or with none.
    Baseline = "baseline",
    /// Sort by the next column.
    SortNext = "sort-next",
    /// Sort the other way round.
    SortBack = "sort-back",
}

impl Command {
    /// The command called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|command| command.name() == name)
    }
}

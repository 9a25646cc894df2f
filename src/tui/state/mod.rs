//! Everything that the screens show. Only [`update`](crate::tui::update::update) changes it.

pub mod learn;
mod model;
mod pairs;
mod run;
mod table;
pub mod tune;

use ratatui_textarea::{CursorMove, TextArea, WrapMode};
use tui_input::Input;

pub use learn::Learning;
pub use model::ModelView;
pub use pairs::{AbView, Pairs, Side, voice};
pub use run::{Phase, Piece, Plan, RunView, Step};
pub use table::{Metric, Scale, Table};
pub use tune::Tuning;

use crate::decode::comparison::Mode;
use crate::decode::worker::Prompt;
use crate::mask::ChannelMask;
use crate::tui::action::Command;
use crate::tui::color::Theme;
use crate::tui::keys::{Context, KeyTable};
use crate::tui::log::LogBuffer;

/// The screens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Screen {
    /// All layers and heads, or one layer.
    Map,
    /// One head.
    Head,
    /// Dense against masked.
    Ab,
    /// Another mask while the model talks.
    Tune,
    /// Memory and speed.
    Perf,
    /// Learning a mask.
    Learn,
    /// Text, prompt and sampling.
    Text,
}

impl Screen {
    /// All screens in the order of their tabs.
    pub const ALL: [Self; 7] =
        [Self::Map, Self::Head, Self::Ab, Self::Tune, Self::Perf, Self::Learn, Self::Text];

    /// The title of its tab.
    pub fn title(self) -> &'static str {
        match self {
            Self::Map => "Map",
            Self::Head => "Head",
            Self::Ab => "A/B",
            Self::Tune => "Tune",
            Self::Perf => "Perf",
            Self::Learn => "Learn",
            Self::Text => "Text",
        }
    }

    /// The command that shows it.
    pub fn command(self) -> Command {
        match self {
            Self::Map => Command::ShowMap,
            Self::Head => Command::ShowHead,
            Self::Ab => Command::ShowAb,
            Self::Tune => Command::ShowTune,
            Self::Perf => Command::ShowPerf,
            Self::Learn => Command::ShowLearn,
            Self::Text => Command::ShowText,
        }
    }
}

/// How deep the map is drilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// All layers.
    Model,
    /// One layer.
    Layer,
}

/// What lies over the screen.
#[derive(Debug, Clone)]
pub enum Overlay {
    /// All keys, filtered by what is typed.
    Help(List),
    /// Commands, filtered by what is typed.
    Palette(List),
    /// Heads that fit what is typed.
    Find(List),
}

/// A list with a filter.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// What is typed.
    pub input: Input,
    /// The selected entry of those that fit.
    pub selected: usize,
}

/// The place that is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Layer.
    pub layer: usize,
    /// KV head.
    pub head: usize,
    /// Channel.
    pub channel: usize,
}

/// The second mask of the diff.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherMask {
    /// What it is called.
    pub label: String,
    /// Its channels.
    pub mask: ChannelMask,
}

/// A short message in the footer.
#[derive(Debug, Clone, PartialEq)]
pub struct Toast {
    /// What it says.
    pub sentence: String,
    /// Whether something failed.
    pub failed: bool,
    /// When it goes, in milliseconds since the start.
    pub until_ms: f64,
}

/// Everything that the screens show.
#[derive(Debug, Clone)]
pub struct State {
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// Milliseconds since the start.
    pub now_ms: f64,
    /// Colours and what the terminal can show.
    pub theme: Theme,
    /// The keys.
    pub keys: KeyTable,
    /// The screen at hand.
    pub screen: Screen,
    /// How deep the map is drilled.
    pub level: Level,
    /// What lies over it.
    pub overlay: Option<Overlay>,
    /// Whether the side panel is shown: `None` as the width allows.
    pub panel: Option<bool>,
    /// Whether the log is shown.
    pub log_open: bool,
    /// The log's last lines.
    pub log: LogBuffer,
    /// The place that is looked at.
    pub at: Place,
    /// The place that was marked.
    pub mark: Option<Place>,
    /// What the map shows.
    pub metric: Metric,
    /// The scale of each metric, by its place in [`Metric::ALL`].
    pub scales: [Scale; Metric::ALL.len()],
    /// Doublings of the map's column width.
    pub zoom: i8,
    /// Whether the map compares two masks.
    pub diff: bool,
    /// The mask to compare with.
    pub other: Option<OtherMask>,
    /// The query of the last search.
    pub find: String,
    /// What the run is doing.
    pub phase: Phase,
    /// The model, once loaded.
    pub model: Option<ModelView>,
    /// The mask that is being made, once there is a model.
    pub tuning: Option<Tuning>,
    /// The name of the model while it loads.
    pub loading_name: String,
    /// The run at hand.
    pub run: RunView,
    /// What the next run will be started with.
    pub plan: Plan,
    /// The prompt editor.
    pub editor: TextArea<'static>,
    /// Whether the prompt is being typed.
    pub editing: bool,
    /// The selected sampling setting.
    pub setting: usize,
    /// Where the A/B screen looks.
    pub ab: AbView,
    /// Rows that the text is scrolled up from its end.
    pub scroll: usize,
    /// Learning a mask.
    pub learning: Learning,
    /// Context of the memory forecast, in tokens.
    pub target_context: usize,
    /// Statistics that the engine dropped.
    pub dropped: u64,
    /// Whether a recording is shown instead of an engine.
    pub replay: bool,
    /// A short message.
    pub toast: Option<Toast>,
    /// Where exports go.
    pub export_folder: std::path::PathBuf,
    /// When the last mouse press was and where, to see double clicks.
    pub last_click: Option<(f64, u16, u16)>,
    /// What must be drawn.
    pub dirty: Dirty,
}

/// How soon the screen must be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dirty {
    /// It shows everything.
    Clean,
    /// Statistics moved.
    Soon,
    /// The person did something.
    Now,
}

/// What a session of the inspector begins with.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// Colours and what the terminal can show.
    pub theme: Theme,
    /// The keys.
    pub keys: KeyTable,
    /// What the model is called while it loads.
    pub loading_name: String,
    /// The first run.
    pub plan: Plan,
    /// Whether a recording is shown.
    pub replay: bool,
    /// The log's last lines.
    pub log: LogBuffer,
    /// Where exports go.
    pub export_folder: std::path::PathBuf,
}

impl State {
    /// The state before anything happened.
    pub fn new(beginning: Beginning) -> Self {
        let Beginning { theme, keys, loading_name, plan, replay, log, export_folder } = beginning;
        let text = match &plan.prompt {
            Prompt::Text { text, .. } | Prompt::Facts { text } => text.as_str(),
            Prompt::Tokens(_) => "",
        };
        let mut editor = TextArea::from(text.lines());
        editor.set_wrap_mode(WrapMode::WordOrGlyph);
        editor.move_cursor(CursorMove::Bottom);
        editor.move_cursor(CursorMove::End);
        Self {
            size: (80, 24),
            now_ms: 0.0,
            theme,
            keys,
            screen: Screen::Map,
            level: Level::Model,
            overlay: None,
            panel: None,
            log_open: false,
            log,
            at: Place::default(),
            mark: None,
            metric: Metric::Mask,
            scales: Metric::ALL.map(Metric::scale),
            zoom: 0,
            diff: false,
            other: None,
            find: String::new(),
            phase: Phase::Loading(0.0),
            model: None,
            tuning: None,
            loading_name,
            run: RunView::new(0),
            editor,
            plan,
            editing: false,
            setting: 0,
            ab: AbView::default(),
            scroll: 0,
            learning: Learning::default(),
            target_context: 0,
            dropped: 0,
            replay,
            toast: None,
            export_folder,
            last_click: None,
            dirty: Dirty::Now,
        }
    }

    /// The focus, which decides what keys mean.
    pub fn context(&self) -> Context {
        if self.overlay.is_some() { Context::List } else { self.context_below() }
    }

    /// The focus of the screen, whatever lies over it.
    pub fn context_below(&self) -> Context {
        match self.screen {
            Screen::Text if self.editing => Context::Prompt,
            Screen::Map => Context::Map,
            Screen::Head => Context::Head,
            Screen::Ab => Context::Ab,
            Screen::Tune => Context::Tune,
            Screen::Perf => Context::Perf,
            Screen::Learn if self.learning.typing.is_some() => Context::Field,
            Screen::Learn => Context::Learn,
            Screen::Text => Context::Text,
        }
    }

    /// Which tokens the pruned side is fed.
    pub fn feed(&self) -> Mode {
        self.model.as_ref().map_or(Mode::Forced, |model| model.info.feed)
    }

    /// The scale of the metric on screen.
    pub fn scale(&self) -> Scale {
        self.scales[self.metric as usize]
    }

    /// The metric that the map can show now: the chosen one, or the first that has numbers.
    pub fn shown_metric(&self) -> Option<Metric> {
        let model = self.model.as_ref()?;
        let has = |metric: &Metric| model.has(*metric);
        Some(self.metric).filter(has).or_else(|| Metric::ALL.into_iter().find(has))
    }
}

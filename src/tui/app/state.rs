//! Everything that the screens show. Only [`update`](crate::tui::app::update::update) changes it.

use tui_input::Input;

use crate::decode::comparison::Mode;
use crate::decode::worker::Prompt;
use crate::decode::worker::event::Bandwidth;
use crate::mask::CachePlan;
use crate::numbers;
use crate::tui::app::action::{Command, Playback};
use crate::tui::app::keys::{KeyContext, KeyTable};
use crate::tui::app::log::LogBuffer;
use crate::tui::app::model::ModelView;
use crate::tui::app::path_prompt::PathPrompt;
use crate::tui::app::place::Place;
use crate::tui::app::question::Confirmation;
use crate::tui::app::run::{NextRun, Phase, RunView};
use crate::tui::app::settings::OptionShown;
use crate::tui::app::splits::Splits;
use crate::tui::app::story::{DemoStory, Quiz};
use crate::tui::app::table::{Metric, Scale};
use crate::tui::color::{BUILT_IN, Palette, Theme};
use crate::tui::graphics::Graphics;
use crate::tui::screen::text::state::TextState;
use crate::tui::screen::{Screen, ScreenStates};

/// How long a message is shown, in milliseconds, at least.
const TOAST_MS: f64 = 4_000.0;
/// What a letter adds from the sixtieth on.
const LETTER_MS: f64 = 60.0;
/// Share of that time after which the next key takes the message away.
const READ: f64 = 0.4;

/// A list that is drawn over the screen.
#[derive(Debug, Clone)]
pub enum Overlay {
    /// All keys, filtered by what is typed.
    Help(List),
    /// Commands, filtered by what is typed.
    Palette(List),
    /// Heads that match what is typed.
    Find(List),
    /// Tokens by how far dense and pruned are apart.
    Suffered(List),
    /// Every option.
    Settings(List),
    /// A path that is typed.
    Path(PathPrompt),
    /// A question.
    Question(Confirmation),
}

/// Files of this session and earlier ones, the last first.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct RecentFiles {
    /// Masks and plans.
    pub plans: Vec<String>,
    /// Models.
    pub models: Vec<String>,
}

/// A list with a filter.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// What is typed.
    pub input: Input,
    /// Index of the selected entry among those that match.
    pub selected: usize,
}

/// The second mask or plan of the diff.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherMask {
    /// What it is called.
    pub label: String,
    /// Its widths.
    pub plan: CachePlan,
}

/// A short message in the footer.
#[derive(Debug, Clone, PartialEq)]
pub struct Toast {
    /// What it says.
    pub sentence: String,
    /// Whether something failed.
    pub failed: bool,
    /// When it disappears, in milliseconds since the start.
    pub until_ms: f64,
    /// The file that it is about.
    pub link: Option<std::path::PathBuf>,
    /// How long what it says is true.
    pub holds: Holds,
    /// When it was told, in milliseconds since the start.
    pub told_ms: f64,
}

/// How long what a message says is true; it goes as soon as it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// It told of something that happened.
    Always,
    /// While the text repeats itself.
    Looping,
    /// While the run is over.
    Over,
    /// Until the run that was paused goes on.
    Standing,
    /// While the cursor is at this place.
    At(Place),
    /// While nothing is typed into the prompt or the turn.
    Untyped,
    /// While a path is typed: until another one is taken, or none.
    PathTyped,
}

/// When the machine's bandwidth may be measured again.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MeasuredAgain {
    /// How often it was.
    pub times: u8,
    /// Not before this, in milliseconds since the start.
    pub from_ms: f64,
}

/// What is known of the machine's bandwidth.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Gauge {
    /// Nobody asked yet.
    #[default]
    Unknown,
    /// The engine was asked.
    Asked,
    /// It was measured.
    Known(Bandwidth),
    /// It was measured, steps were faster, and the engine was asked again.
    Again(Bandwidth),
    /// It cannot be, for this reason.
    Refused(String),
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
    /// Whether the terminal's own background is light.
    pub terminal_light: bool,
    /// The keys.
    pub keys: KeyTable,
    /// The current screen.
    pub screen: Screen,
    /// The state that belongs to each screen.
    pub screens: ScreenStates,
    /// The list over the screen.
    pub overlay: Option<Overlay>,
    /// Whether the side panel is shown on a large terminal; `None` decides by the width.
    pub panel: Option<bool>,
    /// The same on a small one, where it takes the place of something else. It is not remembered.
    pub small_panel: Option<bool>,
    /// Whether the confirmation to leave was asked for by the last key.
    pub quit_asked: bool,
    /// What the cursor is on, in words, until the next key.
    pub explained: Option<String>,
    /// Whether the log is shown.
    pub log_open: bool,
    /// The log's last lines.
    pub log: LogBuffer,
    /// The selected place.
    pub at: Place,
    /// The place that was marked.
    pub mark: Option<Place>,
    /// What the map shows.
    pub metric: Metric,
    /// The scale of each metric, by its place in [`Metric::ALL`].
    pub scales: [Scale; Metric::ALL.len()],
    /// Whether the map compares two masks or plans.
    pub diff: bool,
    /// The mask or plan to compare with.
    pub other: Option<OtherMask>,
    /// What the run is doing.
    pub phase: Phase,
    /// The model, once loaded.
    pub model: Option<ModelView>,
    /// The name of the model while it loads.
    pub loading_name: String,
    /// The model that was chosen in the program, in place of the one that it began with.
    pub chosen_model: Option<String>,
    /// Another model that is being loaded beside it, and the share done.
    pub loading: Option<(String, f32)>,
    /// RecentFiles files.
    pub recent: RecentFiles,
    /// The current run.
    pub run: RunView,
    /// What the next run will be started with.
    pub plan: NextRun,
    /// Tokens a second that decode is held to; `None` decodes as fast as it can.
    pub pace: Option<u32>,
    /// Context of the memory forecast, in tokens.
    pub target_context: usize,
    /// How fast the machine reads memory.
    pub bandwidth: Gauge,
    /// How often it was measured again.
    pub bandwidth_again: MeasuredAgain,
    /// Where the lines between parts of a screen are.
    pub splits: Splits,
    /// Every option.
    pub settings: Vec<OptionShown>,
    /// Names of all themes.
    pub themes: Vec<String>,
    /// How pictures get to the terminal.
    pub graphics: Graphics,
    /// The place that the mouse points at.
    pub hover: Option<Place>,
    /// Number of statistics events that the engine dropped.
    pub dropped: u64,
    /// Whether a recording is shown instead of an engine.
    pub replay: bool,
    /// Where its playback is.
    pub playback: Option<Playback>,
    /// A short message.
    pub toast: Option<Toast>,
    /// What the first prompt asks, where that is known.
    pub quiz: Option<Quiz>,
    /// Whether the story is told once the model is there.
    pub tells_story: bool,
    /// The story that is being told.
    pub story: Option<DemoStory>,
    /// Where exports go.
    pub export_folder: std::path::PathBuf,
    /// Time and place of the last mouse press, to detect double clicks.
    pub last_click: Option<(f64, u16, u16)>,
    /// Whether and how soon to draw.
    pub dirty: Dirty,
}

/// How soon the screen must be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dirty {
    /// Nothing has changed since the last frame.
    Clean,
    /// Only statistics have changed.
    Soon,
    /// The user did something.
    Now,
}

/// What a session of the inspector begins with.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// Colours and what the terminal can show.
    pub theme: Theme,
    /// Whether the terminal's own background is light.
    pub terminal_light: bool,
    /// The keys.
    pub keys: KeyTable,
    /// What the model is called while it loads.
    pub loading_name: String,
    /// The first run.
    pub plan: NextRun,
    /// Whether a recording is shown.
    pub replay: bool,
    /// The log's last lines.
    pub log: LogBuffer,
    /// Where exports go.
    pub export_folder: std::path::PathBuf,
}

impl State {
    /// The open list.
    pub fn list_mut(&mut self) -> Option<&mut List> {
        match self.overlay.as_mut()? {
            Overlay::Help(list)
            | Overlay::Palette(list)
            | Overlay::Find(list)
            | Overlay::Suffered(list)
            | Overlay::Settings(list) => Some(list),
            Overlay::Path(prompt) => Some(&mut prompt.list),
            Overlay::Question(_) => None,
        }
    }

    /// The initial state.
    pub fn new(beginning: Beginning) -> Self {
        let Beginning {
            theme,
            terminal_light,
            keys,
            loading_name,
            plan,
            replay,
            log,
            export_folder,
        } = beginning;
        let keys = keys.shown_in(theme.depth);
        let text = match &plan.prompt {
            Prompt::Text { text, .. } | Prompt::Facts { text } => text.as_str(),
            Prompt::Tokens(_) => "",
        };
        let screens = ScreenStates { text: TextState::new(text), ..ScreenStates::default() };
        Self {
            size: (80, 24),
            now_ms: 0.0,
            theme,
            terminal_light,
            keys,
            screen: Screen::Map,
            screens,
            overlay: None,
            panel: None,
            small_panel: None,
            quit_asked: false,
            explained: None,
            log_open: false,
            log,
            at: Place::default(),
            mark: None,
            metric: Metric::Mask,
            scales: Metric::ALL.map(Metric::scale),
            diff: false,
            other: None,
            phase: Phase::Loading(0.0),
            model: None,
            loading_name,
            chosen_model: None,
            loading: None,
            recent: RecentFiles::default(),
            run: RunView::new(0),
            plan,
            pace: None,
            target_context: 0,
            bandwidth: Gauge::Unknown,
            bandwidth_again: MeasuredAgain::default(),
            splits: Splits::default(),
            settings: Vec::new(),
            themes: BUILT_IN.map(|(name, _)| name.to_owned()).to_vec(),
            graphics: Graphics::Cells,
            hover: None,
            dropped: 0,
            replay,
            playback: None,
            toast: None,
            quiz: None,
            tells_story: false,
            story: None,
            export_folder,
            last_click: None,
            dirty: Dirty::Now,
        }
    }

    /// The focused part, which decides what keys mean.
    pub fn context(&self) -> KeyContext {
        match self.overlay {
            Some(Overlay::Question(_)) => KeyContext::Confirm,
            Some(_) => KeyContext::List,
            None => self.context_below(),
        }
    }

    /// The focused part of the screen, even under an overlay.
    pub fn context_below(&self) -> KeyContext {
        let typing = self.screen.parts().typing.as_ref();
        typing.and_then(|typing| (typing.focus)(self)).unwrap_or(KeyContext::Screen(self.screen))
    }

    /// Which tokens the pruned side is fed.
    pub fn feed(&self) -> Mode {
        self.model.as_ref().map_or(Mode::Forced, |model| model.info.feed)
    }

    /// The scale of the metric shown.
    pub fn scale(&self) -> Scale {
        self.scales[self.metric as usize]
    }

    /// The metric that the map shows: the chosen one, or the first that has values.
    pub fn shown_metric(&self) -> Option<Metric> {
        let model = self.model.as_ref()?;
        let has = |metric: &Metric| model.has(*metric);
        Some(self.metric).filter(has).or_else(|| Metric::ALL.into_iter().find(has))
    }

    /// Whether no further step follows unless the user does something.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Finished(_) | Phase::Failed(_))
    }

    /// What stands in place of figures that come with further steps: `comes`, or that there are none,
    /// because no step follows.
    pub fn awaited(&self, comes: &str) -> String {
        if self.is_over() { "none: the run is over".to_owned() } else { comes.to_owned() }
    }

    /// Shows a message for a while.
    pub fn tell(&mut self, sentence: impl Into<String>, failed: bool) {
        let sentence = sentence.into();
        if failed {
            tracing::error!("{sentence}");
        }
        let letters = sentence.chars().count().saturating_sub(60);
        let until_ms = self.now_ms + TOAST_MS + LETTER_MS * letters as f64;
        let (holds, told_ms) = (Holds::Always, self.now_ms);
        self.toast = Some(Toast { sentence, failed, until_ms, link: None, holds, told_ms });
        self.dirty = Dirty::Now;
    }

    /// Shows a message for a while, but no longer than it is true.
    pub fn tell_while(&mut self, holds: Holds, sentence: impl Into<String>) {
        self.tell(sentence, false);
        if let Some(toast) = &mut self.toast {
            toast.holds = holds;
        }
    }

    /// Takes a message away that is no longer true.
    pub fn forget_untrue(&mut self) {
        let over = self.is_over();
        let typed = self.screens.text.is_typed_now();
        let typing = self.context_below().takes_text();
        let is_untrue = |toast: &mut Toast| match toast.holds {
            // The engine says when it goes on.
            Holds::Always | Holds::Standing => false,
            Holds::Looping => !self.run.loop_told,
            Holds::Over => !over,
            Holds::At(place) => self.at != place || typing,
            Holds::Untyped => typed,
            Holds::PathTyped => !matches!(self.overlay, Some(Overlay::Path(_))),
        };
        if self.toast.take_if(is_untrue).is_some() {
            self.dirty = Dirty::Now;
        }
    }

    /// Takes a message away that there was time to read: a key was pressed.
    pub fn forget_read(&mut self) {
        let now = self.now_ms;
        self.toast.take_if(|toast| now - toast.told_ms >= READ * (toast.until_ms - toast.told_ms));
    }

    /// The key of a command that works everywhere; the command's name where it has none.
    pub fn key(&self, command: Command) -> String {
        self.key_in(KeyContext::Global, command)
    }

    /// The key of a command in a context; the command's name where it has none.
    pub fn key_in(&self, context: KeyContext, command: Command) -> String {
        self.keys.key_of(context, command).unwrap_or_else(|| command.name().to_owned())
    }

    /// The key of a command on a screen; the command's name where it has none.
    pub fn key_on(&self, screen: Screen, command: Command) -> String {
        self.key_in(KeyContext::Screen(screen), command)
    }

    /// Uses the colours of a theme, and the colour map that it comes with.
    pub fn use_palette(&mut self, palette: Palette) {
        let sentence = format!("theme: {}", palette.name);
        let colormap = palette.colormap;
        self.theme = Theme::of(self.theme.depth, palette, colormap);
        self.tell(sentence, false);
    }

    /// Shows the next metric that has values.
    pub fn next_metric(&mut self) {
        let Some(model) = &self.model else { return };
        let all = Metric::ALL;
        let at = self.shown_metric().map_or(0, |metric| metric as usize);
        let next = (1..=all.len())
            .map(|offset| all[(at + offset) % all.len()])
            .find(|&metric| model.has(metric));
        self.metric = next.unwrap_or(self.metric);
        self.diff = false;
    }

    /// Uses the next scale for the current metric.
    pub fn next_scale(&mut self) {
        self.scales[self.metric as usize] = self.scale().next();
    }

    /// Doubles or halves the context of forecasts.
    pub fn change_target_context(&mut self, up: bool) {
        let most = self.model.as_ref().map_or(1 << 20, |model| model.info.max_context.max(1));
        let next = if up { self.target_context.saturating_mul(2) } else { self.target_context / 2 };
        let next = next.clamp(64.min(most), most);
        if next == self.target_context {
            let end = if up { "most" } else { "fewest" };
            let sentence = format!("{} tokens are the {end} here", numbers::count(next));
            return self.tell(sentence, false);
        }
        self.target_context = next;
    }
}

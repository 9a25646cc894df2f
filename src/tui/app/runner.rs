//! The one place with I/O: terminal events, engine events, signals and time come in; frames and
//! effects go out.

mod effects;
mod opened;
mod playback;
mod threads;

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::Event as TerminalEvent;
use tokio::sync::mpsc::Receiver;

use crate::decode::worker::{Engine, Envelope};
use crate::eval::worker::{EvalNews, Evaluator};
use crate::learn::sensitivity::worker::{Sensed, Sensing};
use crate::learn::worker::{Learner, Notice};
use crate::model::Model;
use crate::tui::app::action::{Action, Effect};
use crate::tui::app::ask_terminal::{Answered, LateAnswers, LateKey};
use crate::tui::app::config::Background;
use crate::tui::app::folders;
use crate::tui::app::opening::{LoadingModel, Openers, next_of_loading};
use crate::tui::app::record::{Player, Recorder};
use crate::tui::app::settings::Reload;
use crate::tui::app::signals::{Signal, Signals};
use crate::tui::app::state::{Dirty, State};
use crate::tui::app::terminal::TerminalGuard;
use crate::tui::app::terminal_input::TerminalInput;
use crate::tui::app::update::update;
use crate::tui::app::{splits, state_folder};
use crate::{Error, Result};

/// Most frames in a second.
const FRAMES: usize = 30;
/// Time between two frames when only statistics have changed.
const STATISTICS: Duration = Duration::from_millis(100);
/// A frame that is due this soon after a batch is drawn with it.
const SLACK: Duration = Duration::from_millis(10);
/// Longest wait for the last update of a learning when the program ends.
const LAST_UPDATE: Duration = Duration::from_secs(20);
/// Engine events are taken in batches at this interval while the user waits for an answer, so that a
/// fast model does not wake the interface for each token. Otherwise a batch comes with each frame:
/// every time that the interface wakes takes a core from decode.
const BATCH: Duration = Duration::from_millis(20);
/// How long after an action of the user, or an order to the engine, an answer is waited for.
const BRISK: Duration = Duration::from_secs(1);

/// Time between two looks at the files of the configuration.
const POLL: Duration = Duration::from_secs(1);

/// The loaded model, shared between the engine and learning.
pub type SharedModel = Arc<OnceLock<Arc<Model>>>;

/// Where events come from.
pub enum EventSource {
    /// A running engine, its model once it is loaded, and how other files are opened.
    Engine(Engine, Receiver<Envelope>, SharedModel, Openers),
    /// A recording.
    Replay(Player),
}

/// How the interface ended.
pub enum Exit {
    /// The user quit. Whether to print a summary.
    Quit(bool),
    /// The model could not be loaded.
    Failed(Error),
    /// A signal asked the program to end, or the terminal is gone.
    Stopped,
}

/// A thread that panics on purpose, for tests of the terminal recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PanicIn {
    /// The interface's thread.
    Interface,
    /// The engine's thread.
    Engine,
    /// Not a panic: the engine's thread runs out of stack.
    Stack,
}

/// What comes from outside besides keys and events.
#[derive(Default)]
pub struct Outside {
    /// Reads the configuration again when it changes.
    pub reload: Option<Reload>,
    /// Takes late answers of the terminal out of the keys.
    pub late: LateAnswers,
    /// The background, once the terminal has told it.
    pub background: Rc<Cell<Option<Background>>>,
}

/// Runs the interface until it ends.
pub fn run(
    state: &mut State,
    source: EventSource,
    recorder: Option<Recorder>,
    guard: TerminalGuard,
    panic: Option<PanicIn>,
    began: Instant,
    outside: Outside,
) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|cause| Error::run(format!("starting the interface: {cause}")))?;
    if let Ok(path) = state_folder::path(splits::FILE) {
        splits::recall(state, &path);
    }
    let mut runner = Runner {
        state,
        source,
        recorder,
        guard,
        panic,
        began,
        drawn: VecDeque::with_capacity(FRAMES),
        learning: None,
        sensing: None,
        evaluating: None,
        outside,
        next_poll: Instant::now() + POLL,
        next_batch: Instant::now(),
        brisk_until: Instant::now() + BRISK,
        loading: None,
        engine_open: true,
        owed: Vec::new(),
        exit: None,
    };
    let exit = runtime.block_on(runner.serve());
    runner.end_learning();
    exit
}

struct Runner<'a> {
    state: &'a mut State,
    source: EventSource,
    recorder: Option<Recorder>,
    guard: TerminalGuard,
    panic: Option<PanicIn>,
    began: Instant,
    /// Times of the last frames.
    drawn: VecDeque<Instant>,
    /// The current learning run; the channel closes when it ends.
    learning: Option<(Learner, Receiver<Notice>)>,
    /// The current measurement of sensitivity; the channel closes when it ends.
    sensing: Option<(Sensing, Receiver<Sensed>)>,
    /// The current evaluation; the channel closes when it ends.
    evaluating: Option<(Evaluator, Receiver<EvalNews>)>,
    outside: Outside,
    /// When the files of the configuration are looked at next.
    next_poll: Instant,
    /// When the next batch of engine events is taken.
    next_batch: Instant,
    /// Until when the user waits for an answer.
    brisk_until: Instant,
    /// Another model that is being loaded.
    loading: Option<LoadingModel>,
    /// Whether the engine still sends events.
    engine_open: bool,
    /// Effects that are still to be performed.
    owed: Vec<Effect>,
    exit: Option<Exit>,
}

impl Runner<'_> {
    async fn serve(&mut self) -> Result<Exit> {
        let mut input = TerminalInput::start()?;
        let mut signals = Signals::new()?;
        let mut batch = Vec::new();
        self.tell(Action::Recalled(folders::recent()));
        if let EventSource::Replay(player) = &self.source {
            let playback = player.playback(self.now_ms());
            self.tell(Action::Played(playback));
        }
        self.draw()?;
        loop {
            if let Some(exit) = self.exit.take() {
                return Ok(exit);
            }
            let draw_at = self.next_frame();
            let wake_at = self.next_wake();
            let (now, next_batch) = (Instant::now(), self.next_batch);
            tokio::select! {
                biased;
                event = input.next() => match event {
                    Some(event) => self.terminal_event(event),
                    // The terminal is gone.
                    None => self.exit = Some(Exit::Stopped),
                },
                signal = signals.next() => match signal {
                    Signal::Stop => self.exit = Some(Exit::Stopped),
                    Signal::Suspend => self.perform(vec![Effect::Suspend])?,
                },
                () = sleep_until(draw_at), if draw_at.is_some_and(|at| at <= now) => self.draw()?,
                count = engine_events(&mut self.source, &mut batch), if self.engine_open && next_batch <= now => {
                    self.engine_open = count > 0;
                    let began = Instant::now();
                    let rest = if began < self.brisk_until { BATCH } else { STATISTICS };
                    self.next_batch = began + rest;
                    for envelope in batch.drain(..) {
                        self.engine_event(envelope)?;
                    }
                    // Flushed before anything else can happen, so that the recording is complete up
                    // to now.
                    if let Some(recorder) = &mut self.recorder {
                        recorder.flush()?;
                    }
                }
                notice = next_of(&mut self.learning) => match notice {
                    Some(notice) => self.act(Action::Learning(Box::new(notice)))?,
                    None => self.learning = None,
                },
                news = next_of(&mut self.sensing) => match news {
                    Some(news) => self.act(Action::Sensing(Box::new(news)))?,
                    None => self.sensing = None,
                },
                news = next_of(&mut self.evaluating) => match news {
                    Some(news) => self.act(Action::Evaluating(Box::new(news)))?,
                    None => self.evaluating = None,
                },
                event = next_of_loading(&mut self.loading) => self.loading_event(event)?,
                () = sleep_until(draw_at) => self.draw()?,
                () = tokio::time::sleep_until(next_batch.into()), if self.engine_open && next_batch > now => {}
                () = sleep_until(wake_at) => self.tick()?,
                () = tokio::time::sleep_until(self.next_poll.into()), if self.outside.reload.is_some() => {
                    self.next_poll = Instant::now() + POLL;
                    self.poll_configuration()?;
                }
            }
        }
    }

    /// What a late answer of the terminal changes.
    fn terminal_told(&mut self, told: Answered) -> Option<Action> {
        let known = self.outside.background.get();
        self.outside.background.set(told.background.or(known));
        match self.outside.reload.as_ref()?.again() {
            Ok(look) => Some(Action::TerminalTold(Box::new(look), told.graphics)),
            // The files are told about where they are looked at.
            Err(_) => None,
        }
    }

    /// Takes the configuration where a file of it has changed.
    fn poll_configuration(&mut self) -> Result<()> {
        let Some(look) = self.outside.reload.as_mut().and_then(Reload::poll) else { return Ok(()) };
        self.act(Action::Configured(Box::new(look.map_err(|error| error.to_string()))))
    }

    /// Lets a learning write what it has learned. It does so after the update at hand; whoever does
    /// not want to wait for that ends the program once more.
    fn end_learning(&mut self) {
        let Some((learner, mut notices)) = self.learning.take() else { return };
        learner.cancel();
        let end = Instant::now() + LAST_UPDATE;
        while Instant::now() < end {
            match notices.try_recv() {
                Err(tokio::sync::mpsc::error::TryRecvError::Disconnected) => return,
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
                Ok(_) => {}
            }
        }
    }

    fn now_ms(&self) -> f64 {
        self.began.elapsed().as_secs_f64() * 1e3
    }

    /// When the next frame may be drawn; `None` while nothing has changed.
    fn next_frame(&self) -> Option<Instant> {
        let last = self.drawn.back().copied()?;
        let budget = match self.drawn.len() {
            FRAMES.. => self.drawn.front().map_or(last, |&first| first + Duration::from_secs(1)),
            _ => last,
        };
        match self.state.dirty {
            Dirty::Clean => None,
            Dirty::Soon => Some(budget.max(last + STATISTICS - SLACK)),
            Dirty::Now => Some(budget),
        }
    }

    /// When the passing of time changes something: a message expires, or the next event of a
    /// recording is due.
    fn next_wake(&self) -> Option<Instant> {
        let toast = self.state.toast.as_ref().map(|toast| toast.until_ms);
        let replay = match &self.source {
            EventSource::Replay(player) => player.due_ms(),
            EventSource::Engine(..) => None,
        };
        let ms = toast.into_iter().chain(replay).min_by(f64::total_cmp)?;
        Some(self.began + Duration::from_secs_f64(ms.max(0.0) / 1e3))
    }

    fn draw(&mut self) -> Result<()> {
        let size = self.guard.size()?;
        if size != self.state.size {
            self.tell(Action::Resize(size.0, size.1));
        }
        self.guard.draw(self.state)?;
        self.state.dirty = Dirty::Clean;
        if self.drawn.len() == FRAMES {
            self.drawn.pop_front();
        }
        self.drawn.push_back(Instant::now());
        self.settle()
    }

    /// Passes an action to `update` with the time, and performs the effects.
    fn act(&mut self, action: Action) -> Result<()> {
        let now = self.now_ms();
        self.tell(Action::Tick(now));
        self.tell(action);
        self.settle()
    }

    /// Passes an action to `update`. What it asks for is owed, until it is done by
    /// [`Self::settle`]: every action can ask for something, a tick and a new size too.
    fn tell(&mut self, action: Action) {
        self.owed.extend(update(self.state, action));
    }

    /// Does what is owed, and what that asks for in turn.
    fn settle(&mut self) -> Result<()> {
        while !self.owed.is_empty() {
            let effects = std::mem::take(&mut self.owed);
            self.perform(effects)?;
        }
        Ok(())
    }

    /// An answer of the engine is waited for.
    fn await_answer(&mut self) {
        let now = Instant::now();
        self.brisk_until = now + BRISK;
        self.next_batch = self.next_batch.min(now + BATCH);
    }

    fn terminal_event(&mut self, event: TerminalEvent) {
        self.await_answer();
        let action = match event {
            TerminalEvent::Key(key) => match self.outside.late.take(&key) {
                LateKey::Pressed => Action::Key(key),
                LateKey::Part => return,
                LateKey::Told(told) => match self.terminal_told(told) {
                    Some(action) => action,
                    None => return,
                },
            },
            TerminalEvent::Mouse(mouse) => Action::Mouse(mouse),
            TerminalEvent::Paste(text) => Action::Paste(text),
            TerminalEvent::Resize(width, height) => Action::Resize(width, height),
            _ => return,
        };
        if let Err(error) = self.act(action) {
            self.exit = Some(Exit::Failed(error));
        }
    }

    fn engine_event(&mut self, envelope: Envelope) -> Result<()> {
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.write(&envelope)
        {
            // A full disk ends the recording, not the session.
            self.recorder = None;
            tracing::error!("{error}");
            self.act(Action::Tell { sentence: error.to_string(), failed: true })?;
        }
        let loaded = matches!(envelope.event, crate::decode::worker::Event::Loaded(_));
        self.act(Action::Engine(Box::new(envelope)))?;
        assert!(
            !(loaded && self.panic == Some(PanicIn::Interface)),
            "on purpose: --panic interface"
        );
        Ok(())
    }

    fn tick(&mut self) -> Result<()> {
        let now = self.now_ms();
        self.tell(Action::Tick(now));
        self.settle()?;
        let EventSource::Replay(player) = &mut self.source else { return Ok(()) };
        let due = player.take_due(now);
        let ended = !due.is_empty() && player.is_at_end();
        let playback = player.playback(now);
        for envelope in due {
            self.act(Action::Engine(Box::new(envelope)))?;
        }
        self.act(Action::Played(playback))?;
        if ended { self.act(Action::ReplayEnded) } else { Ok(()) }
    }

    /// The loaded model.
    fn model(&self, wanted: &str) -> Result<Arc<Model>> {
        let model = match &self.source {
            EventSource::Engine(_, _, model, _) => model.get().cloned(),
            EventSource::Replay(_) => None,
        };
        model.ok_or_else(|| Error::run(format!("there is no model to {wanted}")))
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Takes all waiting events, and waits for the first; 0 when the engine has ended.
async fn engine_events(source: &mut EventSource, batch: &mut Vec<Envelope>) -> usize {
    match source {
        EventSource::Engine(_, events, ..) => events.recv_many(batch, 4096).await,
        EventSource::Replay(_) => std::future::pending().await,
    }
}

/// The next notice of a thread; `None` when it has ended. Without a thread it waits forever.
async fn next_of<Thread, T>(running: &mut Option<(Thread, Receiver<T>)>) -> Option<T> {
    match running {
        Some((_, notices)) => notices.recv().await,
        None => std::future::pending().await,
    }
}

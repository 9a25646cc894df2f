//! Learning on its own thread. It gets one order, reports its progress over a bounded channel, and
//! can be cancelled.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};

use super::check::{CheckRow, Verdict};
use super::run::{self, CheckpointFolder, LearnEvent, LearnMethod, LearnRequest, Outcome};
use super::train::Settings;
use crate::mask::files::{self, Contents, MaskFile};
use crate::model::Model;
use crate::{Error, Result, error};

/// What to learn, as plain data.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Number of the run; its notices carry it.
    pub generation: u64,
    /// Texts to learn from; empty for the fetched ones.
    pub haystack: Vec<PathBuf>,
    /// How channels are chosen.
    pub method: LearnMethod,
    /// Sparsity, alignment, window and seed; by the paper's method the whole training.
    pub settings: Settings,
    /// Shortest and longest context in tokens.
    pub lengths: (usize, usize),
    /// Windows of text that a sensitivity is measured on.
    pub windows: usize,
    /// Samples to learn from by the paper's method.
    pub pool: usize,
    /// Prompts of the check.
    pub check_prompts: usize,
    /// Continue from the checkpoint beside `out`.
    pub resume: bool,
    /// File that the mask is written to; the checkpoint is beside it, with the extension .learning.
    pub out: PathBuf,
}

impl Order {
    /// Folder of the checkpoint: the same as that of `kscope learn` with the same `--out`.
    pub fn checkpoint_folder(&self) -> PathBuf {
        self.out.with_extension("learning")
    }
}

/// A notice from a learning run.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Number of the run.
    pub generation: u64,
    /// Progress notices dropped so far because the channel was full. Updates and ends always
    /// arrive.
    pub dropped: u64,
    /// What happened.
    pub told: Told,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// Progress of the run.
    Going(LearnEvent),
    /// The run is done and the mask is written.
    Done(Box<Done>),
    /// The run was cancelled. Whether what it learned so far is in a checkpoint to resume from.
    Cancelled {
        /// False before the first update.
        resumes: bool,
    },
    /// The run was not started, for this reason: what was there before it stays.
    NotStarted(String),
    /// The run failed, for this reason.
    Failed(String),
    /// The thread panicked, which is a bug.
    Panicked(String),
}

/// The result of a finished run.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// The mask with importance and recipe.
    pub file: MaskFile,
    /// File that holds it.
    pub out: PathBuf,
    /// The check's rows; empty without a check.
    pub rows: Vec<CheckRow>,
    /// The verdict; `None` without a check.
    pub verdict: Option<Verdict>,
    /// Total time in seconds.
    pub seconds: f64,
}

/// Capacity of the channel; progress is dropped when it is full.
const NOTICES: usize = 256;

/// A running learning thread. Dropping it cancels the run.
#[derive(Debug)]
pub struct Learner {
    cancelled: Arc<AtomicBool>,
}

impl Learner {
    /// Starts the thread.
    pub fn spawn(model: Arc<Model>, order: Order) -> Result<(Self, Receiver<Notice>)> {
        let (sender, notices) = channel(NOTICES);
        let cancelled = Arc::new(AtomicBool::new(false));
        let mut outbox = Outbox {
            sender,
            generation: order.generation,
            dropped: 0,
            has_learned: false,
            cancelled: Arc::clone(&cancelled),
        };
        let body = move || {
            let end = match catch_unwind(AssertUnwindSafe(|| learn(&model, &order, &mut outbox))) {
                Ok(Ok(done)) => Told::Done(Box::new(done)),
                Ok(Err(Error::Cancelled)) => {
                    Told::Cancelled { resumes: order.resume || outbox.has_learned }
                }
                Ok(Err(error)) => Told::Failed(error.to_string()),
                Err(panic) => Told::Panicked(error::panic_message(&*panic)),
            };
            // Fails once the receiver is gone, when the notice is no longer needed.
            let _ = outbox.state(end);
        };
        let spawned = std::thread::Builder::new().name("learning".into()).spawn(body);
        spawned.map_err(|cause| Error::run(format!("starting the learning thread: {cause}")))?;
        Ok((Self { cancelled }, notices))
    }

    /// Asks the thread to stop after the current sample, update or window; it writes the checkpoint
    /// first.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Drop for Learner {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// The sending side of the channel.
struct Outbox {
    sender: Sender<Notice>,
    generation: u64,
    dropped: u64,
    /// Whether an update was made; it is saved when the run is cancelled.
    has_learned: bool,
    cancelled: Arc<AtomicBool>,
}

impl Outbox {
    fn notice(&self, told: Told) -> Notice {
        Notice { generation: self.generation, dropped: self.dropped, told }
    }

    /// Sends a notice that must arrive, and waits while the channel is full.
    fn state(&mut self, told: Told) -> Result<()> {
        self.sender.blocking_send(self.notice(told)).map_err(|_| Error::Cancelled)
    }

    /// Sends a notice that the next one of its kind replaces; counts it as dropped when the channel
    /// is full.
    fn statistic(&mut self, told: Told) -> Result<()> {
        match self.sender.try_send(self.notice(told)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                self.dropped += 1;
                Ok(())
            }
            Err(TrySendError::Closed(_)) => Err(Error::Cancelled),
        }
    }

    fn event(&mut self, event: &LearnEvent) -> Result<()> {
        self.has_learned |= matches!(event, LearnEvent::Update(_));
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        let told = Told::Going(event.clone());
        match event {
            LearnEvent::Prefill(..) | LearnEvent::Factors(_) | LearnEvent::Check(_) => {
                self.statistic(told)
            }
            LearnEvent::Dense(_)
            | LearnEvent::Update(_)
            | LearnEvent::Unsaved(_)
            | LearnEvent::Validated { .. } => self.state(told),
        }
    }
}

fn learn(model: &Arc<Model>, order: &Order, outbox: &mut Outbox) -> Result<Done> {
    let _shared = model.decoder.share();
    files::check_writable(&order.out)?;
    let texts = run::texts(model, &order.haystack, "text")?;
    let request = LearnRequest::new(model, texts, order.settings.clone(), order.lengths)?;
    let request = LearnRequest {
        method: order.method,
        windows: order.windows,
        pool: order.pool,
        check_prompts: order.check_prompts,
        ..request
    };
    let place = CheckpointFolder::claim(&order.checkpoint_folder())?;
    let outcome =
        run::learn(model, &request, &place, order.resume, &mut |event| outbox.event(event))?;
    files::save(&order.out, &Contents::Mask(outcome.file.clone()), false)
        .map_err(|error| request.method.survives(&place, error))?;
    let Outcome { file, rows, verdict, seconds, .. } = outcome;
    Ok(Done { file, out: order.out.clone(), rows, verdict, seconds })
}

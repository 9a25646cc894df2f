//! Learning on a thread of its own: told once what to learn, it tells how it goes over a bounded
//! channel and can be cancelled.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};

use super::check::{CheckRow, Verdict};
use super::run::{self, LearnEvent, LearnRequest, Outcome};
use super::train::Settings;
use crate::mask::files::{self, Contents, MaskFile};
use crate::model::Model;
use crate::{Error, Result, error};

/// What to learn, as plain data.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// Number of the learning; its notices carry it.
    pub generation: u64,
    /// Texts to learn from; without, the fetched ones.
    pub haystack: Vec<PathBuf>,
    /// The training.
    pub settings: Settings,
    /// Shortest and longest context in tokens.
    pub lengths: (usize, usize),
    /// Samples to learn from.
    pub pool: usize,
    /// Prompts of the check.
    pub check_prompts: usize,
    /// Go on from the checkpoint beside `out`.
    pub resume: bool,
    /// Where the mask goes; the checkpoint lies beside it, with the ending .learning.
    pub out: PathBuf,
}

impl Order {
    /// The checkpoint's path: `kscope learn` with the same `--out` has the same one.
    pub fn checkpoint(&self) -> PathBuf {
        self.out.with_extension("learning").join("state.safetensors")
    }
}

/// Something that a learning tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The learning that tells it.
    pub generation: u64,
    /// Progress that found no room in the channel so far. Updates and ends always arrive.
    pub dropped: u64,
    /// What happened.
    pub told: Told,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// It goes on.
    Going(LearnEvent),
    /// It is done and the mask is in its file.
    Done(Box<Done>),
    /// It was cancelled; the checkpoint, if there is one already, can be gone on from.
    Cancelled,
    /// It cannot go on, for this reason.
    Failed(String),
    /// It ran into a bug.
    Panicked(String),
}

/// A finished learning.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// The mask with importance and recipe.
    pub file: MaskFile,
    /// Where it lies.
    pub out: PathBuf,
    /// The check's rows; empty without a check.
    pub rows: Vec<CheckRow>,
    /// The judgement; none without a check.
    pub verdict: Option<Verdict>,
    /// The whole time.
    pub seconds: f64,
}

/// Notices that may wait before progress is dropped.
const NOTICES: usize = 256;

/// A running learning. Dropping it cancels.
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
            cancelled: Arc::clone(&cancelled),
        };
        let body = move || {
            let end = match catch_unwind(AssertUnwindSafe(|| learn(&model, &order, &mut outbox))) {
                Ok(Ok(done)) => Told::Done(Box::new(done)),
                Ok(Err(Error::Cancelled)) => Told::Cancelled,
                Ok(Err(error)) => Told::Failed(error.to_string()),
                Err(panic) => Told::Panicked(error::panic_message(&*panic)),
            };
            // Nobody is left to hear it once the receiver is gone.
            let _ = outbox.state(end);
        };
        let spawned = std::thread::Builder::new().name("learning".into()).spawn(body);
        spawned.map_err(|cause| Error::run(format!("starting the learning thread: {cause}")))?;
        Ok((Self { cancelled }, notices))
    }

    /// Asks it to stop after the sample, update or window at hand; the checkpoint is written first.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Drop for Learner {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Where notices go.
struct Outbox {
    sender: Sender<Notice>,
    generation: u64,
    dropped: u64,
    cancelled: Arc<AtomicBool>,
}

impl Outbox {
    fn notice(&self, told: Told) -> Notice {
        Notice { generation: self.generation, dropped: self.dropped, told }
    }

    /// Sends what must arrive, waiting for room.
    fn state(&mut self, told: Told) -> Result<()> {
        self.sender.blocking_send(self.notice(told)).map_err(|_| Error::Cancelled)
    }

    /// Sends what the next one of its kind replaces; counts it where there is no room.
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
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        let told = Told::Going(event.clone());
        match event {
            LearnEvent::Prefill(..) | LearnEvent::Factors(_) | LearnEvent::Check(_) => {
                self.statistic(told)
            }
            LearnEvent::Dense(_) | LearnEvent::Update(_) | LearnEvent::Validated { .. } => {
                self.state(told)
            }
        }
    }
}

fn learn(model: &Arc<Model>, order: &Order, outbox: &mut Outbox) -> Result<Done> {
    let _shared = model.decoder.share();
    let texts = run::texts(model, &order.haystack, "text")?;
    let request = LearnRequest::new(model, texts, order.settings.clone(), order.lengths)?;
    let request = LearnRequest { pool: order.pool, check_prompts: order.check_prompts, ..request };
    let checkpoint = order.checkpoint();
    run::prepare_checkpoint(&checkpoint)?;
    let outcome =
        run::learn(model, &request, &checkpoint, order.resume, &mut |event| outbox.event(event))?;
    files::save(&order.out, &Contents::Mask(outcome.file.clone()), false)?;
    let Outcome { file, rows, verdict, seconds, .. } = outcome;
    Ok(Done { file, out: order.out.clone(), rows, verdict, seconds })
}

//! An evaluation on a thread of its own, for the inspector: one order, news over a bounded channel,
//! and a flag that cancels it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use clap::builder::PossibleValue;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::prompt::Protocol;
use super::recall::RecallTask;
use super::run::{
    CONTROL, DENSE, EvalPlan, Figures, Mask, Newest, Record, Results, RunHeader, SourceHeader,
    Suite, TextPlan, read_results, run,
};
use super::sources::{essay, texts};
use super::stability::StabilityPlan;
use super::text::EvalText;
use crate::cache::CacheSpec;
use crate::element::Dtype;
use crate::mask::{CachePlan, Window};
use crate::model::Model;
use crate::numbers::count;
use crate::{Error, Result, error};

/// What to evaluate, as plain data.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalOrder {
    /// Number of the run; its news carry it.
    pub generation: u64,
    /// What is evaluated.
    pub suite: Suite,
    /// Recall tasks; empty for all.
    pub tasks: Vec<RecallTask>,
    /// Tokens of prompts and chunks, ascending.
    pub ctx: Vec<usize>,
    /// Samples of each recall task and length.
    pub samples: usize,
    /// Chunks of each text.
    pub chunks: usize,
    /// When the question comes.
    pub protocol: Protocol,
    /// Seed of all draws.
    pub seed: u64,
    /// Names and plans, the first with the session's window.
    pub masks: Vec<(String, CachePlan)>,
    /// Sink, recent and chunk of all caches.
    pub window: Window,
    /// Element type of cached keys and values.
    pub kv_dtype: Dtype,
    /// Texts as `kscope eval --text` names them; empty for the fetched ones.
    pub texts: Vec<String>,
    /// Folder of the results; a run that was interrupted goes on there.
    pub out: Option<PathBuf>,
}

/// What a model is evaluated on where no text is named, if that is not what was fetched: the demo
/// knows the language of its sentences alone.
pub fn own_text(model: &str) -> Option<&'static str> {
    (model == "demo").then_some(crate::learn::data::SENTENCES)
}

impl EvalOrder {
    /// The command that would do the same over these texts. Masks are named, not given: on the screen
    /// they may be in no file.
    fn command(&self, texts: &[String]) -> String {
        let name = |value: Option<PossibleValue>| {
            value.map_or_else(String::new, |value| value.get_name().to_owned())
        };
        let list = |items: Vec<String>| items.join(",");
        let mut words = format!("kscope eval --suite {}", name(self.suite.to_possible_value()));
        if !self.tasks.is_empty() {
            let tasks = self.tasks.iter().map(|task| task.name().to_owned());
            words.push_str(&format!(" --tasks {}", list(tasks.collect())));
        }
        words.push_str(&format!(
            " --ctx {} --samples {} --chunks {} --protocol {} --seed {} --kv-dtype {} --sink {} --recent {} --chunk {}",
            list(self.ctx.iter().map(usize::to_string).collect()),
            self.samples,
            self.chunks,
            name(self.protocol.to_possible_value()),
            self.seed,
            self.kv_dtype,
            self.window.sink,
            self.window.recent,
            self.window.chunk
        ));
        if !texts.is_empty() {
            words.push_str(&format!(" --text {}", texts.join(" ")));
        }
        let masks: Vec<&str> = self.masks.iter().map(|(name, _)| name.as_str()).collect();
        format!("{words} (from the Eval screen, with {} as set there)", masks.join(" and "))
    }
}

/// News of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalNews {
    /// Number of the run.
    pub generation: u64,
    /// What happened.
    pub told: EvalTold,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum EvalTold {
    /// Results that are here, results in all, and what the newest one is of.
    Going(usize, usize, String),
    /// A mask answered worse than dense.
    Lost(Box<LostSample>),
    /// The figures so far.
    Figures(Arc<Figures>),
    /// The run is done.
    Done(Arc<Figures>),
    /// The run was cancelled; with a folder it can be gone on with.
    Cancelled,
    /// The run failed, for this reason.
    Failed(String),
    /// The thread panicked, which is a bug.
    Panicked(String),
}

/// A sample that a mask answered worse than dense.
#[derive(Debug, Clone, PartialEq)]
pub struct LostSample {
    /// The task or data set.
    pub task: String,
    /// Most tokens.
    pub ctx: usize,
    /// The sample's number.
    pub index: usize,
    /// The mask.
    pub mask: String,
    /// What an answer must hold.
    pub references: Vec<String>,
    /// What dense said.
    pub dense: String,
    /// What the mask said.
    pub answer: String,
    /// Tokens of the prompt, question included.
    pub prompt: Vec<u32>,
}

/// Capacity of the channel.
const NEWS: usize = 256;

/// Figures are told at most this often while a run goes on.
const FIGURES_EVERY: Duration = Duration::from_millis(500);

/// A running evaluation. Dropping it cancels the run.
#[derive(Debug)]
pub struct Evaluator {
    cancelled: Arc<AtomicBool>,
}

impl Evaluator {
    /// Starts the thread.
    pub fn spawn(model: Arc<Model>, order: EvalOrder) -> Result<(Self, Receiver<EvalNews>)> {
        let (sender, news) = channel(NEWS);
        let cancelled = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&cancelled);
        let body = move || {
            let outbox = Outbox { sender, generation: order.generation, stop };
            let end = match catch_unwind(AssertUnwindSafe(|| evaluate(&model, &order, &outbox))) {
                Ok(Ok(figures)) => EvalTold::Done(Arc::new(figures)),
                Ok(Err(Error::Cancelled)) => EvalTold::Cancelled,
                Ok(Err(error)) => EvalTold::Failed(error.to_string()),
                Err(panic) => EvalTold::Panicked(error::panic_message(&*panic)),
            };
            // Fails once the receiver is gone, when nobody waits for it.
            let _ = outbox.tell(end);
        };
        let spawned = std::thread::Builder::new().name("evaluation".into()).spawn(body);
        spawned.map_err(|cause| Error::run(format!("starting the evaluation: {cause}")))?;
        Ok((Self { cancelled }, news))
    }

    /// Asks the thread to stop after the sample or chunk at hand.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// The sending side.
struct Outbox {
    sender: Sender<EvalNews>,
    generation: u64,
    stop: Arc<AtomicBool>,
}

impl Outbox {
    /// Sends news, and waits while the channel is full.
    fn tell(&self, told: EvalTold) -> Result<()> {
        let news = EvalNews { generation: self.generation, told };
        self.sender.blocking_send(news).map_err(|_| Error::Cancelled)
    }

    fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

fn evaluate(model: &Arc<Model>, order: &EvalOrder, outbox: &Outbox) -> Result<Figures> {
    let _shared = model.decoder.share();
    let (plan, header) = prepared(model, order)?;
    outbox.check()?;
    let mut so_far = Results { header: header.clone(), records: Vec::new() };
    // What an interrupted run left is shown from the beginning.
    let held = order.out.as_ref().map(|folder| folder.join(crate::eval::run::RESULTS));
    if let Some(held) = held.filter(|path| path.exists()) {
        so_far.records = read_results(&held)?.records;
    }
    let mut told = Instant::now();
    let results = run(plan, header, order.out.as_deref(), &mut |done, all, newest| {
        let own = newest.filter(|newest| !newest.is_held);
        let what = own.map_or_else(String::new, |newest| of(newest.record));
        outbox.tell(EvalTold::Going(done, all, what))?;
        let Some(newest) = newest else { return outbox.check() };
        for lost in lost(&newest) {
            outbox.tell(EvalTold::Lost(Box::new(lost)))?;
        }
        if newest.is_held {
            return outbox.check();
        }
        so_far.records.push(newest.record.clone());
        if told.elapsed() >= FIGURES_EVERY {
            outbox.tell(EvalTold::Figures(Arc::new(Figures::of(&so_far))))?;
            told = Instant::now();
        }
        outbox.check()
    })?;
    Ok(Figures::of(&results))
}

/// What a result is of, in few words.
fn of(record: &Record) -> String {
    format!("{} {} at {}", record.suite, record.task, count(record.ctx))
}

/// The masks that answered worse than dense.
fn lost<'a>(newest: &'a Newest<'a>) -> impl Iterator<Item = LostSample> + 'a {
    let record = newest.record;
    let dense = record.answers.iter().find(|answer| answer.mask == DENSE);
    let masks = record.answers.iter().filter(|one| one.mask != DENSE && one.mask != CONTROL);
    masks.filter_map(move |answer| {
        let dense = dense.filter(|dense| answer.score < dense.score)?;
        Some(LostSample {
            task: record.task.clone(),
            ctx: record.ctx,
            index: record.index,
            mask: answer.mask.clone(),
            references: record.references.clone(),
            dense: dense.text.clone(),
            answer: answer.text.clone(),
            prompt: newest.prompt.to_vec(),
        })
    })
}

fn prepared(model: &Arc<Model>, order: &EvalOrder) -> Result<(EvalPlan, RunHeader)> {
    let has = |suite| order.suite == suite || order.suite == Suite::All;
    let shape = model.config().mask_shape();
    let sight = model.config().sight();
    let dense = CacheSpec::dense(shape, order.window, order.kv_dtype)?;
    let dense = Arc::new(dense.with_sight(Arc::clone(&sight)));
    let mask = |(name, plan): &(String, CachePlan)| {
        let spec = CacheSpec::planned(order.window, order.kv_dtype, plan.clone())?;
        let spec = Arc::new(spec.with_sight(Arc::clone(&sight)));
        Ok(Mask { name: name.clone(), spec })
    };
    let masks: Vec<Mask> = order.masks.iter().map(mask).collect::<Result<_>>()?;
    let longest = order.ctx.last().copied().unwrap_or(0);
    let all = [&dense; 2].into_iter().chain(masks.iter().map(|mask| &mask.spec));
    let bytes = all.map(|spec| spec.bytes_at(longest).total()).sum();
    model.check_cache_memory(&format!("caches of {} masks and dense", masks.len()), bytes)?;
    let asked = match (&order.texts[..], own_text(&model.name)) {
        ([], Some(own)) => vec![own.to_owned()],
        (texts, _) => texts.to_vec(),
    };
    let (essay, haystack) = essay(&asked)?;
    let mut sources = Vec::new();
    let (mut plans, mut too_short) = (Vec::new(), Vec::new());
    if has(Suite::Text) {
        let pieces = texts(&asked)?;
        (plans, too_short) = TextPlan::of_texts(model, &pieces, &order.ctx, order.chunks)?;
        let is_read = |piece: &&EvalText| plans.iter().any(|plan| plan.name == piece.name);
        sources.extend(pieces.iter().filter(is_read).map(SourceHeader::of));
    }
    let tasks = match (has(Suite::Recall), &order.tasks[..]) {
        (false, _) => Vec::new(),
        (true, []) => RecallTask::ALL.to_vec(),
        (true, tasks) => tasks.to_vec(),
    };
    let pairs = order.ctx.iter().flat_map(|&ctx| tasks.iter().map(move |&task| (task, ctx)));
    let mut plan = EvalPlan {
        model: Arc::clone(model),
        dense,
        masks,
        recall: pairs.collect(),
        samples: order.samples,
        protocol: order.protocol,
        seed: order.seed,
        essay,
        texts: plans,
        base: None,
        save_base: None,
        data: Vec::new(),
        data_ctx: longest,
        stability: None,
    };
    let mut does_not_fit = plan.leave_out(!order.tasks.is_empty())?;
    does_not_fit.extend(too_short);
    if has(Suite::Stability) {
        let own = order.suite == Suite::Stability;
        let found = StabilityPlan::of_texts(&plan, texts(&asked)?, (longest, order.chunks), own)?;
        plan.stability = found.plan;
        does_not_fit.extend(found.left_out);
        for source in found.sources {
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
    }
    let texts = (has(Suite::Recall).then_some(haystack), sources);
    let header = RunHeader {
        does_not_fit,
        ..RunHeader::of(&plan, &order.ctx, order.command(&asked), texts)
    };
    if header.jobs == 0 {
        let why = header.does_not_fit.join("; ");
        return Err(Error::input(format!("nothing can be evaluated: {why}")));
    }
    Ok((plan, header))
}

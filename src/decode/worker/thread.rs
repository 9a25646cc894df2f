//! The engine's thread: load, then serve commands and decode in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Sender, error::TrySendError};

use super::event::{Command, Envelope, Event, MaskInfo, ModelInfo, Prompt, Rules, Start, Started, StepMs, Token};
use super::live::{Watcher, memory};
use super::{NO_RUN, Watched};
use crate::cache::{CacheSpec, KvDtype};
use crate::decode::session::{NewToken, Request, Session};
use crate::decode::squares::Squares;
use crate::mask::{ChannelMask, Window};
use crate::model::Model;
use crate::model::decoder::{PrefillHooks, StepTimes};
use crate::model::tokenizer::Detokenizer;
use crate::{Error, Result, machine};

/// Makes what the engine works with, on the engine's thread; is given a function that reports the share done and may cancel.
pub type Loader = Box<dyn FnOnce(&mut dyn FnMut(f32) -> Result<()>) -> Result<Setup> + Send>;

/// What the engine works with.
#[derive(Debug)]
pub struct Setup {
    /// The model.
    pub model: Arc<Model>,
    /// The mask; `None` decodes dense.
    pub mask: Option<MaskInfo>,
    /// A second mask, to compare with on screen.
    pub other: Option<MaskInfo>,
    /// Sink, recent and chunk.
    pub window: Window,
    /// Element type of the cache.
    pub kv_dtype: KvDtype,
    /// Largest context in tokens.
    pub context: usize,
    /// Sentences to show.
    pub warnings: Vec<String>,
}

impl Setup {
    fn spec(&self) -> Result<CacheSpec> {
        let shape = self.model.config().mask_shape();
        let mask = self.mask.as_ref().map_or_else(|| ChannelMask::full(shape), |info| info.mask.clone());
        CacheSpec::new(shape, self.window, self.kv_dtype, mask)
    }

    fn info(&self) -> ModelInfo {
        let config = self.model.config();
        ModelInfo {
            name: self.model.name.clone(),
            architecture: config.architecture.to_string(),
            device: self.model.decoder.device_name().to_owned(),
            dtype: self.model.dtype().to_string(),
            weight_bytes: (config.parameters() * self.model.dtype().bytes()) as u64,
            shape: config.mask_shape(),
            heads: config.heads,
            parameters: config.parameters() as u64,
            max_context: config.max_context,
            context: self.context,
            wavelengths: self.model.decoder.rope().wavelengths(),
            kv_dtype: self.kv_dtype.to_string(),
            mask: self.mask.clone(),
            other: self.other.clone(),
            window: self.window,
            warnings: self.warnings.clone(),
        }
    }
}

/// Where events go.
pub struct Outbox {
    sender: Sender<Envelope>,
    newest: Arc<AtomicU64>,
    began: Instant,
    generation: u64,
    dropped: u64,
}

impl Outbox {
    pub fn new(sender: Sender<Envelope>, newest: Arc<AtomicU64>, began: Instant) -> Self {
        Self { sender, newest, began, generation: 0, dropped: 0 }
    }

    fn envelope(&self, event: Event) -> Envelope {
        let at_ms = milliseconds(self.began.elapsed());
        Envelope { generation: self.generation, at_ms, dropped: self.dropped, event }
    }

    /// Sends what must arrive, waiting for room. A receiver that is gone ends the run.
    pub fn state(&mut self, event: Event) {
        if self.sender.blocking_send(self.envelope(event)).is_err() {
            self.newest.store(NO_RUN, Ordering::Relaxed);
        }
    }

    /// Sends what the next one of its kind replaces; counts it where there is no room.
    fn statistic(&mut self, event: Event) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(self.envelope(event)) {
            self.dropped += 1;
        }
    }

    /// Refuses to go on with a run that is no longer wanted.
    fn check(&self) -> Result<()> {
        if self.newest.load(Ordering::Relaxed) == self.generation { Ok(()) } else { Err(Error::Cancelled) }
    }
}

/// One run of the engine.
struct Run {
    session: Session,
    stream: Option<Detokenizer>,
    watcher: Watcher,
    parts: StepTimes,
    /// Steps still to make; `None` runs on.
    steps_left: Option<u32>,
}

/// Loads, then serves commands until told to stop.
pub fn serve(loader: Loader, inbox: &Receiver<Command>, watched: &Watched, outbox: &mut Outbox) {
    let mut last = Instant::now();
    let loaded = loader(&mut |share| {
        outbox.check()?;
        if share >= 1.0 || last.elapsed() > Duration::from_millis(20) {
            last = Instant::now();
            outbox.statistic(Event::Loading(share));
        }
        Ok(())
    });
    let ready = loaded.and_then(|setup| Ok((Arc::new(setup.spec()?), setup)));
    let (spec, setup) = match ready {
        Ok(ready) => ready,
        Err(error) => return outbox.state(failed(&error)),
    };
    outbox.state(Event::Loaded(Box::new(setup.info())));

    let mut run: Option<Run> = None;
    loop {
        let is_running = run.as_ref().is_some_and(|run| !run.session.is_finished() && run.steps_left != Some(0));
        let command = match is_running {
            true => match inbox.try_recv() {
                Ok(command) => Some(command),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return,
            },
            false => match inbox.recv() {
                Ok(command) => Some(command),
                Err(_) => return,
            },
        };
        match command {
            None => {
                let Some(active) = run.as_mut() else { continue };
                active.watcher.watch(watched.get(spec.shape()));
                if let Err(error) = step(active, outbox) {
                    outbox.state(failed(&error));
                    run = None;
                }
                if outbox.newest.load(Ordering::Relaxed) == NO_RUN {
                    return;
                }
            }
            Some(Command::Shutdown) => return,
            Some(Command::Start(start)) => {
                // The old run's memory goes before the new one's comes.
                drop(run.take());
                outbox.generation = start.generation;
                run = match begin(&setup, &spec, *start, outbox) {
                    Ok(run) => Some(run),
                    Err(Error::Cancelled) => None,
                    Err(error) => {
                        outbox.state(failed(&error));
                        None
                    }
                };
            }
            Some(Command::Watch { .. }) => {
                let Some(run) = run.as_mut().filter(|_| !is_running) else { continue };
                // Nothing runs that would tell the detail in its next round.
                run.watcher.watch(watched.get(spec.shape()));
                let heads = setup.model.config().heads;
                if let Some(detail) = run.watcher.head(&run.session.sequences()[0].cache, heads) {
                    outbox.statistic(Event::Head(Box::new(detail)));
                }
            }
            Some(Command::Pause) => pace(&mut run, Some(0), outbox),
            Some(Command::Resume) => pace(&mut run, None, outbox),
            Some(Command::Step(steps)) => pace(&mut run, Some(steps), outbox),
        }
    }
}

/// Whole microseconds: what a clock gives, and few digits in a recording.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn failed(error: &Error) -> Event {
    Event::Failed { sentence: error.to_string(), code: error.exit_code() }
}

/// Changes how many steps are left and says so.
fn pace(run: &mut Option<Run>, steps: Option<u32>, outbox: &mut Outbox) {
    let Some(run) = run.as_mut().filter(|run| !run.session.is_finished()) else { return };
    run.steps_left = steps;
    outbox.state(if steps == Some(0) { Event::Paused } else { Event::Resumed });
}

fn begin(setup: &Setup, spec: &Arc<CacheSpec>, start: Start, outbox: &mut Outbox) -> Result<Run> {
    outbox.check()?;
    let model = &setup.model;
    let config = model.config();
    let (prompt, tokens) = encode(model, start.prompt.clone())?;
    let prompt_tokens = tokens.len();
    let reach = (prompt_tokens + start.max_new).min(setup.context);
    machine::check_memory("the cache", spec.bytes_at(reach).total() as u64)?;
    let request = Request {
        prompts: vec![tokens],
        sampling: start.sampling.clone(),
        max_new: start.max_new,
        forced: None,
        context: setup.context,
        ignore_end: matches!(start.prompt, Prompt::Facts { .. }),
    };
    let mut squares = Squares::new(config);
    let (newest, generation) = (Arc::clone(&outbox.newest), outbox.generation);
    let keep_going = || if newest.load(Ordering::Relaxed) == generation { Ok(()) } else { Err(Error::Cancelled) };
    let hooks = PrefillHooks {
        chunk: PrefillHooks::CHUNK,
        progress: &mut |share| {
            outbox.statistic(Event::Prefill(share));
            keep_going()
        },
        keep_going: &keep_going,
        observe: &mut |view| squares.add(&view),
    };
    let (session, first) = Session::start(Arc::clone(model), spec, request, false, hooks)?;
    outbox.state(Event::Started(Box::new(Started {
        prompt,
        prompt_tokens,
        max_new: start.max_new,
        sampling: start.sampling,
        prefill_ms: milliseconds(session.prefill_time),
        ttft_ms: milliseconds(session.sequences()[0].ttft),
    })));
    // Values that ran out of range make no importance; the maps of these rules are then missing.
    if let (Ok(key_norm), Ok(think)) = (squares.key_norm(), squares.think()) {
        let rules = Rules { key_norm: key_norm.scores().to_vec(), think: think.scores().to_vec() };
        outbox.state(Event::Rules(Box::new(rules)));
    }
    let mut run = Run {
        stream: model.tokenizer.clone().map(Detokenizer::new),
        watcher: Watcher::new(config),
        parts: StepTimes::default(),
        steps_left: None,
        session,
    };
    outbox.statistic(Event::Memory(memory(&run.session.sequences()[0].cache)));
    tell(&mut run, &first, None, outbox);
    Ok(run)
}

fn encode(model: &Model, prompt: Prompt) -> Result<(String, Vec<u32>)> {
    match (prompt, &model.tokenizer) {
        (Prompt::Text { text, raw }, Some(tokenizer)) => {
            let tokens = if raw { tokenizer.encode(&text)? } else { tokenizer.encode_chat(&text)? };
            Ok((text, tokens))
        }
        (Prompt::Facts { text }, Some(tokenizer)) => {
            let tokens = tokenizer.encode(&text)?;
            Ok((text, tokens))
        }
        (Prompt::Text { .. } | Prompt::Facts { .. }, None) => {
            Err(Error::input(format!("{} has no tokenizer: give the prompt with --token-ids", model.name)))
        }
        (Prompt::Tokens(tokens), Some(tokenizer)) => Ok((tokenizer.decode(&tokens)?, tokens)),
        (Prompt::Tokens(tokens), None) => Ok((String::new(), tokens)),
    }
}

/// One decode step, its token, and a round of statistics where one is due.
fn step(run: &mut Run, outbox: &mut Outbox) -> Result<()> {
    let Run { session, watcher, .. } = run;
    let new = session.step(&mut |layer, q, _| watcher.observe(layer, q))?;
    let total = session.step_times.last().copied().unwrap_or_default();
    let (now, before) = (session.parts, run.parts);
    let times = StepMs {
        total: milliseconds(total),
        attention: milliseconds(now.attention - before.attention),
        projections: milliseconds(now.projections - before.projections),
        logits: milliseconds(now.logits - before.logits),
        rest: milliseconds(now.rest - before.rest),
    };
    run.parts = now;
    tell(run, &new, Some(times), outbox);
    let heads = run.session.model().config().heads;
    if let Some((live, head, memory)) = run.watcher.round(&run.session.sequences()[0].cache, heads) {
        outbox.statistic(Event::Live(Box::new(live)));
        outbox.statistic(Event::Head(Box::new(head)));
        outbox.statistic(Event::Memory(memory));
    }
    if let Some(steps) = &mut run.steps_left {
        *steps = steps.saturating_sub(1);
        if *steps == 0 && !run.session.is_finished() {
            outbox.state(Event::Paused);
        }
    }
    Ok(())
}

/// Sends a token, and the end of the run after its last one.
fn tell(run: &mut Run, new: &[NewToken], step: Option<StepMs>, outbox: &mut Outbox) {
    let sequence = &run.session.sequences()[0];
    for token in new {
        let is_end = run.session.model().config().eos.contains(&token.id);
        let text = run.stream.as_mut().filter(|_| !is_end).map(|stream| stream.push(token.id)).unwrap_or_default();
        outbox.state(Event::Token(Box::new(Token {
            n: sequence.generated().len(),
            id: token.id,
            text,
            logprob: token.logprob,
            cached: sequence.cache.tokens(),
            kv: sequence.cache.bytes(),
            step,
        })));
    }
    if let Some(finish) = sequence.finish {
        outbox.state(Event::Finished(finish));
    }
}

//! One run of the engine: a prompt, its decode, and the measurements during it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::command::{Ask, Prompt, Start};
use super::event::{Event, Rules, Started, Turn};
use super::kept::{Kept, ReadPrompt};
use super::mailbox::Mailbox;
use super::measurements::Measurements;
use super::outbox::{Outbox, milliseconds};
use super::setup::Setup;
use super::sides::{Both, Followed, RunSides, Solo};
use super::statistics::{Watcher, memory};
use crate::cache::CacheSpec;
use crate::decode::comparison::check_room;
use crate::decode::moments::MomentSums;
use crate::decode::session::Request;
use crate::model::Model;
use crate::model::decoder::PrefillHooks;
use crate::model::tokenizer::Conversation;
use crate::{Error, Result, machine};

/// A run: a prompt and the decode after it.
pub struct Run {
    /// The sequence.
    pub sides: RunSides,
    /// Live statistics.
    pub watcher: Watcher,
    /// Waiting measurements.
    pub measurements: Measurements,
    /// Steps still to make; `None` runs on.
    pub steps_left: Option<u32>,
    /// The conversation as each side has it, dense first; `None` without a tokenizer.
    talks: Option<[Conversation; 2]>,
    heads: usize,
    /// Least time from one step to the next.
    pub pace: Option<Duration>,
    /// When the last step was made.
    stepped: Option<Instant>,
    /// What the prompt gave.
    prompt: ReadPrompt,
}

impl Run {
    /// Prefills, unless `kept` is the prompt's, and reports the start and the first token. Another
    /// prompt takes the place of the one that is kept.
    pub fn begin(
        setup: &Setup,
        specs: [&Arc<CacheSpec>; 2],
        revision: u64,
        start: Start,
        kept: &mut Option<Kept>,
        outbox: &mut Outbox,
    ) -> Result<Self> {
        outbox.check()?;
        let model = &setup.model;
        let config = model.config();
        let began = std::time::Instant::now();
        let (text, tokens, talk) = encode(model, start.prompt.clone())?;
        let alone = setup.solo.then_some(specs[1]);
        if alone.is_none() {
            check_room(tokens.len(), setup.context.min(config.max_context))?;
        }
        check_memory(setup, specs, &start, tokens.len(), kept.as_ref())?;
        // From here on it is the run's, or no longer wanted.
        let (known, cache) = kept.take().and_then(|kept| kept.serve(&tokens, alone)).unzip();
        let request = Request {
            prompts: vec![tokens.clone()],
            sampling: start.sampling.clone(),
            max_new: start.max_new,
            forced: None,
            context: setup.context,
            ignore_end: start.ignore_end || matches!(start.prompt, Prompt::Facts { .. }),
        };
        let mut moments = MomentSums::new(config)?;
        let keep_going = outbox.wanted();
        let hooks = PrefillHooks {
            chunk: PrefillHooks::CHUNK,
            progress: &mut |share| {
                outbox.statistic(Event::Prefill(share));
                keep_going()
            },
            keep_going: &keep_going,
            observe: &mut |view| moments.add(&view),
        };
        let prefill = std::time::Instant::now();
        let at_hand = cache.zip(known.as_ref().map(|prompt: &ReadPrompt| &prompt.logits[..]));
        let (sides, events) = if setup.solo {
            let (solo, events) = Solo::start(model, specs[1], request, at_hand, hooks)?;
            (RunSides::Solo(Box::new(solo)), events)
        } else {
            let (both, events) = Both::start(model, specs, setup.feed, request, at_hand, hooks)?;
            (RunSides::Pair(Box::new(both)), events)
        };
        let is_kept = known.is_some();
        let prompt = known.unwrap_or_else(|| ReadPrompt {
            tokens,
            logits: sides.logits().to_vec(),
            rules: rules_of(&moments),
            prefill_ms: milliseconds(prefill.elapsed()),
            ttft_ms: milliseconds(began.elapsed()),
        });
        outbox.state(Event::Started(Box::new(Started {
            prompt: text,
            prompt_tokens: prompt.tokens.len(),
            max_new: start.max_new,
            sampling: start.sampling,
            prefill_ms: prompt.prefill_ms,
            ttft_ms: prompt.ttft_ms,
            kept: is_kept,
        })));
        if let Some(rules) = prompt.rules.clone() {
            outbox.state(Event::Rules(Box::new(rules)));
        }
        let mut run = Self {
            sides,
            watcher: Watcher::new(config),
            measurements: Measurements::default(),
            steps_left: None,
            talks: talk.map(|talk| [talk.clone(), talk]),
            heads: config.heads,
            pace: None,
            stepped: None,
            prompt,
        };
        run.measurements.want_now(revision);
        outbox.statistic(Event::Memory(memory(run.sides.cache())));
        events.into_iter().for_each(|event| outbox.state(event));
        run.tell_end(outbox);
        Ok(run)
    }

    /// The prompt with its keys and values, for another run of it. Everything else goes.
    pub fn into_kept(self) -> Option<Kept> {
        let Self { sides, prompt, .. } = self;
        let cache = sides.into_prompt(&prompt.tokens)?;
        Some(Kept { prompt, cache })
    }

    /// Reads another turn of the conversation and reports it with the first token of its answer.
    /// After an error nothing has changed.
    pub fn ask(&mut self, ask: &Ask, mailbox: &Mailbox, outbox: &mut Outbox) -> Result<()> {
        let Some(talks) = &self.talks else {
            return Err(Error::input("the model has no tokenizer, so no text can follow"));
        };
        let began = std::time::Instant::now();
        let from = self.sides.generated();
        let is_wanted = outbox.wanted();
        let keep_going = || match mailbox.is_stopped(ask.number) {
            true => Err(Error::Cancelled),
            false => is_wanted(),
        };
        let hooks = PrefillHooks {
            chunk: PrefillHooks::CHUNK,
            progress: &mut |share| {
                outbox.statistic(Event::Prefill(share));
                keep_going()
            },
            keep_going: &keep_going,
            observe: &mut |_| (),
        };
        let Followed { talks, read, again, events } = self.sides.follow(talks, &ask.text, hooks)?;
        (self.talks, self.steps_left) = (Some(talks), None);
        outbox.state(Event::Turn(Box::new(Turn {
            from,
            text: ask.text.clone(),
            tokens: read,
            ms: milliseconds(began.elapsed()),
            again,
        })));
        events.into_iter().for_each(|event| outbox.state(event));
        self.tell_end(outbox);
        Ok(())
    }

    /// Reports what the run is doing, after a turn that was refused.
    pub fn tell_state(&self, outbox: &mut Outbox) {
        match (self.sides.finish(), self.steps_left) {
            (Some(finish), _) => outbox.state(Event::Finished(finish)),
            (None, Some(0)) => outbox.state(Event::Paused),
            (None, _) => outbox.state(Event::Resumed),
        }
    }

    /// Whether decode steps are to be made.
    pub fn is_running(&self) -> bool {
        self.sides.finish().is_none() && self.steps_left != Some(0)
    }

    /// Time until there is work to do. Measurements do not wait.
    pub fn rest(&self) -> Duration {
        let measures = |both| self.measurements.has_work(both, self.is_running());
        match self.sides.as_pair().is_some_and(measures) {
            true => Duration::ZERO,
            false => self.until_step(),
        }
    }

    /// Time until the next step may be made.
    fn until_step(&self) -> Duration {
        match (self.pace, self.stepped) {
            (Some(least), Some(stepped)) => least.saturating_sub(stepped.elapsed()),
            _ => Duration::ZERO,
        }
    }

    /// Whether there is work to do without a new command.
    pub fn is_busy(&self) -> bool {
        let has_work = |both| self.measurements.has_work(both, self.is_running());
        self.is_running() || self.sides.as_pair().is_some_and(has_work)
    }

    /// Makes a decode step and a measurement step, and a round of statistics where one is due.
    pub fn work(&mut self, outbox: &mut Outbox) -> Result<()> {
        let is_due = self.is_running() && self.until_step().is_zero();
        if is_due && !self.measurements.is_exclusive() {
            self.stepped = Some(Instant::now());
            let Self { sides, watcher, .. } = self;
            let events = sides.step(&mut |layer, q, _| watcher.observe(layer, q))?;
            events.into_iter().for_each(|event| outbox.state(event));
            if let Some((live, head, memory)) = self.watcher.round(self.sides.cache(), self.heads) {
                outbox.statistic(Event::Live(Box::new(live)));
                outbox.statistic(Event::Head(Box::new(head)));
                outbox.statistic(Event::Memory(memory));
            }
            // The end comes last: a receiver that sees it has seen everything of the run.
            self.tell_end(outbox);
            if let Some(steps) = &mut self.steps_left {
                *steps = steps.saturating_sub(1);
                if *steps == 0 && self.sides.finish().is_none() {
                    outbox.state(Event::Paused);
                }
            }
        }
        let is_running = self.is_running();
        if let Some(both) = self.sides.as_pair()
            && let Some(event) = self.measurements.work(both, is_running)?
        {
            outbox.state(event);
        }
        Ok(())
    }

    /// Sends the live detail of the watched head.
    pub fn tell_head(&self, outbox: &mut Outbox) {
        if let Some(detail) = self.watcher.head(self.sides.cache(), self.heads) {
            outbox.statistic(Event::Head(Box::new(detail)));
        }
    }

    /// Reports the end of the run once it has ended.
    pub fn tell_end(&self, outbox: &mut Outbox) {
        if let Some(finish) = self.sides.finish() {
            outbox.state(Event::Finished(finish));
        }
    }
}

/// Refuses a run whose caches have no memory to grow to. The memory of `kept` becomes theirs, or
/// is freed.
fn check_memory(
    setup: &Setup,
    specs: [&Arc<CacheSpec>; 2],
    start: &Start,
    prompt: usize,
    kept: Option<&Kept>,
) -> Result<()> {
    let reach = prompt.saturating_add(start.max_new).min(setup.context);
    let (name, specs) = match setup.solo {
        true => ("the cache", &specs[1..]),
        false => ("a dense and a pruned cache", &specs[..]),
    };
    let bytes: usize = specs.iter().map(|spec| spec.bytes_at(reach).total()).sum();
    let there = kept.map_or(0, |kept| kept.cache.bytes().total());
    machine::check_memory(name, bytes.saturating_sub(there) as u64)
}

/// Importance by the rules that need a text. Values out of range give none; the maps of these rules
/// are then missing.
fn rules_of(sums: &MomentSums) -> Option<Rules> {
    let scored = sums.importances().ok()?.into_iter();
    Some(Rules::new(scored.map(|(rule, importance)| (rule, importance.scores().to_vec()))))
}

/// The number of tokens of a prompt, chat template included.
///
/// # Errors
/// A model without a tokenizer, and what the tokenizer or its template refuses.
pub fn prompt_tokens(model: &Model, prompt: Prompt) -> Result<usize> {
    encode(model, prompt).map(|(_, tokens, _)| tokens.len())
}

/// A prompt's text and tokens, and the conversation that goes on from it.
fn encode(model: &Model, prompt: Prompt) -> Result<(String, Vec<u32>, Option<Conversation>)> {
    let Some(tokenizer) = &model.tokenizer else {
        return match prompt {
            Prompt::Tokens(tokens) => Ok((String::new(), tokens, None)),
            Prompt::Text { .. } | Prompt::Facts { .. } => Err(Error::input(format!(
                "{} has no tokenizer: give the prompt with --token-ids",
                model.name
            ))),
        };
    };
    let plain = || Some(Conversation::plain(tokenizer));
    match prompt {
        Prompt::Text { text, raw: false } => {
            let (talk, tokens) = Conversation::chat(tokenizer, &text)?;
            Ok((text, tokens, Some(talk)))
        }
        Prompt::Text { text, raw: true } | Prompt::Facts { text } => {
            let tokens = tokenizer.encode(&text)?;
            Ok((text, tokens, plain()))
        }
        Prompt::Tokens(tokens) => Ok((tokenizer.decode(&tokens)?, tokens, plain())),
    }
}

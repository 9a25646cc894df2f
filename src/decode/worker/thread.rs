//! The engine's thread: loads, then runs commands, and decodes and measures in between.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::command::{Ask, EngineOrder, Queued, Retune, Trial};
use super::event::{Bandwidth, Event, NO_ANSWER, Retuned, Wish};
use super::kept::Kept;
use super::mailbox::Mailbox;
use super::outbox::{Outbox, milliseconds};
use super::run::Run;
use super::setup::{Loader, Setup};
use crate::attention::read_bandwidth;
use crate::cache::CacheSpec;
use crate::decode::attended::{AskedRange, MOST_STEPS, positions_a_column};
use crate::decode::comparison::Mode;
use crate::decode::lost::Asked;
use crate::decode::sampler::Sampling;
use crate::{Error, Result, machine};

/// Bytes and passes of a measurement of the bandwidth: more than caches hold, and soon done.
const WORKING_SET: usize = 512 << 20;
const PASSES: usize = 4;

/// Loads, then runs commands until it is told to stop.
pub fn serve(loader: Loader, inbox: &Receiver<Queued>, mailbox: &Mailbox, outbox: &mut Outbox) {
    let mut last = Instant::now();
    let loaded = loader(&mut |share| {
        // A run that is wanted already begins when the model is there.
        if outbox.is_over() {
            return Err(Error::Cancelled);
        }
        if share >= 1.0 || last.elapsed() > Duration::from_millis(20) {
            last = Instant::now();
            outbox.statistic(Event::Loading(share));
        }
        Ok(())
    });
    let ready =
        loaded.and_then(|setup| Ok((Arc::new(setup.dense()?), Arc::new(setup.spec()?), setup)));
    let (dense, pruned, setup) = match ready {
        Ok(ready) => ready,
        Err(error) => return outbox.state(failed(&error)),
    };
    outbox.state(Event::Loaded(Box::new(setup.info())));
    let mut desk = Desk {
        setup,
        dense,
        pruned,
        revision: 0,
        waiting: None,
        pace: None,
        run: None,
        attending: None,
        kept: None,
    };
    loop {
        desk.take_mail(mailbox, outbox);
        let is_busy = desk.attending.is_some() || desk.run.as_ref().is_some_and(Run::is_busy);
        let order = match is_busy {
            true => match desk.next(inbox) {
                Ok(order) => order,
                Err(RecvTimeoutError::Timeout) => {
                    desk.work(outbox);
                    desk.attend(outbox);
                    if outbox.is_over() {
                        return;
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            },
            false => match inbox.recv() {
                Ok(order) => order,
                Err(_) => return,
            },
        };
        match order {
            Queued::Do(EngineOrder::Shutdown) => return,
            Queued::Do(EngineOrder::Ask(ask)) => desk.ask(&ask, mailbox, outbox),
            Queued::Do(command) => desk.obey(command, outbox),
            Queued::Look => desk.look(mailbox, outbox),
        }
    }
}

fn failed(error: &Error) -> Event {
    Event::Failed { sentence: error.to_string(), code: error.exit_code() }
}

fn refused(wish: Wish, error: &Error) -> Event {
    Event::Refused { wish, sentence: error.to_string() }
}

/// The state of the thread.
struct Desk {
    setup: Setup,
    dense: Arc<CacheSpec>,
    pruned: Arc<CacheSpec>,
    /// Number of the last accepted change of the mask.
    revision: u64,
    /// A change that the current run could not take; the next one begins with it.
    waiting: Option<Retune>,
    /// Least time of a step.
    pace: Option<Duration>,
    run: Option<Run>,
    /// Steps whose attention is still to be reported.
    attending: Option<Attending>,
    /// The prompt of the last run, until another one is read.
    kept: Option<Kept>,
}

/// Steps whose attention is to be reported, from the last one on.
struct Attending {
    asked: AskedRange,
    /// The step that is next.
    next: usize,
    /// Positions in a column.
    each: usize,
}

impl Desk {
    /// The next order; a time-out when there is work to do.
    fn next(&self, inbox: &Receiver<Queued>) -> Result<Queued, RecvTimeoutError> {
        let rest = match (&self.run, &self.attending) {
            (Some(run), None) => run.rest(),
            _ => Duration::ZERO,
        };
        inbox.recv_timeout(rest)
    }

    /// Makes one round of work; a run that fails ends.
    fn work(&mut self, outbox: &mut Outbox) {
        if let Some(run) = &mut self.run
            && let Err(error) = run.work(outbox)
        {
            outbox.state(failed(&error));
            self.run = None;
        }
    }

    /// Takes what is in the mailbox.
    fn take_mail(&mut self, mailbox: &Mailbox, outbox: &mut Outbox) {
        if let Some(retune) = mailbox.take_retune() {
            self.retune(*retune, outbox);
        }
        let Some(run) = &mut self.run else { return };
        run.watcher.watch(mailbox.watched(self.pruned.shape()));
        if let Some(asked) = mailbox.take_asked() {
            match run
                .sides
                .as_pair()
                .map_or_else(|| Err(Error::input(SOLO)), |both| both.lost(asked))
            {
                Ok(lost) => outbox.state(Event::Lost(Box::new(lost))),
                Err(error) => outbox.state(refused(Wish::Explain, &error)),
            }
        }
    }

    /// Begins to report the attention of steps.
    fn ask_attention(&mut self, asked: AskedRange, outbox: &mut Outbox) {
        let (from, to) = asked.steps;
        let sides = self.run.as_ref().map(|run| &run.sides);
        let error = match sides {
            _ if from > to || to - from >= MOST_STEPS => {
                format!("expected up to {MOST_STEPS} steps, found {from} to {to}")
            }
            Some(sides) if sides.as_pair().is_some() => {
                let each = positions_a_column(sides.cache().tokens());
                self.attending = Some(Attending { asked, next: to, each });
                return;
            }
            _ => SOLO.to_owned(),
        };
        outbox.state(refused(Wish::Attend, &Error::input(error)));
    }

    /// Reports the attention of one more step.
    fn attend(&mut self, outbox: &mut Outbox) {
        let Some(Attending { asked, next, each }) = &mut self.attending else { return };
        let AskedRange { layer, head, steps } = *asked;
        let step = Asked { n: *next, layer, head };
        let both = self.run.as_ref().and_then(|run| run.sides.as_pair());
        let told = both.map(|both| both.attended(step, *each));
        let is_last = *next <= steps.0;
        *next = next.saturating_sub(1);
        if is_last || !matches!(told, Some(Ok(_))) {
            self.attending = None;
        }
        match told {
            Some(Ok(row)) => outbox.state(Event::Attended(Box::new(row))),
            Some(Err(error)) => outbox.state(refused(Wish::Attend, &error)),
            None => {}
        }
    }

    /// Reports another watched head while no run would report it by itself.
    fn look(&mut self, mailbox: &Mailbox, outbox: &mut Outbox) {
        let Some(run) = self.run.as_mut().filter(|run| !run.is_running()) else { return };
        run.watcher.watch(mailbox.watched(self.pruned.shape()));
        run.tell_head(outbox);
    }

    /// Reads another turn; where it cannot be, what there was goes on.
    fn ask(&mut self, ask: &Ask, mailbox: &Mailbox, outbox: &mut Outbox) {
        let Some(run) = &mut self.run else {
            let error = Error::input(NO_ANSWER);
            return outbox.state(refused(Wish::Ask, &error));
        };
        match run.ask(ask, mailbox, outbox) {
            Ok(()) => run.measurements.want_now(self.revision),
            Err(error) => {
                let error = match error {
                    Error::Cancelled => {
                        Error::run("the turn was stopped: nothing of it is in the caches")
                    }
                    error => error,
                };
                outbox.state(refused(Wish::Ask, &error));
                run.tell_state(outbox);
            }
        }
    }

    fn obey(&mut self, command: EngineOrder, outbox: &mut Outbox) {
        match command {
            EngineOrder::Start(start) => {
                self.attending = None;
                // The old run's memory is freed before the new one's is allocated, all but its
                // prompt's.
                if let Some(run) = self.run.take() {
                    self.kept = run.into_kept();
                }
                outbox.generation = start.generation;
                if let Some(retune) = self.waiting.take() {
                    self.retune(retune, outbox);
                }
                self.run = match Run::begin(
                    &self.setup,
                    [&self.dense, &self.pruned],
                    self.revision,
                    *start,
                    &mut self.kept,
                    outbox,
                ) {
                    Ok(mut run) => {
                        run.pace = self.pace;
                        Some(run)
                    }
                    Err(Error::Cancelled) => None,
                    Err(error) => {
                        outbox.state(failed(&error));
                        None
                    }
                };
            }
            EngineOrder::Pause => self.leave(Some(0), outbox),
            EngineOrder::Resume => self.leave(None, outbox),
            EngineOrder::Step(steps) => self.leave(Some(steps), outbox),
            EngineOrder::Pace(tokens) => {
                self.pace = tokens.map(|tokens| Duration::from_secs(1) / tokens.max(1));
                if let Some(run) = &mut self.run {
                    run.pace = self.pace;
                }
            }
            EngineOrder::Feed(mode) => self.feed(mode, outbox),
            EngineOrder::GoOn { sampling, ignore_end } => self.go_on(sampling, ignore_end, outbox),
            EngineOrder::Rewind(generated) => self.rewind(generated, outbox),
            EngineOrder::Sweep(trials) => self.sweep(trials, outbox),
            EngineOrder::Time => self.time(outbox),
            EngineOrder::Attend(asked) => self.ask_attention(asked, outbox),
            EngineOrder::Bandwidth => self.bandwidth(outbox),
            // These are taken from the mailbox, or handled by the loop.
            EngineOrder::Watch { .. }
            | EngineOrder::Ask(_)
            | EngineOrder::StopAsk(_)
            | EngineOrder::Retune(_)
            | EngineOrder::Explain(_)
            | EngineOrder::Shutdown => {}
        }
    }

    /// Changes how many steps are left and reports it.
    fn leave(&mut self, steps: Option<u32>, outbox: &mut Outbox) {
        let Some(run) = self.run.as_mut().filter(|run| run.sides.finish().is_none()) else {
            return;
        };
        run.steps_left = steps;
        outbox.state(if steps == Some(0) { Event::Paused } else { Event::Resumed });
    }

    /// Changes how the next tokens are chosen, and goes on past an end token.
    fn go_on(&mut self, sampling: Option<Sampling>, ignore_end: bool, outbox: &mut Outbox) {
        let Some(run) = &mut self.run else { return };
        let before = run.sides.finish();
        match run.sides.go_on(sampling, ignore_end) {
            Ok(sampling) => {
                outbox.state(Event::WentOn { sampling, ignore_end });
                if before.is_some() && run.sides.finish().is_none() {
                    run.steps_left = None;
                    outbox.state(Event::Resumed);
                }
                self.tell_end(outbox);
            }
            Err(error) => outbox.state(refused(Wish::GoOn, &error)),
        }
    }

    fn retune(&mut self, retune: Retune, outbox: &mut Outbox) {
        match self.try_retune(&retune) {
            Ok((from, ms)) => {
                let Retune { revision, mask, window } = retune;
                (self.setup.mask, self.setup.window) = (Some(mask.clone()), window);
                (self.revision, self.waiting, self.attending) = (revision, None, None);
                if let Some(run) = &mut self.run {
                    run.measurements.want_now(revision);
                }
                outbox.state(Event::Retuned(Box::new(Retuned {
                    revision,
                    mask,
                    window,
                    from,
                    ms,
                })));
                self.tell_end(outbox);
            }
            Err(error) => {
                outbox.state(refused(Wish::Retune(retune.revision), &error));
                self.waiting = self.setup.solo.then_some(retune);
            }
        }
    }

    /// Builds the pruned side's new cache; gives the generated tokens so far and the time that it
    /// took.
    fn try_retune(&mut self, retune: &Retune) -> Result<(Option<usize>, f64)> {
        let began = Instant::now();
        retune.window.check()?;
        let plan = retune.mask.plan.clone();
        if plan.shape() != self.pruned.shape() {
            return Err(Error::input(format!(
                "the plan has shape {}, the cache {}",
                plan.shape(),
                self.pruned.shape()
            )));
        }
        let spec = CacheSpec::planned(retune.window, self.pruned.dtype(), plan)?;
        let spec = Arc::new(spec.with_sight(Arc::clone(self.pruned.sight())));
        if let Some(run) = &self.run {
            // The old cache goes when the new one is there.
            let bytes = spec.bytes_at(run.sides.cache().tokens()).total();
            self.setup.model.check_cache_memory("another cache", bytes)?;
        }
        let from = match &mut self.run {
            Some(run) => {
                run.sides.retune(&spec)?;
                Some(run.sides.generated())
            }
            None => None,
        };
        self.pruned = spec;
        Ok((from, milliseconds(began.elapsed())))
    }

    fn feed(&mut self, mode: Mode, outbox: &mut Outbox) {
        self.setup.feed = mode;
        let fed = match self.run.as_mut().map(|run| run.sides.pair()) {
            Some(Some(both)) => both.feed(mode),
            Some(None) => Err(Error::input(SOLO)),
            None => Ok(()),
        };
        match fed {
            Ok(()) => {
                outbox.state(Event::Fed(mode));
                self.tell_end(outbox);
            }
            Err(error) => outbox.state(refused(Wish::Feed, &error)),
        }
    }

    fn rewind(&mut self, generated: usize, outbox: &mut Outbox) {
        let Some(run) = &mut self.run else { return };
        let rewound = match run.sides.pair() {
            Some(both) => both.rewind(generated).map(|()| both.told()),
            None => Err(Error::input(SOLO)),
        };
        match rewound {
            Ok(n) => {
                self.attending = None;
                run.steps_left = Some(0);
                run.measurements.want_now(self.revision);
                outbox.state(Event::Rewound(n));
                outbox.state(Event::Paused);
                self.tell_end(outbox);
            }
            Err(error) => outbox.state(refused(Wish::Rewind, &error)),
        }
    }

    fn sweep(&mut self, trials: Vec<Trial>, outbox: &mut Outbox) {
        let Some(run) = &mut self.run else { return };
        match run.sides.as_pair() {
            Some(_) => run.measurements.want_trials(trials),
            None => outbox.state(refused(Wish::Sweep, &Error::input(SOLO))),
        }
    }

    fn time(&mut self, outbox: &mut Outbox) {
        let Some(run) = &mut self.run else { return };
        match run.sides.as_pair() {
            Some(both) if both.recent.is_empty() => {
                outbox.state(refused(
                    Wish::Time,
                    &Error::input("nothing decoded yet that could be timed"),
                ));
            }
            Some(_) => run.measurements.want_timed(),
            None => outbox.state(refused(Wish::Time, &Error::input(SOLO))),
        }
    }

    /// Measures how fast memory is read. Nothing decodes meanwhile, because this is the thread that
    /// would.
    fn bandwidth(&self, outbox: &mut Outbox) {
        let model = &self.setup.model;
        if let Err(error) = machine::check_memory("measuring the bandwidth", WORKING_SET as u64) {
            return outbox.state(refused(Wish::Bandwidth, &error));
        }
        let began = Instant::now();
        let gbps = read_bandwidth(WORKING_SET, PASSES);
        outbox.state(Event::Bandwidth(Box::new(Bandwidth {
            gbps,
            threads: rayon::current_num_threads(),
            weights: model.decoder.step_weight_bytes(),
            ms: milliseconds(began.elapsed()),
        })));
    }

    /// Reports the end of the run if a change of its text ended it.
    fn tell_end(&self, outbox: &mut Outbox) {
        if let Some(run) = &self.run {
            run.tell_end(outbox);
        }
    }
}

const SOLO: &str =
    "the pruned side runs alone (--solo): there is no dense side to compare with or to go back on";

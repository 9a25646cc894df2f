//! Measurements during decode: one replayed step at a time, so that neither waits long for the
//! other. A mask and the dense side are replayed in turn, so that their times can be compared.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::command::Trial;
use super::event::{Event, Measured, Subject, Timed};
use super::sides::Both;
use crate::Result;
use crate::cache::CacheSpec;
use crate::decode::divergence::Divergence;
use crate::decode::replay::{PairedReplay, ROUNDS, Replay, Stretch};
use crate::model::Model;
use crate::spread::Spread;

/// The measurements that are waiting.
#[derive(Default)]
pub struct Measurements {
    /// The revision of the current mask, until it is measured.
    now: Option<u64>,
    timed: bool,
    trials: VecDeque<Trial>,
    /// The steps that all trials of a sweep are measured over.
    sweep: Option<Arc<Stretch>>,
    at_work: Option<Job>,
}

struct Job {
    kind: Kind,
    stretch: Arc<Stretch>,
}

impl Job {
    /// Repeats the next step; false once there is none.
    fn step(&mut self, model: &Model) -> Result<bool> {
        match &mut self.kind {
            Kind::Now(_, pair) | Kind::Trial(_, pair) => pair.step(model),
            Kind::Timed(_, replay) => replay.step(model),
        }
    }
}

enum Kind {
    Now(u64, PairedReplay),
    Trial(u64, PairedReplay),
    /// One side at a time, in rounds of its own.
    Timed(Rounds, Replay),
}

/// A timed run, one round after the other.
#[derive(Default)]
struct Rounds {
    done: usize,
    times: [Vec<Duration>; 2],
}

impl Measurements {
    /// Requests a measurement of the current mask, instead of the one before.
    pub fn want_now(&mut self, revision: u64) {
        self.now = Some(revision);
        self.at_work.take_if(|job| matches!(job.kind, Kind::Now(..) | Kind::Timed(..)));
    }

    /// Requests measurements of these masks instead of those that are waiting.
    pub fn want_trials(&mut self, trials: Vec<Trial>) {
        self.trials = trials.into();
        self.sweep = None;
        self.at_work.take_if(|job| matches!(job.kind, Kind::Trial(..)));
    }

    /// Requests a timed run of both sides.
    pub fn want_timed(&mut self) {
        self.timed = true;
    }

    /// Whether decode has to pause meanwhile.
    pub fn is_exclusive(&self) -> bool {
        matches!(self.at_work, Some(Job { kind: Kind::Timed(..), .. }))
    }

    /// Whether there is something to do. During decode nothing starts before the stretch is full.
    pub fn has_work(&self, both: &Both, is_running: bool) -> bool {
        let wanted = self.now.is_some() || self.timed || !self.trials.is_empty();
        self.at_work.is_some() || wanted && can_start(both, is_running)
    }

    /// Repeats one step; gives an event when a measurement is complete.
    pub fn work(&mut self, both: &Both, is_running: bool) -> Result<Option<Event>> {
        let model = Arc::clone(both.comparison.model());
        if self.at_work.is_none() && can_start(both, is_running) {
            self.at_work = self.next(both)?;
        }
        let Some(job) = &mut self.at_work else { return Ok(None) };
        if job.step(&model)? {
            return Ok(None);
        }
        let Some(Job { kind, stretch }) = self.at_work.take() else { return Ok(None) };
        match kind {
            Kind::Now(revision, pair) => {
                self.now.take_if(|wanted| *wanted == revision);
                Ok(Some(measured(Subject::Now(revision), &stretch, &pair, 0)))
            }
            Kind::Trial(id, pair) => {
                Ok(Some(measured(Subject::Trial(id), &stretch, &pair, self.trials.len())))
            }
            Kind::Timed(mut rounds, replay) => {
                rounds.times[ROUNDS[rounds.done]].extend(&replay.times);
                rounds.done += 1;
                if rounds.done < ROUNDS.len() {
                    self.at_work = Some(timed(both, stretch, rounds)?);
                    return Ok(None);
                }
                let [a_ms, b_ms] = rounds.times.map(|times| Spread::of_times(&times));
                Ok(Some(Event::Timed(Box::new(Timed {
                    steps: 2 * stretch.steps().len(),
                    a_ms,
                    b_ms,
                }))))
            }
        }
    }

    fn next(&mut self, both: &Both) -> Result<Option<Job>> {
        let model = both.comparison.model();
        let side = &both.comparison.a;
        let stretch = || {
            let stretch = Stretch::new(&side.caches[0], &both.recent)?;
            Ok(Arc::new(stretch.of_text(&side.generated[0])))
        };
        let at_work = both.comparison.b.caches[0].spec();
        if std::mem::take(&mut self.timed) {
            return Ok(Some(timed(both, stretch()?, Rounds::default())?));
        }
        if let Some(revision) = self.now {
            let stretch = stretch()?;
            let pair = PairedReplay::new(model, &stretch, at_work)?;
            return Ok(Some(Job { kind: Kind::Now(revision, pair), stretch }));
        }
        let Some(Trial { id, plan, window }) = self.trials.pop_front() else { return Ok(None) };
        let stretch = match &self.sweep {
            Some(stretch) => Arc::clone(stretch),
            None => Arc::clone(self.sweep.insert(stretch()?)),
        };
        let spec = CacheSpec::planned(window, at_work.dtype(), plan)?;
        let spec = Arc::new(spec.with_sight(Arc::clone(at_work.sight())));
        let pair = PairedReplay::new(model, &stretch, &spec)?;
        Ok(Some(Job { kind: Kind::Trial(id, pair), stretch }))
    }
}

fn can_start(both: &Both, is_running: bool) -> bool {
    both.recent.is_full() || !is_running && !both.recent.is_empty()
}

fn timed(both: &Both, stretch: Arc<Stretch>, rounds: Rounds) -> Result<Job> {
    let spec = match ROUNDS[rounds.done] {
        0 => Arc::clone(stretch.dense_spec()),
        _ => Arc::clone(both.comparison.b.caches[0].spec()),
    };
    let replay = Replay::new(both.comparison.model(), Arc::clone(&stretch), &spec)?;
    Ok(Job { kind: Kind::Timed(rounds, replay), stretch })
}

fn measured(subject: Subject, stretch: &Stretch, pair: &PairedReplay, left: usize) -> Event {
    let steps = &pair.own.steps;
    Event::Measured(Box::new(Measured {
        subject,
        divergence: Divergence::of(steps),
        klds: steps.iter().map(|step| step.kld as f32).collect(),
        a_ms: Spread::of_times(&pair.dense.times),
        b_ms: Spread::of_times(&pair.own.times),
        beside: pair.beside(),
        kv: pair.own.kv_bytes(),
        dense_kv: stretch.dense_bytes(),
        left,
        over: stretch.checksum(),
        cached: stretch.end(),
        repeats: stretch.repeats(),
        with_middle: Some(stretch.with_middle(pair.own.spec())),
    }))
}

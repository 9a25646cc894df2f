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
use crate::decode::divergence::{Divergence, StepDivergence};
use crate::decode::replay::{ROUNDS, Replay, Stretch};
use crate::model::Model;
use crate::spread::{MedianInterval, Spread};

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
    replay: Replay,
    /// The dense side over the same steps, in turn with the mask's; none in a timed run, which has
    /// rounds of its own.
    dense: Option<Replay>,
}

impl Job {
    /// Repeats the next step, and that of the dense side before or after it; false once there is
    /// none.
    fn step(&mut self, model: &Model) -> Result<bool> {
        let Some(dense) = &mut self.dense else { return self.replay.step(model) };
        // Neither side always comes second.
        let is_first = self.replay.times.len().is_multiple_of(2);
        if is_first {
            dense.step(model)?;
        }
        let goes_on = self.replay.step(model)?;
        if !is_first {
            dense.step(model)?;
        }
        Ok(goes_on)
    }
}

enum Kind {
    Now(u64),
    Trial(u64),
    Timed(Rounds),
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
        self.at_work.take_if(|job| matches!(job.kind, Kind::Now(_) | Kind::Timed(_)));
    }

    /// Requests measurements of these masks instead of those that are waiting.
    pub fn want_trials(&mut self, trials: Vec<Trial>) {
        self.trials = trials.into();
        self.sweep = None;
        self.at_work.take_if(|job| matches!(job.kind, Kind::Trial(_)));
    }

    /// Requests a timed run of both sides.
    pub fn want_timed(&mut self) {
        self.timed = true;
    }

    /// Whether decode has to pause meanwhile.
    pub fn is_exclusive(&self) -> bool {
        matches!(self.at_work, Some(Job { kind: Kind::Timed(_), .. }))
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
        let Some(Job { kind, stretch, replay, dense }) = self.at_work.take() else {
            return Ok(None);
        };
        let replays = (&replay, dense.as_ref());
        match kind {
            Kind::Now(revision) => {
                self.now.take_if(|wanted| *wanted == revision);
                Ok(Some(measured(Subject::Now(revision), &stretch, replays, 0)))
            }
            Kind::Trial(id) => {
                Ok(Some(measured(Subject::Trial(id), &stretch, replays, self.trials.len())))
            }
            Kind::Timed(mut rounds) => {
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
        let stretch = || Ok(Arc::new(Stretch::new(&both.comparison.a.caches[0], &both.recent)?));
        let job = |kind, stretch: Arc<Stretch>, spec: &Arc<CacheSpec>| {
            let replay = Replay::new(model, Arc::clone(&stretch), spec)?;
            let dense = Replay::new(model, Arc::clone(&stretch), stretch.dense_spec())?;
            Ok(Some(Job { kind, stretch, replay, dense: Some(dense) }))
        };
        let at_work = both.comparison.b.caches[0].spec();
        if std::mem::take(&mut self.timed) {
            return Ok(Some(timed(both, stretch()?, Rounds::default())?));
        }
        if let Some(revision) = self.now {
            return job(Kind::Now(revision), stretch()?, at_work);
        }
        let Some(Trial { id, plan, window }) = self.trials.pop_front() else { return Ok(None) };
        let stretch = match &self.sweep {
            Some(stretch) => Arc::clone(stretch),
            None => Arc::clone(self.sweep.insert(stretch()?)),
        };
        let spec = CacheSpec::planned(window, at_work.dtype(), plan)?;
        let spec = spec.with_sight(Arc::clone(at_work.sight()));
        job(Kind::Trial(id), stretch, &Arc::new(spec))
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
    Ok(Job { kind: Kind::Timed(rounds), stretch, replay, dense: None })
}

fn measured(
    subject: Subject,
    stretch: &Stretch,
    (replay, dense): (&Replay, Option<&Replay>),
    left: usize,
) -> Event {
    let steps: &[StepDivergence] = &replay.steps;
    let dense: &[Duration] = dense.map_or(&[], |dense| &dense.times);
    let shares = replay
        .times
        .iter()
        .zip(dense)
        .map(|(own, dense)| own.as_secs_f64() / dense.as_secs_f64().max(f64::MIN_POSITIVE));
    Event::Measured(Box::new(Measured {
        subject,
        divergence: Divergence::of(steps),
        klds: steps.iter().map(|step| step.kld as f32).collect(),
        a_ms: Spread::of_times(dense),
        b_ms: Spread::of_times(&replay.times),
        beside: MedianInterval::of(shares),
        kv: replay.kv_bytes(),
        dense_kv: stretch.dense_bytes(),
        left,
        over: stretch.checksum(),
        cached: stretch.end(),
    }))
}

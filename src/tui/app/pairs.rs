//! Both sides of the run, step by step: what the A/B screen shows.

use crate::decode::comparison::Mode;
use crate::decode::divergence::{Divergence, StepDivergence};
use crate::decode::lost::Lost;
use crate::decode::worker::STRETCH;
use crate::decode::worker::event::{Pair, Timed, Voice, weakness};
use crate::mask::{CachePlan, Window};
use crate::spread::Spread;
use crate::tui::app::state::State;

/// Largest number of steps that divergence and speed are computed over.
const MOST: usize = 4096;
/// Number of steps that the time of a measurement is told from.
const RECENT: usize = 64;

/// The sides of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComparedSide {
    /// The dense side.
    A,
    /// The side with the mask.
    B,
}

/// What the pruned side decodes with.
#[derive(Debug, Clone, PartialEq)]
pub struct AtWork {
    /// The mask or plan.
    pub plan: CachePlan,
    /// Its window.
    pub window: Window,
}

/// A mask that was at work for some of the tokens.
#[derive(Debug, Clone)]
struct Before {
    /// The last of its tokens.
    to: usize,
    was: AtWork,
    /// Whether it is at work again.
    is_again: bool,
}

/// Every step of both sides.
#[derive(Debug, Clone, Default)]
pub struct Pairs {
    list: Vec<Pair>,
    /// The first token that differs between the texts, counted from 1.
    first_difference: Option<usize>,
    /// Number of tokens when the current mask came into use; figures cover the tokens after it.
    pub since: usize,
    /// The masks before that, in order.
    before: Vec<Before>,
    /// Both sides timed alone.
    pub timed: Option<Timed>,
    /// What a step lost, as the engine last reported it.
    pub lost: Option<Lost>,
}

impl Pairs {
    /// Takes a step.
    pub fn take(&mut self, pair: Pair) {
        let differs = pair.a.as_ref().map(|a| a.id) != pair.b.as_ref().map(|b| b.id);
        self.list.push(pair);
        if differs {
            self.first_difference.get_or_insert(self.list.len());
        }
    }

    /// Number of generated tokens, of the side that has more.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All steps, the first token first.
    pub fn all(&self) -> &[Pair] {
        &self.list
    }

    /// Generated token `n`, counted from 1.
    pub fn get(&self, n: usize) -> Option<&Pair> {
        self.list.get(n.checked_sub(1)?)
    }

    /// Goes back to `n` tokens.
    pub fn rewind(&mut self, n: usize) {
        self.list.truncate(n);
        self.first_difference.take_if(|first| *first > n);
        self.before.iter_mut().for_each(|before| before.to = before.to.min(n));
        self.before.dedup_by_key(|before| before.to);
        self.before.retain(|before| before.to > 0);
        self.join();
        (self.lost, self.timed) = (None, None);
    }

    /// Starts counting anew for another mask than the one that was at work. Where that one made no
    /// token, and the mask before it comes back, its counting goes on.
    pub fn retuned(&mut self, was: AtWork, now: &AtWork) {
        self.cut_back();
        if self.len() > self.since {
            self.before.push(Before { to: self.len(), was, is_again: false });
        }
        self.before.iter_mut().for_each(|before| before.is_again = before.was == *now);
        self.join();
        (self.lost, self.timed) = (None, None);
    }

    /// Counts from where the mask at work came into use: its tokens at the end are no earlier ones.
    fn join(&mut self) {
        self.before.pop_if(|last| last.is_again);
        self.since = self.before.last().map_or(0, |last| last.to);
    }

    /// Numbers of tokens at which the mask changed.
    pub fn changes(&self) -> impl Iterator<Item = usize> {
        self.before.iter().map(|before| before.to)
    }

    /// B's text becomes A's, as the engine makes it.
    pub fn cut_back(&mut self) {
        self.list.retain(|pair| pair.a.is_some());
        self.first_difference = None;
        for pair in &mut self.list {
            let Pair { a: Some(a), b, .. } = pair else { continue };
            match b {
                Some(b) if b.id != a.id => {
                    (b.id, b.text) = (a.id, a.text.clone());
                    b.special.clone_from(&a.special);
                }
                Some(_) => {}
                None => *b = Some(Voice { ms: None, top: Vec::new(), ..a.clone() }),
            }
        }
    }

    /// Steps since the current mask came into use.
    fn counted(&self) -> &[Pair] {
        &self.list[self.since.max(self.len().saturating_sub(MOST)).min(self.len())..]
    }

    /// Divergence since the current mask came into use.
    pub fn divergence(&self) -> Divergence {
        let steps: Vec<StepDivergence> =
            self.counted().iter().filter_map(|pair| pair.divergence).collect();
        Divergence::of(&steps)
    }

    /// A side's own time per step since the current mask came into use, in milliseconds; `None`
    /// before the first step.
    pub fn times(&self, side: ComparedSide) -> Option<Spread> {
        times_of(self.counted(), side)
    }

    /// About how long a mask takes to be measured over the last steps, in seconds: each of them with
    /// the dense one beside it. `None` before there are any.
    pub fn trial_seconds(&self) -> Option<f64> {
        let recent = &self.counted()[self.counted().len().saturating_sub(RECENT)..];
        let ms = times_of(recent, ComparedSide::A)?.p50 + times_of(recent, ComparedSide::B)?.p50;
        let steps = self.len().saturating_sub(1).min(STRETCH);
        Some(ms * steps as f64 / 1e3)
    }

    /// Bytes of a side's cache.
    pub fn kv(&self, side: ComparedSide) -> Option<usize> {
        self.list.iter().rev().find_map(|pair| voice(pair, side)).map(|voice| voice.kv)
    }

    /// Whether token `n` was made under another mask than the one at work.
    pub fn is_of_another(&self, n: usize) -> bool {
        self.before.iter().find(|before| n <= before.to).is_some_and(|before| !before.is_again)
    }

    /// Whether the sides differ at token `n` under the mask at work. Forced: they prefer different
    /// tokens. Free: it is the first token that differs.
    pub fn parts_at(&self, n: usize, mode: Mode) -> bool {
        match mode {
            _ if self.is_of_another(n) => false,
            Mode::Forced => {
                self.get(n).and_then(|pair| pair.divergence).is_some_and(|step| !step.same_top)
            }
            Mode::Free => self.first_difference == Some(n),
        }
    }

    /// The next (or previous) token at which the sides differ, seen from `n`.
    pub fn next_parting(&self, n: usize, forward: bool, mode: Mode) -> Option<usize> {
        let parts = |n: &usize| self.parts_at(*n, mode);
        if forward { (n + 1..=self.len()).find(parts) } else { (1..n).rev().find(parts) }
    }

    /// The first token at which the sides differ since the current mask came into use.
    pub fn first_parting(&self, mode: Mode) -> Option<usize> {
        self.next_parting(self.since, true, mode)
    }

    /// Whether both texts are equal before token `n`.
    pub fn together_before(&self, n: usize) -> bool {
        self.first_difference.is_none_or(|first| first >= n)
    }
}

fn times_of(pairs: &[Pair], side: ComparedSide) -> Option<Spread> {
    let times: Vec<f64> = pairs.iter().filter_map(|pair| voice(pair, side)?.ms).collect();
    (!times.is_empty()).then(|| Spread::of(times))
}

/// One side of a step.
pub fn voice(pair: &Pair, side: ComparedSide) -> Option<&Voice> {
    match side {
        ComparedSide::A => pair.a.as_ref(),
        ComparedSide::B => pair.b.as_ref(),
    }
}

/// What the counted steps say less by: those before anything was pruned, and those of a loop.
pub fn weak_steps(state: &State, steps: usize) -> Option<String> {
    let model = state.model.as_ref()?;
    let window = model.info.window;
    // The counted steps are the last ones, unless texts parted or a turn came between.
    let is_plain = state.feed() == Mode::Forced && state.run.turns.is_empty();
    let with = match is_plain {
        true => Some(window.steps_with_middle(state.run.cached, steps)),
        false => (window.middle(state.run.cached) == 0).then_some(0),
    };
    let with_middle = with.filter(|_| !model.plan().is_full());
    let repeats = state.run.looping().filter(|_| is_plain).map_or(0, |found| found.repeats(steps));
    weakness(steps, with_middle, repeats)
}

//! Live statistics of a running decode, at a small and limited share of its time.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::event::{HeadDetail, Live, Memory};
use crate::attention::{channel_activity, explain};
use crate::cache::{SequenceCache, StoredKey};
use crate::machine;
use crate::model::config::Config;

/// Shortest time between two rounds of statistics.
const INTERVAL: Duration = Duration::from_millis(500);
/// A round waits until this many times the cost of the last one has passed, so that statistics take
/// at most half a percent of the time.
const COST_FACTOR: u32 = 200;
/// Number of keys that the energy of a head is estimated from.
const KEY_SAMPLE: usize = 128;

/// Statistics of a run's queries, and when the next round is due.
pub struct Watcher {
    /// Sum of |q| since the last round per layer, `[heads, head_dim]` each.
    magnitudes: Vec<Vec<f32>>,
    /// Steps since the last round.
    steps: usize,
    /// Sum of q² over the run per layer, `[heads, head_dim]` each.
    squares: Vec<Vec<f32>>,
    /// Steps of the run.
    all_steps: usize,
    /// The last step's queries per layer, `[heads, head_dim]` each.
    last: Vec<Vec<f32>>,
    watched: (usize, usize),
    due: Instant,
}

impl Watcher {
    /// A watcher before the first step; the first round is due soon.
    pub fn new(config: &Config) -> Self {
        let zeros = vec![vec![0.0; config.q_width()]; config.layers];
        Self {
            magnitudes: zeros.clone(),
            steps: 0,
            squares: zeros.clone(),
            all_steps: 0,
            last: zeros,
            watched: (0, 0),
            due: Instant::now() + INTERVAL / 5,
        }
    }

    /// Watches another head; the next round is then due soon.
    pub fn watch(&mut self, watched: (usize, usize)) {
        if self.watched != watched {
            self.watched = watched;
            self.due = self.due.min(Instant::now() + INTERVAL / 10);
        }
    }

    /// Adds the queries of one layer of one step. It only adds, and does not read the cache.
    pub fn observe(&mut self, layer: usize, q: &[f32]) {
        self.last[layer].copy_from_slice(q);
        for ((magnitude, square), q) in
            self.magnitudes[layer].iter_mut().zip(&mut self.squares[layer]).zip(q)
        {
            *magnitude += q.abs();
            *square += q * q;
        }
        if layer + 1 == self.last.len() {
            self.steps += 1;
            self.all_steps += 1;
        }
    }

    /// A round of statistics, if one is due and a step was made since the last.
    pub fn round(
        &mut self,
        cache: &SequenceCache,
        heads: usize,
    ) -> Option<(Live, HeadDetail, Memory)> {
        let began = Instant::now();
        if self.steps == 0 || began < self.due {
            return None;
        }
        let round = (self.live(cache), self.head(cache, heads)?, memory(cache));
        self.magnitudes.iter_mut().for_each(|sums| sums.fill(0.0));
        self.steps = 0;
        let now = Instant::now();
        self.due = now + INTERVAL.max((now - began) * COST_FACTOR);
        Some(round)
    }

    fn live(&mut self, cache: &SequenceCache) -> Live {
        let shape = cache.spec().shape();
        let row = shape.kv_heads * shape.head_dim;
        let mut activity = vec![0.0; shape.entries()];
        let steps = self.steps as f32;
        let each = |(layer, (sums, activity)): (usize, (&mut Vec<f32>, &mut [f32]))| {
            // The mean of |q| stands for the queries: activity is linear in |q|.
            sums.iter_mut().for_each(|sum| *sum /= steps);
            channel_activity(cache, layer, sums, activity);
        };
        if cache.remote().is_some() {
            // A device takes one question at a time.
            let layers = self.magnitudes.iter_mut().zip(activity.chunks_exact_mut(row));
            layers.enumerate().for_each(each);
        } else {
            // Decode waits for this, so the threads that decode do it.
            let layers = self.magnitudes.par_iter_mut().zip(activity.par_chunks_exact_mut(row));
            layers.enumerate().for_each(each);
        }
        let middle = cache.spec().window().middle(cache.tokens());
        Live { activity, steps: self.steps, middle }
    }

    /// Detail of the watched head as of the last step; `None` before the first.
    pub fn head(&self, cache: &SequenceCache, heads: usize) -> Option<HeadDetail> {
        if self.all_steps == 0 {
            return None;
        }
        let shape = cache.spec().shape();
        let (layer, head) = self.watched;
        let (group, dim) = (heads / shape.kv_heads, shape.head_dim);
        let mass = (head * group..(head + 1) * group).map(|query| {
            let q = &self.last[layer][query * dim..][..dim];
            match explain(cache, None, layer, (query, heads), q) {
                Ok(explanation) => {
                    let mass = explanation.pruned.mass;
                    [mass.sink as f32, mass.middle as f32, mass.recent as f32]
                }
                Err(_) => [0.0; 3],
            }
        });
        let mut q_energy = vec![0.0; dim];
        for q in self.squares[layer][head * group * dim..][..group * dim].chunks_exact(dim) {
            for (energy, square) in q_energy.iter_mut().zip(q) {
                *energy += square / (group * self.all_steps) as f32;
            }
        }
        Some(HeadDetail {
            layer,
            head,
            mass: mass.collect(),
            q_energy,
            k_energy: key_energy(cache, layer, head),
        })
    }
}

/// Mean k² per channel over evenly spaced tokens, for each channel over those that store it.
fn key_energy(cache: &SequenceCache, layer: usize, head: usize) -> Vec<f32> {
    let view = cache.head(layer, head);
    let mut energy = vec![0.0; view.head_dim()];
    let mut counts = vec![0_u32; view.head_dim()];
    let mut add = |channel: usize, k: f32| {
        energy[channel] += k * k;
        counts[channel] += 1;
    };
    for position in (0..view.len()).step_by(view.len().div_ceil(KEY_SAMPLE).max(1)) {
        match view.key(position) {
            StoredKey::Whole(key) => {
                key.iter().enumerate().for_each(|(channel, &k)| add(channel, k))
            }
            StoredKey::Packed(key) => {
                view.kept().iter().zip(key).for_each(|(&channel, k)| add(channel, k))
            }
            StoredKey::Dropped => {}
        }
    }
    energy.iter().zip(counts).map(|(energy, count)| energy / count.max(1) as f32).collect()
}

/// Memory in use now.
pub fn memory(cache: &SequenceCache) -> Memory {
    Memory {
        resident: machine::resident_bytes(),
        device: machine::device_memory(),
        kv_allocated: cache.allocated() as u64,
        kv_stored: Some(cache.bytes().total() as u64),
    }
}

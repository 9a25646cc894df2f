//! One decode step on the CPU.

use super::backend::HostBackend;
use super::feed::FeedScratch;
use super::ops;
use crate::Result;
use crate::attention::{Attention, DecodeItem};
use crate::cache::SequenceCache;
use crate::model::backend::Blueprint;
use crate::model::buffers::StepBuffers;
use crate::model::config::Config;
use crate::model::hooks::StepObserver;
use crate::model::observed::ObservedRows;
use crate::model::times::StepClock;
use crate::model::weights::Layer;

/// Buffers that a step writes and reads again.
#[derive(Debug)]
pub(in crate::model) struct StepScratch {
    normed: Vec<f32>,
    qkv: Vec<f32>,
    q: Vec<f32>,
    attended: Vec<f32>,
    feed: FeedScratch,
    delta: Vec<f32>,
    cos: Vec<f32>,
    sin: Vec<f32>,
    attention: Attention,
}

impl StepScratch {
    pub(in crate::model) fn new(config: &Config, batch: usize) -> Self {
        let rows = |width: usize| vec![0.0; batch * width];
        Self {
            normed: rows(config.hidden),
            qkv: rows(config.q_width() + 2 * config.kv_width()),
            q: rows(config.q_width()),
            attended: rows(config.q_width()),
            feed: FeedScratch::default(),
            delta: rows(config.hidden),
            cos: vec![0.0; config.head_dim / 2],
            sin: vec![0.0; config.head_dim / 2],
            attention: Attention::new(),
        }
    }

    /// Rotates the new token of each sequence and appends its key and value, so that chunks move
    /// before attention.
    fn append(
        &mut self,
        Blueprint { config, rope }: Blueprint<'_>,
        (at, layer): (usize, &Layer),
        caches: &mut [&mut SequenceCache],
    ) -> Result<()> {
        let (q_width, kv_width) = (config.q_width(), config.kv_width());
        let rows =
            self.qkv.chunks_exact_mut(q_width + 2 * kv_width).zip(self.q.chunks_exact_mut(q_width));
        for ((row, q), cache) in rows.zip(caches) {
            rope.angles(at, cache.len(at), &mut self.cos, &mut self.sin);
            let (own_q, kv) = row.split_at_mut(q_width);
            let (k, v) = kv.split_at_mut(kv_width);
            layer.position(config, [own_q, k], [&self.cos, &self.sin]);
            q.copy_from_slice(own_q);
            cache.check_fits(at, cache.len(at), k, v)?;
            cache.append(at, k, v);
        }
        Ok(())
    }

    fn attend(&mut self, q_width: usize, at: usize, caches: &[&mut SequenceCache]) {
        let mut items: Vec<DecodeItem<'_>> = caches
            .iter()
            .zip(self.q.chunks_exact(q_width))
            .zip(self.attended.chunks_exact_mut(q_width))
            .map(|((cache, q), out)| DecodeItem { cache, q, out })
            .collect();
        self.attention.decode(at, &mut items);
    }
}

impl HostBackend {
    /// [`Decoder::step`](crate::model::decoder::Decoder::step) after its checks.
    pub(super) fn run_step(
        &self,
        model: Blueprint<'_>,
        tokens: &[u32],
        caches: &mut [&mut SequenceCache],
        buffers: &mut StepBuffers,
        observe: &mut StepObserver<'_>,
    ) -> Result<()> {
        let config = model.config;
        let StepBuffers { x, scratch, logits, times } = buffers;
        let mut clock = StepClock::start();
        self.weights.embed(config, tokens, x);
        for (at, layer) in self.weights.layers.iter().enumerate() {
            layer.attention.enter(config, x, &mut scratch.normed);
            clock.rest();
            layer.qkv.apply(&scratch.normed, &mut scratch.qkv);
            clock.projections();
            scratch.append(model, (at, layer), caches)?;
            clock.rest();
            scratch.attend(config.q_width(), at, caches);
            clock.attention();
            observe(at, &ObservedRows::here(&scratch.q), caches);
            clock.rest();
            layer.output.apply(&scratch.attended, &mut scratch.delta);
            clock.projections();
            layer.attention.leave(config, &mut scratch.delta, x);
            layer.mlp.enter(config, x, &mut scratch.normed);
            clock.rest();
            let StepScratch { normed, feed, delta, .. } = &mut *scratch;
            layer.feed.apply(config.activation(), normed, feed, delta);
            clock.projections();
            layer.mlp.leave(config, &mut scratch.delta, x);
        }
        ops::rms_norm_in_place(x, &self.weights.norm, config.rms_eps);
        clock.rest();
        self.weights.head().apply(x, logits);
        clock.logits();
        *times = clock.times;
        Ok(())
    }
}

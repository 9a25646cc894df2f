//! Tokens that come after those in a cache, on the CPU: the linear layers over all of them at once,
//! attention token by token, as decoding goes.

use super::backend::HostBackend;
use super::ops;
use super::prefill::{finish, project};
use crate::Result;
use crate::attention::{Attention, DecodeItem};
use crate::cache::SequenceCache;
use crate::model::backend::Blueprint;
use crate::model::hooks::PrefillHooks;

impl HostBackend {
    /// [`Decoder::extend`](crate::model::decoder::Decoder::extend) after its checks; what is in
    /// `cache` after an error is not a sequence.
    ///
    /// One layer's cache depends on that layer alone, so all tokens go through a layer before the
    /// next begins, as in a prefill. Within the layer every token is appended, chunks move, and its
    /// attention reads what is then stored: exactly what a decode step does.
    pub(super) fn run_extension(
        &self,
        Blueprint { config, rope }: Blueprint<'_>,
        tokens: &[u32],
        cache: &mut SequenceCache,
        hooks: PrefillHooks<'_>,
    ) -> Result<Vec<f32>> {
        let (before, n) = (cache.tokens(), tokens.len());
        let (q_width, kv_width) = (config.q_width(), config.kv_width());
        let mut x = vec![0.0; n * config.hidden];
        self.weights.embed(config, tokens, &mut x);
        let angles = rope.angles_of(before..before + n);
        let mut attention = Attention::new();
        let mut attended = vec![0.0; n * q_width];
        for (at, layer) in self.weights.layers.iter().enumerate() {
            let started = at as f32 / config.layers as f32;
            let mut part = |share: f32| (hooks.progress)(started + share / config.layers as f32);
            let (q, k, v) = project(config, layer, &x, angles.of(at), hooks.chunk, &mut part)?;
            cache.check_fits(at, before, &k, &v)?;
            let kv = k.chunks_exact(kv_width).zip(v.chunks_exact(kv_width));
            let rows = q.chunks_exact(q_width).zip(attended.chunks_exact_mut(q_width));
            for ((q, out), (k, v)) in rows.zip(kv) {
                (hooks.keep_going)()?;
                cache.append(at, k, v);
                attention.decode(at, &mut [DecodeItem { cache, q, out }]);
            }
            finish(config, layer, &mut x, &attended, hooks.chunk, &mut part)?;
        }
        let mut last = x.split_off((n - 1) * config.hidden);
        ops::rms_norm_in_place(&mut last, &self.weights.norm, config.rms_eps);
        (hooks.progress)(1.0)?;
        let mut logits = vec![0.0; config.vocab];
        self.weights.head().apply_exact(&last, &mut logits);
        Ok(logits)
    }
}

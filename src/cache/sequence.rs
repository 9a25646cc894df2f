//! The cache of one sequence: every layer, every KV head.

use std::sync::Arc;

use rayon::prelude::*;

use super::head::HeadStore;
use super::layer::LayerCache;
use super::remote::{Remote, RemoteCache};
use super::view::HeadView;
use super::{CacheBytes, CacheSpec, Sight};
use crate::element::with_element;
use crate::mask::{Shape, Width};
use crate::numbers::count;
use crate::{Error, Result};

/// Fewest tokens of an append that is spread over threads.
const PARALLEL_TOKENS: usize = 64;

/// Keys and values of one sequence. A token is in exactly one part, sink, middle or recent, at any
/// time; the middle of a layer that holds `n` tokens has `window.middle(n)`.
#[derive(Debug)]
pub struct SequenceCache {
    pub(super) spec: Arc<CacheSpec>,
    pub(super) layers: Vec<LayerCache>,
    /// The tokens' storage if they are on a device and not in `layers`.
    remote: Option<RemoteCache>,
}

impl SequenceCache {
    /// An empty cache.
    pub fn new(spec: Arc<CacheSpec>) -> Self {
        Self::with_capacity(spec, 0)
    }

    /// An empty cache whose block tables have space for `tokens`; the blocks themselves are
    /// allocated as tokens come.
    pub fn with_capacity(spec: Arc<CacheSpec>, tokens: usize) -> Self {
        let Shape { layers, kv_heads, .. } = spec.shape();
        let head = |layer, head| {
            let mut store = HeadStore::new(&spec, layer, head);
            store.reserve(tokens);
            store
        };
        let layer = |layer| LayerCache {
            len: 0,
            first: 0,
            heads: (0..kv_heads).map(|index| head(layer, index)).collect(),
        };
        let layers = (0..layers).map(layer).collect();
        Self { spec, layers, remote: None }
    }

    /// A copy. In this process's memory the two share all storage until one of them writes to it; on a
    /// device the copy has its own.
    ///
    /// # Errors
    /// When the device has no memory for it.
    pub fn copied(&self) -> Result<Self> {
        let remote = self.remote.as_ref().map(RemoteCache::copied).transpose()?;
        Ok(Self { spec: Arc::clone(&self.spec), layers: self.layers.clone(), remote })
    }

    /// Makes an empty cache that of a model whose layers look back so far.
    ///
    /// # Errors
    /// When it holds tokens that were stored under another sight.
    pub fn look_back(&mut self, sight: &Arc<Sight>) -> Result<()> {
        if self.spec.sight() == sight {
            return Ok(());
        }
        if !self.is_empty() || self.remote.is_some() {
            return Err(Error::run("a cache with tokens of a model with other windows"));
        }
        *self = Self::new(Arc::new(CacheSpec::clone(&self.spec).with_sight(Arc::clone(sight))));
        Ok(())
    }

    /// Moves an empty cache to a device, which appends the tokens from now on.
    ///
    /// # Panics
    /// When there are tokens already.
    pub fn move_to(&mut self, storage: Box<dyn Remote>) {
        assert!(self.is_empty() && self.remote.is_none(), "only an empty cache moves");
        self.remote = Some(RemoteCache::new(storage, self.spec.shape().layers));
    }

    /// The storage on a device, if the tokens are not in this process's memory.
    pub fn remote(&self) -> Option<&dyn Remote> {
        self.remote.as_ref().map(RemoteCache::storage)
    }

    /// Mutable access to the storage on a device, to append to it.
    pub fn remote_mut(&mut self) -> Option<&mut dyn Remote> {
        self.remote.as_mut().map(RemoteCache::storage_mut)
    }

    /// Geometry, window, element type and mask.
    pub fn spec(&self) -> &Arc<CacheSpec> {
        &self.spec
    }

    /// Appends tokens to one layer and moves whole chunks from the recent window to the middle.
    ///
    /// `k` (after RoPE) and `v` are `[tokens, kv_heads, head_dim]`, any number of tokens.
    ///
    /// # Panics
    /// When `k` and `v` differ in length or are no whole number of tokens.
    pub fn append(&mut self, layer: usize, k: &[f32], v: &[f32]) {
        let Shape { kv_heads, head_dim, .. } = self.spec.shape();
        let row = kv_heads * head_dim;
        assert!(self.remote.is_none(), "a device appends to its own caches");
        assert!(
            k.len() == v.len() && k.len().is_multiple_of(row),
            "k and v are [tokens, {kv_heads}, {head_dim}]"
        );
        let (spec, tokens) = (&*self.spec, k.len() / row);
        let LayerCache { len, first, heads } = &mut self.layers[layer];
        let append = |(head, store): (usize, &mut HeadStore)| {
            let part = |token| &<[f32]>::split_at(token, head * head_dim).1[..head_dim];
            let rows = k.chunks_exact(row).map(part).zip(v.chunks_exact(row).map(part));
            with_element!(spec.dtype(), E => store.append::<E>(spec, (layer, head), *len, rows));
        };
        if tokens < PARALLEL_TOKENS {
            heads.iter_mut().enumerate().for_each(append);
        } else {
            heads.par_iter_mut().enumerate().for_each(append);
        }
        *len += tokens;
        *first = spec.first_stored(layer, *len).max(*first);
    }

    /// Tokens in one layer.
    pub fn len(&self, layer: usize) -> usize {
        self.remote().map_or(self.layers[layer].len, |remote| remote.len(layer))
    }

    /// Tokens that every layer holds.
    pub fn tokens(&self) -> usize {
        (0..self.layers.len()).map(|layer| self.len(layer)).min().unwrap_or(0)
    }

    /// Whether no layer holds a token.
    pub fn is_empty(&self) -> bool {
        (0..self.layers.len()).all(|layer| self.len(layer) == 0)
    }

    /// One KV head of one layer, for reading. A layer on a device is copied from there at the first
    /// read after a change.
    pub fn head(&self, layer: usize, kv_head: usize) -> HeadView<'_> {
        let here = self
            .remote
            .as_ref()
            .map_or(&self.layers[layer], |remote| remote.layer(&self.spec, layer));
        HeadView::new(&self.spec, here, layer, kv_head)
    }

    /// Bytes of the elements that are stored now.
    pub fn bytes(&self) -> CacheBytes {
        if let Some(remote) = self.remote() {
            return remote.bytes();
        }
        self.layers
            .iter()
            .enumerate()
            .map(|(index, layer)| self.spec.layer_bytes_at(index, layer.len))
            .sum()
    }

    /// Bytes allocated: [`Self::bytes`], the free columns of blocks that are not full, and
    /// alignment. Blocks that are shared with a clone or a retuned cache count in both.
    pub fn allocated(&self) -> usize {
        if let Some(remote) = self.remote() {
            return remote.allocated();
        }
        self.layers.iter().flat_map(|layer| &layer.heads).map(HeadStore::allocated).sum()
    }

    /// Whether the cache can be rewound to `len` tokens without another cache: no token that is
    /// pruned now needs all its channels again.
    pub fn can_truncate(&self, len: usize) -> bool {
        let window = self.spec.window();
        let becomes_whole = |now: usize| {
            let (pruned, stays) =
                (window.sink + window.middle(now), window.sink + window.middle(len));
            stays < pruned.min(len)
        };
        // Layers with a window have freed what the tokens before saw.
        let is_stored = |layer: usize| {
            self.layers[layer].len <= len
                || self.layers[layer].first <= self.spec.sight().seen(layer, len).start
        };
        (0..self.layers.len()).all(is_stored)
            && (self.spec.is_dense()
                || !(0..self.layers.len())
                    .map(|layer| self.len(layer))
                    .any(|now| now > len && becomes_whole(now)))
    }

    /// Rewinds every layer to its first `len` tokens (layers that hold no more stay as they are).
    /// If pruned tokens need all their channels again, their keys come from `dense`, a cache of the
    /// same tokens with all channels.
    ///
    /// # Errors
    /// When whole keys are needed and `dense` is missing, shorter, or of another geometry.
    pub fn truncate(&mut self, len: usize, dense: Option<&SequenceCache>) -> Result<()> {
        if !self.can_truncate(len) {
            let Some(dense) = dense.filter(|dense| dense.tokens() >= len) else {
                return Err(Error::input(format!(
                    "going back from {} to {to} tokens needs pruned key channels or tokens before a layer's window, and no dense cache of {to} tokens is at hand",
                    count(self.tokens()),
                    to = count(len)
                )));
            };
            if let (Some(remote), Some(dense)) =
                (self.remote_mut(), dense.remote().filter(|dense| dense.len(0) == len))
            {
                return remote.truncate(len, Some(dense));
            }
            let mut dense = dense.copied()?;
            dense.truncate(len, None)?;
            *self = dense.retuned(Arc::clone(&self.spec))?;
            return Ok(());
        }
        if let Some(remote) = self.remote_mut() {
            return remote.truncate(len, None);
        }
        let window = self.spec.window();
        for layer in self.layers.iter_mut().filter(|layer| layer.len > len) {
            layer.len = len;
            let middle_end = (window.sink + window.middle(len)).min(len);
            for head in &mut layer.heads {
                head.truncate(len, window.sink.min(len)..middle_end);
            }
        }
        Ok(())
    }

    /// The same tokens under another specification, gathered from this dense cache's keys and
    /// values without computing them again. Values, and whole keys of heads that keep all channels,
    /// are shared, not copied.
    ///
    /// # Errors
    /// When this cache is not dense, or the specification has another shape or element type.
    pub fn retuned(&self, spec: Arc<CacheSpec>) -> Result<SequenceCache> {
        if !self.spec.is_dense() {
            return Err(Error::input(
                "only a dense cache can be retuned: a pruned one no longer has the channels it dropped",
            ));
        }
        self.narrowed(spec)
    }

    /// The same tokens under a specification that stores no channel with more bits, so that every
    /// number and every whole token that it needs is still here.
    ///
    /// Middle tokens that are coded already are coded again from the numbers that their codes stand
    /// for where their width, their groups (sink or chunk) or the coding change, and only there.
    ///
    /// # Errors
    /// When the specification needs something that this cache dropped or has with fewer bits, codes
    /// what codes cannot hold, or has another shape or element type.
    pub fn narrowed(&self, spec: Arc<CacheSpec>) -> Result<SequenceCache> {
        if spec.shape() != self.spec.shape() || spec.dtype() != self.spec.dtype() {
            let describe = |spec: &CacheSpec| format!("{} {}", spec.dtype(), spec.shape());
            return Err(Error::input(format!(
                "a cache of {} cannot become one of {}",
                describe(&self.spec),
                describe(&spec)
            )));
        }
        let spec = match spec.sight() == self.spec.sight() {
            true => spec,
            false => Arc::new(CacheSpec::clone(&spec).with_sight(Arc::clone(self.spec.sight()))),
        };
        self.check_narrower(&spec)?;
        if let Some(remote) = &self.remote {
            let storage = remote.storage().narrowed(Arc::clone(&spec))?;
            let mut cache = Self::new(spec);
            cache.move_to(storage);
            return Ok(cache);
        }
        self.check_codable(&spec)?;
        let heads = |(layer, from): (usize, &LayerCache)| {
            let first = from.first.max(spec.first_stored(layer, from.len));
            let gather = |(head, store): (usize, &HeadStore)| with_element!(spec.dtype(), E => store.gather::<E>(&self.spec, &spec, (layer, head), (first, from.len)));
            LayerCache {
                len: from.len,
                first,
                heads: from.heads.iter().enumerate().map(gather).collect(),
            }
        };
        let layers = self.layers.par_iter().enumerate().map(heads).collect();
        Ok(SequenceCache { spec, layers, remote: None })
    }

    /// Refuses what `spec` needs and this cache no longer has, naming it.
    fn check_narrower(&self, spec: &CacheSpec) -> Result<()> {
        let kv_heads = spec.shape().kv_heads;
        let (old, new) = (self.spec.window(), spec.window());
        for layer in 0..self.spec.shape().layers {
            let len = self.len(layer);
            let pruned = old.sink.min(len)..old.sink.min(len) + old.middle(len);
            let becomes = new.sink.min(len)..new.sink.min(len) + new.middle(len);
            let stays_pruned =
                pruned.is_empty() || becomes.start <= pruned.start && pruned.end <= becomes.end;
            for head in 0..kv_heads {
                // Whole groups are coded, and of the first one a part may be gone.
                let is_forgotten = self.layers[layer].first > becomes.start;
                if is_forgotten
                    && spec.layout(layer, head).is_some_and(|layout| {
                        self.spec.layout(layer, head) != Some(layout) || old.sink != new.sink
                    })
                {
                    return Err(Error::input(format!(
                        "layer {layer} no longer has the tokens before its window, so what it stores cannot be coded anew without a dense cache"
                    )));
                }
                if self.spec.is_whole(layer, head) || pruned.is_empty() {
                    continue;
                }
                self.check_widths(spec, layer, head)?;
                if !stays_pruned {
                    return Err(Error::input(format!(
                        "tokens {}..{} are pruned and cannot become whole again: without a dense cache sink and recent window can \
                         only shrink",
                        count(pruned.start),
                        count(pruned.end)
                    )));
                }
            }
        }
        Ok(())
    }

    /// Refuses a head with more bits than it has now.
    fn check_widths(&self, spec: &CacheSpec, layer: usize, head: usize) -> Result<()> {
        let (old, new) = (self.spec.plan(), spec.plan());
        let mut keys = old.k(layer, head).iter().zip(new.k(layer, head)).enumerate();
        if let Some((channel, (&had, &wants))) = keys.find(|(_, (had, wants))| wants > had) {
            return Err(Error::input(match had {
                Width::Zero => format!(
                    "layer {layer}, KV head {head}, channel {channel} was dropped and is gone: without a dense cache a mask can \
                     only prune further"
                ),
                had => format!(
                    "layer {layer}, KV head {head}, channel {channel} has {had} bits and cannot have {wants} again: without a dense \
                     cache widths can only shrink"
                ),
            }));
        }
        let (had, wants) = (old.v(layer, head), new.v(layer, head));
        if wants > had {
            return Err(Error::input(format!(
                "layer {layer}, KV head {head}: V has {had} bits and cannot have {wants} again: without a dense cache widths can only \
                 shrink"
            )));
        }
        Ok(())
    }
}

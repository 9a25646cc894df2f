//! Keys and values on a GPU instead of in host memory.

use std::any::Any;
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use super::layer::LayerCache;
use super::rows::HeadRows;
use super::{CacheBytes, CacheSpec};
use crate::Result;

/// Storage of one sequence on a device. The code that computes there appends to it; this trait has
/// everything else that a cache can do.
pub trait Remote: Debug + Send + Sync {
    /// Tokens of one layer.
    fn len(&self, layer: usize) -> usize;

    /// Bytes of the stored elements, including padding that the device needs.
    fn bytes(&self) -> CacheBytes;

    /// Bytes allocated on the device.
    fn allocated(&self) -> usize;

    /// What is stored for every token of one head. Waits for the device.
    fn rows(&self, layer: usize, kv_head: usize) -> Result<HeadRows>;

    /// Mean `|q_c k_c|` over the middle of one layer and the query heads of each group, `[kv_heads,
    /// head_dim]`, for queries `[heads, head_dim]`; 0 for channels that are not stored. Waits for
    /// the device.
    fn activity(&self, layer: usize, q: &[f32]) -> Result<Vec<f32>>;

    /// A copy with storage of its own.
    fn copied(&self) -> Result<Box<dyn Remote>>;

    /// The same tokens under another specification, which needs nothing that is not stored. Waits
    /// for the device, so that a caller can measure the whole time.
    fn narrowed(&self, spec: Arc<CacheSpec>) -> Result<Box<dyn Remote>>;

    /// Rewinds to `len` tokens. Whole keys that are needed again come from `dense`, which holds
    /// exactly these tokens.
    fn truncate(&mut self, len: usize, dense: Option<&dyn Remote>) -> Result<()>;

    /// The storage as its own type, for its device.
    fn as_any(&self) -> &dyn Any;

    /// The storage as its own type, for its device to append to.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// A remote sequence with copies of the layers that were read since it last changed.
#[derive(Debug)]
pub(super) struct RemoteCache {
    storage: Box<dyn Remote>,
    seen: Vec<OnceLock<LayerCache>>,
}

impl RemoteCache {
    pub(super) fn new(storage: Box<dyn Remote>, layers: usize) -> Self {
        Self { storage, seen: (0..layers).map(|_| OnceLock::new()).collect() }
    }

    pub(super) fn storage(&self) -> &dyn Remote {
        &*self.storage
    }

    pub(super) fn storage_mut(&mut self) -> &mut dyn Remote {
        self.seen.iter_mut().for_each(|layer| *layer = OnceLock::new());
        &mut *self.storage
    }

    /// A copy with storage of its own, which a full device refuses.
    pub(super) fn copied(&self) -> Result<Self> {
        Ok(Self::new(self.storage.copied()?, self.seen.len()))
    }

    /// One layer, copied to this process's memory.
    ///
    /// # Panics
    /// When the device cannot be read.
    pub(super) fn layer(&self, spec: &CacheSpec, layer: usize) -> &LayerCache {
        self.seen[layer].get_or_init(|| {
            let rows =
                |head| self.storage.rows(layer, head).unwrap_or_else(|error| panic!("{error}"));
            LayerCache::from_rows(
                spec,
                layer,
                (0..spec.shape().kv_heads).map(rows),
                self.storage.len(layer),
            )
        })
    }
}

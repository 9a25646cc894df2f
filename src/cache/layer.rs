//! Storage of one layer.

use super::CacheSpec;
use super::head::HeadStore;
use super::rows::HeadRows;
use crate::element::with_element;

/// One layer. Layers differ in length only during a prefill.
#[derive(Debug, Clone)]
pub(super) struct LayerCache {
    pub(super) len: usize,
    /// The first position that is stored.
    pub(super) first: usize,
    pub(super) heads: Vec<HeadStore>,
}

impl LayerCache {
    /// Builds a layer from rows that are stored elsewhere.
    pub(super) fn from_rows(
        spec: &CacheSpec,
        layer: usize,
        heads: impl Iterator<Item = HeadRows>,
        len: usize,
    ) -> Self {
        let head = |(head, rows): (usize, HeadRows)| with_element!(spec.dtype(), E => HeadStore::from_rows::<E>(spec, layer, head, &rows));
        Self { len, first: 0, heads: heads.enumerate().map(head).collect() }
    }
}

//! Plain caches beside a mask or plan: 8 and 4 bits everywhere, as other programs offer them.

use std::sync::Arc;

use crate::Result;
use crate::attention::cuda::check_codes;
use crate::cache::{CacheSpec, Sight};
use crate::element::Dtype;
use crate::mask::{CachePlan, Shape, Window};
use crate::numbers::{nats, percent};

/// The plain caches that a verdict names: K per channel and in blocks per token, with 8 bits and
/// with 4.
pub const PLAIN: [&str; 4] = ["k8v8", "q8_0", "k4v4", "q4_0"];

/// A plain cache.
#[derive(Debug, Clone)]
pub struct PlainCache {
    /// Its name.
    pub name: &'static str,
    /// Its specification.
    pub spec: Arc<CacheSpec>,
}

/// The plain caches of a model of this shape, with the window of what they are compared with.
/// Blocks are left out where they do not divide a head, and, where caches are not in host memory,
/// what a GPU does not store.
pub fn plain_caches(
    shape: Shape,
    window: Window,
    dtype: Dtype,
    on_host: bool,
) -> Result<Vec<PlainCache>> {
    let plans = PLAIN.iter().filter_map(|&name| Some((name, CachePlan::named(name, shape).ok()?)));
    plans
        .filter(|(_, plan)| on_host || check_codes(plan, window.chunk).is_ok())
        .map(|(name, plan)| {
            let spec = Arc::new(CacheSpec::planned(window, dtype, plan)?);
            Ok(PlainCache { name, spec })
        })
        .collect()
}

/// What a cache costs and loses.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Cost {
    /// Its name.
    pub name: String,
    /// Bytes of the middle for a dense f16 cache's 1: of any long context, or at the length below
    /// where layers have windows.
    pub bytes_share: f64,
    /// Length that the figures are of.
    pub tokens: usize,
    /// Bytes at that length, window included.
    pub kv_bytes: usize,
    /// Mean KL(dense || this) per forced token in nats.
    pub kld_mean: f64,
    /// Share of the questions answered right; `None` where none was asked.
    pub recall: Option<f64>,
}

impl Cost {
    /// The cost of a cache at a length of `tokens` tokens, in a model whose layers look back so far.
    pub fn of(
        name: &str,
        (spec, sight): (&CacheSpec, Arc<Sight>),
        tokens: usize,
        kld_mean: f64,
        recall: Option<f64>,
    ) -> Self {
        let spec = spec.clone().with_sight(sight);
        Self {
            name: name.to_owned(),
            bytes_share: spec.bytes_share_at(tokens),
            tokens,
            kv_bytes: spec.bytes_at(tokens).total(),
            kld_mean,
            recall,
        }
    }

    /// Whether nobody would take `other` instead: at most its bytes at the same length, less loss
    /// on text, and a recall that is at most `recall` below.
    pub fn is_better_than(&self, other: &Self, recall: f64) -> bool {
        let recalls = match (self.recall, other.recall) {
            (Some(own), Some(other)) => other - own <= recall,
            _ => true,
        };
        self.kv_bytes <= other.kv_bytes && self.kld_mean < other.kld_mean && recalls
    }

    /// Bytes, loss and recall in words.
    pub fn words(&self) -> String {
        let recall = self
            .recall
            .map_or_else(String::new, |recall| format!(" and recall {}", percent(recall, 1)));
        format!(
            "{} of the bytes, KLD {}{recall}",
            percent(self.bytes_share, 1),
            nats(self.kld_mean)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_counts_what_layers_with_windows_no_longer_store() {
        let shape = Shape { layers: 2, kv_heads: 1, head_dim: 64 };
        let plan = CachePlan::named("k8v8", shape).unwrap();
        let spec = CacheSpec::planned(Window::default(), Dtype::F16, plan).unwrap();
        let sight = |windows: Vec<Option<usize>>| Arc::new(Sight { windows, score_cap: None });
        let whole = Cost::of("", (&spec, sight(Vec::new())), 8192, 0.1, None);
        let cut = Cost::of("", (&spec, sight(vec![Some(512), None])), 8192, 0.1, None);
        assert!(cut.kv_bytes * 2 > whole.kv_bytes && cut.kv_bytes * 10 < whole.kv_bytes * 6);
        // Both layers have the same widths, so their share is the same however much each sees.
        assert!((cut.bytes_share - whole.bytes_share).abs() < 1e-12);
    }
}

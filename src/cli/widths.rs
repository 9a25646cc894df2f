//! What a plan stores, as reports give it: its share of a dense cache, and its numbers by width.

use serde::Serialize;

use crate::cache::CacheSpec;
use crate::mask::WidthCounts;
use crate::numbers::{count, percent};

/// What a plan stores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanReport {
    /// Bytes of the middle for a dense f16 cache's 1: of any long context, or at the length below
    /// where layers have windows.
    pub bytes_share: f64,
    /// The length that the share is of, where layers have windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_share_tokens: Option<usize>,
    /// K channels by bits.
    pub k_bits_histogram: WidthCounts,
    /// Heads by the bits of their V.
    pub v_bits_histogram: WidthCounts,
}

impl PlanReport {
    /// What a cache stores, at a length of `tokens` tokens.
    pub fn of(spec: &CacheSpec, tokens: usize) -> Self {
        let (plan, windows) = (spec.plan(), &spec.sight().windows);
        Self {
            bytes_share: spec.bytes_share_at(tokens),
            bytes_share_tokens: (!windows.is_empty()).then_some(tokens),
            k_bits_histogram: plan.k_counts(),
            v_bits_histogram: plan.v_counts(),
        }
    }

    /// One line: the share, and the widths that occur.
    pub fn words(&self) -> String {
        let length = match self.bytes_share_tokens {
            None => "in long contexts".to_owned(),
            Some(tokens) => {
                format!("in the middle that layers see at {} tokens", count(tokens))
            }
        };
        format!(
            "{} of a dense f16 cache's bytes {length} · K channels by bits {} · V of heads by bits {}",
            percent(self.bytes_share, 1),
            self.k_bits_histogram,
            self.v_bits_histogram
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cache::Sight;
    use crate::element::Dtype;
    use crate::mask::{CachePlan, Coding, Shape, Width, Window};

    #[test]
    fn a_share_counts_windows_at_the_length_that_it_names() {
        let shape = Shape { layers: 2, kv_heads: 1, head_dim: 64 };
        // The first layer stores everything, the second a half of K.
        let k = (0..128).map(|at| if at < 96 { Width::Sixteen } else { Width::Zero }).collect();
        let plan = CachePlan::new(shape, k, vec![Width::Sixteen; 2], Coding::best(64)).unwrap();
        let window = Window { sink: 0, recent: 64, chunk: 64 };
        let spec = CacheSpec::planned(window, Dtype::F16, plan).unwrap();
        let whole = PlanReport::of(&spec, 1088);
        assert_eq!((whole.bytes_share, whole.bytes_share_tokens), (0.875, None));
        assert!(whole.words().contains("in long contexts"));
        // Of 1,024 middle tokens the first layer sees 1,024, the second 256 - 64.
        let sight = Arc::new(Sight { windows: vec![None, Some(256)], score_cap: None });
        let spec = spec.with_sight(sight);
        let report = PlanReport::of(&spec, 1088);
        let expected = (1024.0 + 192.0 * 0.75) / (1024.0 + 192.0);
        assert!((report.bytes_share - expected).abs() < 1e-12, "{}", report.bytes_share);
        assert!(report.words().contains("in the middle that layers see at 1,088 tokens"));
        assert_eq!(serde_json::to_value(&report).unwrap()["bytes_share_tokens"], 1088);
        // It is what the bytes of the middle say.
        let bytes = spec.bytes_at(1088);
        let middle = (bytes.middle_k + bytes.middle_v) as f64;
        assert!((middle / (256.0 * (1024.0 + 192.0)) - expected).abs() < 1e-12);
    }

    #[test]
    fn histograms_have_every_width_and_words_only_those_that_occur() {
        let shape = Shape { layers: 1, kv_heads: 2, head_dim: 64 };
        let mut k = vec![Width::Eight; 64];
        k.extend([Width::Zero; 64]);
        let v = vec![Width::Four, Width::Zero];
        let plan = CachePlan::new(shape, k, v, Coding::best(64)).unwrap();
        let spec = CacheSpec::planned(Window::CODED, Dtype::F16, plan).unwrap();
        let report = PlanReport::of(&spec, 4096);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            json["k_bits_histogram"],
            serde_json::json!({ "0": 64, "2": 0, "4": 0, "8": 64, "16": 0 })
        );
        assert_eq!(
            json["v_bits_histogram"],
            serde_json::json!({ "0": 1, "2": 0, "4": 1, "8": 0, "16": 0 })
        );
        assert_eq!(json["bytes_share"], (8.5 + 4.5) / 64.0);
        assert_eq!(
            report.words(),
            "20.3 % of a dense f16 cache's bytes in long contexts · K channels by bits 8: 64 · 0: 64 · V of heads by bits 4: 1 · 0: 1"
        );
    }
}

//! What a plan stores, as reports give it: its share of a dense cache, and its numbers by width.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::mask::{CachePlan, Width, Window};
use crate::numbers::{count, percent};

/// What a plan stores.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanReport {
    /// Bytes of the middle of a long context for a dense f16 cache's 1.
    pub bytes_share: f64,
    /// K channels by bits.
    pub k_bits_histogram: BTreeMap<u8, usize>,
    /// Heads by the bits of their V.
    pub v_bits_histogram: BTreeMap<u8, usize>,
}

impl PlanReport {
    /// What `plan` stores in a cache of this window.
    pub fn of(plan: &CachePlan, window: Window) -> Self {
        let histogram = |counts: [usize; 5]| Width::ALL.map(Width::bits).into_iter().zip(counts);
        Self {
            bytes_share: plan.bytes_share(window.chunk),
            k_bits_histogram: histogram(plan.k_histogram()).collect(),
            v_bits_histogram: histogram(plan.v_histogram()).collect(),
        }
    }

    /// One line: the share, and the widths that occur.
    pub fn words(&self) -> String {
        let widths = |counts: &BTreeMap<u8, usize>| {
            let some = counts.iter().rev().filter(|(_, number)| **number > 0);
            some.map(|(bits, number)| format!("{bits}: {}", count(*number)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        format!(
            "{} of a dense f16 cache's bytes in long contexts · K channels by bits {} · V of heads by bits {}",
            percent(self.bytes_share, 1),
            widths(&self.k_bits_histogram),
            widths(&self.v_bits_histogram)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::{Coding, Shape};

    #[test]
    fn histograms_have_every_width_and_words_only_those_that_occur() {
        let shape = Shape { layers: 1, kv_heads: 2, head_dim: 64 };
        let mut k = vec![Width::Eight; 64];
        k.extend([Width::Zero; 64]);
        let v = vec![Width::Four, Width::Zero];
        let plan = CachePlan::new(shape, k, v, Coding::best(64)).unwrap();
        let report = PlanReport::of(&plan, Window::CODED);
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
            "20.3 % of a dense f16 cache's bytes in long contexts · K channels by bits 8: 64, 0: 64 · V of heads by bits 4: 1, 0: 1"
        );
    }
}

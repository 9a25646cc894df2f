//! A plan's widths dealt out anew: the same bytes in every head, on other channels.

use super::{CachePlan, Width};
use crate::mask::Importance;
use crate::{Error, Result};

impl CachePlan {
    /// This plan with the K widths of every head on the channels that `importance` ranks first: the
    /// widest to the most important, the lower channel first among equals. V, bytes and the number
    /// of channels of each width stay as they are in every head.
    ///
    /// # Errors
    /// Importance of another shape.
    pub fn dealt(&self, importance: &Importance) -> Result<Self> {
        let shape = self.shape();
        if importance.shape() != shape {
            return Err(Error::input(format!(
                "importance of shape {} does not fit a plan of {shape}",
                importance.shape()
            )));
        }
        let mut k = Vec::with_capacity(shape.entries());
        for (layer, head) in shape.each_head() {
            let scores = importance.head(layer, head);
            let mut order: Vec<usize> = (0..shape.head_dim).collect();
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
            let mut widths = self.k(layer, head).to_vec();
            widths.sort_unstable_by(|a, b| b.cmp(a));
            let mut own = vec![Width::Zero; shape.head_dim];
            for (channel, width) in order.into_iter().zip(widths) {
                own[channel] = width;
            }
            k.extend(own);
        }
        Self::new(shape, k, self.v_widths().to_vec(), self.coding())
    }

    /// Bits of K that both plans store at the same channels, over bits that either stores: Jaccard's
    /// index, for masks that of their kept channels; 1 where neither stores anything.
    ///
    /// # Panics
    /// For plans of different shape.
    pub fn k_overlap(&self, other: &Self) -> f64 {
        assert_eq!(self.shape(), other.shape());
        let (mut both, mut either) = (0_u64, 0_u64);
        for (a, b) in self.k_widths().iter().zip(other.k_widths()) {
            both += u64::from(a.bits().min(b.bits()));
            either += u64::from(a.bits().max(b.bits()));
        }
        if either == 0 { 1.0 } else { both as f64 / either as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::{ChannelMask, Shape, compare, keep_counts, rules};

    #[test]
    fn widths_stay_in_their_head_and_go_to_the_first_channels() {
        let shape = Shape { layers: 2, kv_heads: 2, head_dim: 16 };
        let mask = ChannelMask::from_fn(shape, |layer, head, channel| channel < 4 * (layer + head));
        let importance = rules::random(shape, 5);
        let plan = CachePlan::of_mask(&mask);
        let dealt = plan.dealt(&importance).unwrap();
        assert_eq!(dealt.mask(), &keep_counts(&importance, &mask.kept_counts()));
        assert_eq!(dealt.v_widths(), plan.v_widths());
        let jaccard = compare(plan.mask(), dealt.mask()).unwrap().whole.jaccard;
        assert!((plan.k_overlap(&dealt) - jaccard).abs() < 1e-12 && jaccard < 1.0);
        assert_eq!(dealt.dealt(&importance).unwrap(), dealt);

        let widths: Vec<Width> = (0..shape.entries()).map(|at| Width::ALL[1 + at % 3]).collect();
        let v = vec![Width::Four; shape.heads()];
        let mixed = CachePlan::new(shape, widths, v, plan.coding()).unwrap();
        let dealt = mixed.dealt(&importance).unwrap();
        for (layer, head) in shape.each_head() {
            let sorted = |plan: &CachePlan| {
                let mut widths = plan.k(layer, head).to_vec();
                widths.sort_unstable();
                widths
            };
            assert_eq!(sorted(&mixed), sorted(&dealt));
            let scores = importance.head(layer, head);
            let best = (0..16).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
            assert_eq!(dealt.k(layer, head)[best], Width::Eight);
        }
        let other = rules::random(Shape { layers: 1, ..shape }, 5);
        assert_eq!(mixed.dealt(&other).unwrap_err().exit_code(), 2);
    }
}

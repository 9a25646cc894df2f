//! Numbers on the widths of a plan, and of two plans compared.

use super::{CachePlan, Width, WidthCounts};
use crate::{Error, Result};

/// How many K channels and how many V have each width, and what they weigh.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct WidthStatistics {
    /// K channels by bits; all five widths are there.
    pub k_bits_histogram: WidthCounts,
    /// Heads by the bits of their V; all five widths are there.
    pub v_bits_histogram: WidthCounts,
    /// Bytes of the middle of a long context for a dense f16 cache's 1, scales and minima included.
    pub bytes_share: f64,
    /// The same of each layer.
    pub widths_per_layer: Vec<LayerWidths>,
}

/// The widths of one layer.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct LayerWidths {
    /// K channels by bits.
    pub k_bits_histogram: WidthCounts,
    /// Bits of each head's V.
    pub v_bits: Vec<u8>,
    /// Bytes of its middle for a dense f16 layer's 1.
    pub bytes_share: f64,
}

impl WidthStatistics {
    /// The numbers of a plan whose middle grows by chunks of this many tokens.
    pub fn of(plan: &CachePlan, chunk: usize) -> Self {
        let shape = plan.shape();
        Self {
            k_bits_histogram: plan.k_counts(),
            v_bits_histogram: plan.v_counts(),
            bytes_share: plan.bytes_share(chunk),
            widths_per_layer: (0..shape.layers)
                .map(|layer| LayerWidths {
                    k_bits_histogram: WidthCounts::of(layer_k(plan, layer)),
                    v_bits: layer_v(plan, layer).iter().map(|width| width.bits()).collect(),
                    bytes_share: plan.layer_bytes_share(layer, chunk),
                })
                .collect(),
        }
    }
}

/// How the widths of plan B differ from those of plan A.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct WidthChange {
    /// K channels that have more bits in B.
    pub wider_k: usize,
    /// K channels that have fewer bits in B.
    pub narrower_k: usize,
    /// Heads whose V has more bits in B.
    pub wider_v: usize,
    /// Heads whose V has fewer bits in B.
    pub narrower_v: usize,
    /// Bytes of the middle for a dense f16 cache's 1, of A and of B.
    pub bytes_share: [f64; 2],
}

/// Two plans compared: as a whole and layer by layer.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct WidthComparison {
    /// Over all layers.
    pub whole: WidthChange,
    /// Per layer, first to last.
    pub layers: Vec<WidthChange>,
}

/// Compares the widths of two plans, each with the chunk that its middle grows by; refuses plans of
/// different shape.
pub fn compare_widths(a: (&CachePlan, usize), b: (&CachePlan, usize)) -> Result<WidthComparison> {
    let shape = a.0.shape();
    if shape != b.0.shape() {
        return Err(Error::input(format!(
            "plans of different shape cannot be compared: {shape} and {}",
            b.0.shape()
        )));
    }
    let plans = [a, b];
    let of = |k: [&[Width]; 2], v: [&[Width]; 2], bytes_share| {
        let count = |[a, b]: [&[Width]; 2], wider: bool| {
            a.iter().zip(b).filter(|(a, b)| if wider { b > a } else { b < a }).count()
        };
        WidthChange {
            wider_k: count(k, true),
            narrower_k: count(k, false),
            wider_v: count(v, true),
            narrower_v: count(v, false),
            bytes_share,
        }
    };
    Ok(WidthComparison {
        whole: of(
            plans.map(|(plan, _)| plan.k_widths()),
            plans.map(|(plan, _)| plan.v_widths()),
            plans.map(|(plan, chunk)| plan.bytes_share(chunk)),
        ),
        layers: (0..shape.layers)
            .map(|layer| {
                of(
                    plans.map(|(plan, _)| layer_k(plan, layer)),
                    plans.map(|(plan, _)| layer_v(plan, layer)),
                    plans.map(|(plan, chunk)| plan.layer_bytes_share(layer, chunk)),
                )
            })
            .collect(),
    })
}

fn layer_k(plan: &CachePlan, layer: usize) -> &[Width] {
    let len = plan.shape().kv_heads * plan.shape().head_dim;
    &plan.k_widths()[layer * len..][..len]
}

fn layer_v(plan: &CachePlan, layer: usize) -> &[Width] {
    let len = plan.shape().kv_heads;
    &plan.v_widths()[layer * len..][..len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::{Coding, Shape};

    const SHAPE: Shape = Shape { layers: 2, kv_heads: 1, head_dim: 64 };

    fn plan(first: (Width, Width), second: (Width, Width)) -> CachePlan {
        let k = [vec![first.0; 64], vec![second.0; 64]].concat();
        CachePlan::new(SHAPE, k, vec![first.1, second.1], Coding::best(64)).unwrap()
    }

    #[test]
    fn widths_and_bytes_are_counted_by_layer() {
        use Width::{Eight, Four, Two, Zero};
        let widths = WidthStatistics::of(&plan((Eight, Four), (Zero, Zero)), 64);
        assert_eq!(widths.k_bits_histogram, WidthCounts([64, 0, 0, 64, 0]));
        assert_eq!(widths.v_bits_histogram, WidthCounts([1, 0, 1, 0, 0]));
        assert_eq!(widths.bytes_share, (8.5 + 4.5) / 64.0);
        assert_eq!(widths.widths_per_layer[0].bytes_share, (8.5 + 4.5) / 32.0);
        assert_eq!(widths.widths_per_layer[1].bytes_share, 0.0);
        assert_eq!(widths.widths_per_layer[0].v_bits, [4]);
        // Groups of 32 tokens have twice as many scales of K.
        let shorter = WidthStatistics::of(&plan((Two, Two), (Zero, Zero)), 32);
        assert_eq!(shorter.widths_per_layer[0].bytes_share, (3.0 + 2.5) / 32.0);
    }

    #[test]
    fn changes_are_counted_from_a_to_b() {
        use Width::{Eight, Four, Sixteen, Two, Zero};
        let (a, b) = (plan((Eight, Four), (Zero, Zero)), plan((Four, Four), (Two, Sixteen)));
        let compared = compare_widths((&a, 64), (&b, 64)).unwrap();
        let whole = compared.whole;
        assert_eq!((whole.wider_k, whole.narrower_k), (64, 64));
        assert_eq!((whole.wider_v, whole.narrower_v), (1, 0));
        assert_eq!((compared.layers[0].narrower_k, compared.layers[1].wider_k), (64, 64));
        assert_eq!(whole.bytes_share, [a.bytes_share(64), b.bytes_share(64)]);
        let other = CachePlan::full(Shape { layers: 3, ..SHAPE });
        assert_eq!(compare_widths((&a, 64), (&other, 64)).unwrap_err().exit_code(), 2);
    }
}

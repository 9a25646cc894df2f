//! Masks and plans to measure with. Only how many channels of each width a head has affects the
//! speed.

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use crate::cache::CacheSpec;
use crate::element::Dtype;
use crate::mask::{CachePlan, ChannelMask, Shape, Width, Window};
use crate::{Error, Result, numbers};

/// Heads of the LeanK authors' Llama-3.1-8B-Instruct mask by kept channels: `(channels, heads)`.
const LLAMA_HEADS: [(usize, usize); 4] = [(0, 47), (32, 120), (64, 67), (96, 22)];

/// A plan to measure.
#[derive(Debug, Clone)]
pub struct BenchPlan {
    /// Its name in the rows.
    pub name: String,
    /// Bits of every K channel and of every head's V.
    pub plan: CachePlan,
    /// Sink, recent and chunk.
    pub window: Window,
}

impl BenchPlan {
    /// Everything at the element type.
    pub fn dense(shape: Shape, window: Window) -> Self {
        Self { name: "dense".to_owned(), plan: CachePlan::full(shape), window }
    }

    /// A mask, named by the share that it prunes.
    pub fn mask(mask: &ChannelMask, window: Window) -> Self {
        let name = format!("mask, {} pruned", numbers::percent(1.0 - mask.kept_ratio(), 1));
        Self { name, plan: CachePlan::of_mask(mask), window }
    }

    /// A named plan, or with `NAME:SPARSITY` its widths on a mask that drops this share of the
    /// channels at equal counts per head.
    pub fn named(text: &str, shape: Shape) -> Result<Self> {
        let (name, sparsity) = match text.split_once(':') {
            Some((name, share)) => (name, Some(share)),
            None => (text, None),
        };
        let plan = CachePlan::named(name, shape)?;
        let plan = match sparsity.map(str::parse::<f64>) {
            None => plan,
            Some(Ok(sparsity)) if (0.0..=1.0).contains(&sparsity) => {
                under(&plan, &equal(shape, sparsity))?
            }
            Some(_) => {
                return Err(Error::input(format!(
                    "{text}: expected NAME or NAME:SPARSITY with a share from 0 to 1, such as k8v8:0.5"
                )));
            }
        };
        Ok(Self { name: text.to_owned(), plan, window: Window::CODED })
    }

    /// The specification of its cache.
    pub fn spec(&self, dtype: Dtype) -> Result<CacheSpec> {
        CacheSpec::planned(self.window, dtype, self.plan.clone())
    }
}

/// The widths of a plan where a mask keeps the channel, nothing elsewhere.
fn under(plan: &CachePlan, mask: &ChannelMask) -> Result<CachePlan> {
    let of = |(&width, stays): (&Width, bool)| if stays { width } else { Width::Zero };
    let k = plan.k_widths().iter().zip(mask.bits().iter().copied()).map(of).collect();
    let stores = mask.kept_counts().into_iter().map(|count| count > 0);
    let v = plan.v_widths().iter().zip(stores).map(of).collect();
    CachePlan::new(plan.shape(), k, v, plan.coding())
}

/// Every head keeps the same number of random channels, `1 - sparsity` of them.
pub fn equal(shape: Shape, sparsity: f64) -> ChannelMask {
    let kept = ((1.0 - sparsity) * shape.head_dim as f64).round() as usize;
    with_counts(shape, &vec![kept; shape.heads()])
}

/// [`llama`] for a shape with as many heads of as many channels as the published mask has.
pub fn published_counts(shape: Shape) -> Result<ChannelMask> {
    let heads: usize = LLAMA_HEADS.iter().map(|(_, heads)| heads).sum();
    if shape.heads() == heads && shape.head_dim == 128 {
        return Ok(llama(shape));
    }
    Err(Error::input(format!(
        "--counts llama goes with {heads} KV heads of 128 channels over all layers, as Llama-3.1-8B has; this model has {} of {}",
        shape.heads(),
        shape.head_dim
    )))
}

/// Heads with the kept counts of the published Llama mask, in random order.
pub fn llama(shape: Shape) -> ChannelMask {
    let mut counts: Vec<usize> =
        LLAMA_HEADS.iter().flat_map(|&(kept, heads)| vec![kept; heads]).collect();
    counts.shuffle(&mut StdRng::seed_from_u64(1));
    with_counts(shape, &counts)
}

fn with_counts(shape: Shape, counts: &[usize]) -> ChannelMask {
    let mut random = StdRng::seed_from_u64(2);
    let mut kept = Vec::with_capacity(shape.entries());
    for &count in counts {
        let mut bits: Vec<bool> = (0..shape.head_dim).map(|channel| channel < count).collect();
        bits.shuffle(&mut random);
        kept.extend(bits);
    }
    ChannelMask::new(shape, kept).expect("one count per head")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_counts_go_with_the_published_shape_only() {
        let shape = Shape { layers: 32, kv_heads: 8, head_dim: 128 };
        let mask = published_counts(shape).unwrap();
        let mut counts = mask.kept_counts();
        counts.sort_unstable();
        let of = |kept: usize| counts.iter().filter(|&&count| count == kept).count();
        assert_eq!([0, 32, 64, 96].map(of), [47, 120, 67, 22]);
        let other = published_counts(Shape { layers: 2, ..shape }).unwrap_err().to_string();
        assert!(other.contains("256 KV heads") && other.contains("16 of 128"), "{other}");
    }

    #[test]
    fn a_named_plan_can_lie_on_a_mask() {
        let shape = Shape { layers: 2, kv_heads: 2, head_dim: 64 };
        let half = BenchPlan::named("k8v4:0.5", shape).unwrap();
        assert_eq!(half.plan.k_counts().0, [128, 0, 0, 128, 0]);
        assert_eq!(half.plan.v_counts().0, [0, 0, 4, 0, 0]);
        assert_eq!(BenchPlan::named("k8v4:1", shape).unwrap().plan.v_counts().0, [4, 0, 0, 0, 0]);
        let whole = BenchPlan::named("q4_0", shape).unwrap();
        assert_eq!(whole.plan, CachePlan::named("q4_0", shape).unwrap());
        for wrong in ["k8v8:2", "k8v8:", "k8v8:x", "k9", "q8_0:0.5"] {
            assert!(BenchPlan::named(wrong, shape).is_err(), "{wrong}");
        }
    }
}

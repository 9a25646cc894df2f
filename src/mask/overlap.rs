//! How far two masks of one shape agree.

use super::ChannelMask;
use crate::{Error, Result};

/// Agreement of two sets of kept channels, A and B.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Overlap {
    /// Channels that both keep.
    pub both: usize,
    /// Channels that A alone keeps.
    pub only_a: usize,
    /// Channels that B alone keeps.
    pub only_b: usize,
    /// Channels that both prune.
    pub neither: usize,
    /// Kept by both over kept by either (Jaccard); 1 where neither keeps anything.
    pub jaccard: f64,
    /// Channels on which A and B agree, over all channels.
    pub agreement: f64,
}

/// Two masks compared: as a whole and layer by layer.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct MaskComparison {
    /// Over all layers.
    pub whole: Overlap,
    /// Per layer, first to last.
    pub layers: Vec<Overlap>,
    /// Heads that keep a different number of channels in A than in B.
    pub heads_with_other_counts: usize,
}

impl Overlap {
    fn of(a: &[bool], b: &[bool]) -> Self {
        let count = |in_a: bool, in_b: bool| {
            a.iter().zip(b).filter(|&(&x, &y)| (x, y) == (in_a, in_b)).count()
        };
        let (both, only_a, only_b, neither) =
            (count(true, true), count(true, false), count(false, true), count(false, false));
        let either = both + only_a + only_b;
        Self {
            both,
            only_a,
            only_b,
            neither,
            jaccard: if either == 0 { 1.0 } else { both as f64 / either as f64 },
            agreement: (both + neither) as f64 / a.len() as f64,
        }
    }
}

/// Compares two masks; refuses masks of different shape.
pub fn compare(a: &ChannelMask, b: &ChannelMask) -> Result<MaskComparison> {
    let shape = a.shape();
    if shape != b.shape() {
        return Err(Error::input(format!(
            "masks of different shape cannot be compared: {shape} and {}",
            b.shape()
        )));
    }
    let layer = shape.kv_heads * shape.head_dim;
    let counts = a.kept_counts().into_iter().zip(b.kept_counts());
    Ok(MaskComparison {
        whole: Overlap::of(a.bits(), b.bits()),
        layers: a
            .bits()
            .chunks(layer)
            .zip(b.bits().chunks(layer))
            .map(|(a, b)| Overlap::of(a, b))
            .collect(),
        heads_with_other_counts: counts.filter(|(a, b)| a != b).count(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Shape;

    #[test]
    fn overlap_counts_each_of_the_four_cases() {
        let shape = Shape { layers: 2, kv_heads: 1, head_dim: 4 };
        let a = ChannelMask::new(shape, vec![true, true, false, false, false, false, false, false])
            .unwrap();
        let b = ChannelMask::new(shape, vec![true, false, true, false, false, false, false, false])
            .unwrap();
        let comparison = compare(&a, &b).unwrap();
        let first = comparison.layers[0];
        assert_eq!((first.both, first.only_a, first.only_b, first.neither), (1, 1, 1, 1));
        assert_eq!((first.jaccard, first.agreement), (1.0 / 3.0, 0.5));
        assert_eq!(comparison.layers[1].jaccard, 1.0, "two empty layers are equal");
        assert_eq!((comparison.whole.agreement, comparison.heads_with_other_counts), (0.75, 0));
    }

    #[test]
    fn other_shapes_are_refused() {
        let full = |layers| ChannelMask::full(Shape { layers, kv_heads: 1, head_dim: 4 });
        assert_eq!(compare(&full(1), &full(2)).unwrap_err().exit_code(), 2);
    }
}

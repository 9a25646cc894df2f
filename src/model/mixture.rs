//! A mixture of experts in place of a layer's MLP.

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::numbers::count;
use crate::{Error, Result};

/// Many MLPs a layer, of which each token goes through some. A linear layer, the router, scores all
/// of them; the softmax of the scores says which, and with which weights they are added
/// (arXiv 2401.04088).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mixture {
    /// Experts of a layer.
    pub count: usize,
    /// Those that a token goes through.
    pub chosen: usize,
    /// Width of an expert.
    pub width: usize,
    /// Whether the weights of the chosen ones add up to 1; otherwise they are parts of a softmax over
    /// all.
    pub normalised: bool,
    /// Layers that have one MLP instead, in order.
    pub dense_layers: Vec<usize>,
}

impl Mixture {
    /// The least and the most experts of a layer.
    pub const COUNT: RangeInclusive<usize> = 1..=4096;

    /// Whether a layer has experts.
    pub fn is_in(&self, layer: usize) -> bool {
        !self.dense_layers.contains(&layer)
    }

    /// Refuses numbers that no decoder can have.
    pub(super) fn check(&self, widths: &RangeInclusive<usize>) -> Result<()> {
        let limits = [("experts", self.count, &Self::COUNT), ("expert width", self.width, widths)];
        for (what, found, range) in limits {
            if !range.contains(&found) {
                return Err(Error::input(format!(
                    "the model's {what} must be {} to {}, not {found}",
                    range.start(),
                    range.end()
                )));
            }
        }
        if self.chosen == 0 || self.chosen > self.count {
            return Err(Error::input(format!(
                "a token would go through {} of {} experts",
                self.chosen, self.count
            )));
        }
        Ok(())
    }

    /// In words: "8 of 128 experts of 768".
    pub fn words(&self) -> String {
        format!("{} of {} experts of {}", self.chosen, count(self.count), count(self.width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_through_some_of_the_experts_that_there_are() {
        let mixture = |count, chosen, width| Mixture {
            count,
            chosen,
            width,
            normalised: true,
            dense_layers: vec![1],
        };
        let widths = 1..=100;
        assert!(mixture(8, 2, 100).check(&widths).is_ok());
        for (odd, words) in [
            (mixture(8, 0, 10), "0 of 8"),
            (mixture(8, 9, 10), "9 of 8"),
            (mixture(5000, 2, 10), "experts must be 1 to 4096, not 5000"),
            (mixture(8, 2, 101), "expert width must be 1 to 100, not 101"),
        ] {
            let found = odd.check(&widths).unwrap_err().to_string();
            assert!(found.contains(words), "{found}");
        }
        assert_eq!(
            (0..3).map(|layer| mixture(8, 2, 10).is_in(layer)).collect::<Vec<_>>(),
            [true, false, true]
        );
        assert_eq!(mixture(128, 8, 1024).words(), "8 of 128 experts of 1,024");
    }
}

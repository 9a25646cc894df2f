//! A mixture of experts in place of a layer's MLP.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::config::check_limit;
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
    pub const COUNT: RangeInclusive<usize> = 1..=1024;
    /// The most experts of all layers together: a name is made for each.
    const ALL: usize = 1 << 17;

    /// Whether a layer has experts.
    pub fn is_in(&self, layer: usize) -> bool {
        !self.dense_layers.contains(&layer)
    }

    /// Refuses numbers that no decoder of so many layers can have.
    pub(super) fn check(&self, layers: usize, widths: &RangeInclusive<usize>) -> Result<()> {
        check_limit("experts", self.count, &Self::COUNT)?;
        check_limit("expert width", self.width, widths)?;
        if self.count * layers > Self::ALL {
            return Err(Error::input(format!(
                "{layers} layers of {} experts are more than {} experts",
                count(self.count),
                count(Self::ALL)
            )));
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
        assert!(mixture(8, 2, 100).check(2, &widths).is_ok());
        let many = mixture(1024, 2, 10).check(200, &widths).unwrap_err().to_string();
        assert!(many.contains("200 layers of 1,024 experts"), "{many}");
        for (odd, words) in [
            (mixture(8, 0, 10), "0 of 8"),
            (mixture(8, 9, 10), "9 of 8"),
            (mixture(5000, 2, 10), "experts must be 1 to 1024, not 5000"),
            (mixture(8, 2, 101), "expert width must be 1 to 100, not 101"),
        ] {
            let found = odd.check(2, &widths).unwrap_err().to_string();
            assert!(found.contains(words), "{found}");
        }
        assert_eq!(
            (0..3).map(|layer| mixture(8, 2, 10).is_in(layer)).collect::<Vec<_>>(),
            [true, false, true]
        );
        assert_eq!(mixture(128, 8, 1024).words(), "8 of 128 experts of 1,024");
    }
}

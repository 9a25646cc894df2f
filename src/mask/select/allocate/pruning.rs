//! From a sensitivity to a mask that prunes a share of the K channels.

use super::{AllocationOptions, AllocationTarget, allocate};
use crate::mask::{ChannelMask, Sensitivity};
use crate::{Error, Result};

/// Halvings of the byte budget. The last step is a millionth of the cache: less than one channel of
/// any model.
const HALVINGS: usize = 20;

/// The mask with the least predicted damage that prunes nearest to `sparsity` of the K channels.
///
/// Damages are weighed per byte, a dropped head with its V by a damage of its own, and the budget is
/// the one whose mask comes nearest. So the mask of a sensitivity has fewer bytes than a mask of the
/// same sparsity that drops no head.
///
/// # Errors
/// A sparsity that is not between 0 and 1, and one at which nothing would be kept.
pub fn prune(
    sensitivity: &Sensitivity,
    sparsity: f64,
    align: usize,
    pair_closed: bool,
) -> Result<ChannelMask> {
    if !(sparsity > 0.0 && sparsity < 1.0) {
        return Err(Error::input(format!(
            "a sparsity lies between 0 and 1: expected such a number, found {sparsity}"
        )));
    }
    let mut best: Option<(f64, ChannelMask)> = None;
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let share = (low + high) / 2.0;
        let options = AllocationOptions {
            align,
            pair_closed,
            ..AllocationOptions::of_mask(
                AllocationTarget::Share(share),
                sensitivity.shape().head_dim,
            )
        };
        let mask = allocate(sensitivity, &options)?.plan.mask().clone();
        let pruned = 1.0 - mask.kept_ratio();
        if pruned > sparsity {
            low = share;
        } else {
            high = share;
        }
        let distance = (pruned - sparsity).abs();
        if mask.kept_ratio() > 0.0 && best.as_ref().is_none_or(|(least, _)| distance < *least) {
            best = Some((distance, mask));
        }
    }
    best.map(|(_, mask)| mask).ok_or_else(|| {
        Error::input(format!(
            "at sparsity {sparsity} no channel would be kept: expected a lower one"
        ))
    })
}

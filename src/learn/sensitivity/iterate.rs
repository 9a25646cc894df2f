//! Sensitivity along the way: a mask is pruned part by part, and before every part the damage of what
//! is left is measured anew, under the mask as it then is.

use super::measure::{CalibrationSums, CalibrationTokens, prefilled};
use super::settings::SensitivitySettings;
use crate::learn::data::Haystack;
use crate::learn::engine::Sample;
use crate::mask::{ChannelMask, Sensitivity, Width};
use crate::model::Model;
use crate::{Error, Result};

/// Cuts a mask from a sensitivity to a share of the bytes, inside the mask before it.
pub type CutInside<'a> = &'a mut dyn FnMut(&Sensitivity, f64, &ChannelMask) -> Result<ChannelMask>;

/// Masks that lie within one another, one for each of `shares` (of the bytes of a dense middle, falling),
/// with `rounds` measurements before each. All prefills are held in memory. `progress` gets the number
/// of rounds done and may cancel.
///
/// # Errors
/// Those of the measurement; shares that do not fall; no round.
pub fn prune_in_rounds(
    model: &Model,
    haystack: &Haystack,
    settings: &SensitivitySettings,
    (shares, rounds): (&[f64], usize),
    cut: CutInside<'_>,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<ChannelMask>> {
    if rounds == 0 || !shares.is_sorted_by(|a, b| a > b) {
        return Err(Error::input(
            "a mask is pruned in at least 1 round, and to smaller and smaller shares of the bytes",
        ));
    }
    let calibration = CalibrationTokens::draw(model, haystack, settings)?;
    let samples: Vec<(usize, usize, Sample)> = calibration
        .each()
        .map(|(kind, index, tokens)| Ok((kind, index, prefilled(model, tokens)?)))
        .collect::<Result<_>>()?;
    let mut mask = ChannelMask::full(model.config().mask_shape());
    let (mut from, mut done, mut masks) = (1.0, 0, Vec::with_capacity(shares.len()));
    for &share in shares {
        for round in 1..=rounds {
            progress(done)?;
            let mut sums = CalibrationSums::default();
            for (kind, index, sample) in &samples {
                let what = (&[Width::Zero][..], Some(&mask));
                sums.add(model, settings, (*kind, *index), sample, what)?;
            }
            let sensitivity = sums.measured(model, settings)?.sensitivity;
            let to = from + (share - from) * round as f64 / rounds as f64;
            mask = cut(&sensitivity, to, &mask)?;
            done += 1;
        }
        from = share;
        masks.push(mask.clone());
    }
    Ok(masks)
}

//! From importance or a sensitivity to a mask of so many bytes.

use super::variant::{LearnVariant, VariantCut};
use crate::mask::select::{
    AllocationOptions, AllocationTarget, Budget, ByteBudget, Heads, LockWidths, Options, Target,
    WidthLock, WidthPlace, allocate, select,
};
use crate::mask::{CachePlan, ChannelMask, Importance, Sensitivity, Width, Window, bytes};
use crate::{Error, Result};

/// Bytes of an element of the cache, which is f16.
const ELEMENT: usize = 2;

/// The bytes of a mask's middle for a dense one's 1.
pub(super) fn share(mask: &ChannelMask) -> f64 {
    let dense = bytes::dense_token(mask.shape(), ELEMENT).total();
    bytes::middle_token(mask, ELEMENT).total() as f64 / dense as f64
}

/// The largest mask within a share of the bytes: the channels with the most importance.
pub(super) fn by_rank(
    importance: &Importance,
    variant: &LearnVariant,
    share: f64,
) -> Result<ChannelMask> {
    let dense = bytes::dense_token(importance.shape(), ELEMENT).total() as f64;
    // A share that is that of a mask must fit this mask, whatever its rounding.
    let bytes = (share * dense + 1e-6 * dense).floor() as u64;
    let budget = ByteBudget { bytes, tokens: 1, window: Window::NONE, element_size: ELEMENT };
    select(
        importance,
        &Options {
            target: Target::Bytes(budget),
            budget: Budget::Global,
            pair_closed: variant.pair_closed,
            ..Options::new(0.5, variant.align)
        },
    )
}

/// The largest mask within a share of the bytes with the least sum of damages. What `inside` leaves
/// out stays out.
pub(super) fn by_damage(
    sensitivity: &Sensitivity,
    variant: &LearnVariant,
    share: f64,
    inside: Option<&ChannelMask>,
) -> Result<ChannelMask> {
    let shape = sensitivity.shape();
    let nothing = |v| LockWidths::Widths { k: Some(Width::Zero), v };
    let mut locks = Vec::new();
    for (mask, (layer, head)) in
        inside.into_iter().flat_map(|mask| shape.each_head().map(move |head| (mask, head)))
    {
        let kept = &mask.bits()[(layer * shape.kv_heads + head) * shape.head_dim..];
        let kept = &kept[..shape.head_dim];
        if !kept.contains(&true) {
            let place = WidthPlace::Heads(Heads::Head(layer, head));
            locks.push(WidthLock { place, to: nothing(Some(Width::Zero)) });
            continue;
        }
        let out = kept.iter().enumerate().filter(|(_, kept)| !**kept);
        locks.extend(out.map(|(channel, _)| WidthLock {
            place: WidthPlace::Channel(layer, head, channel),
            to: nothing(None),
        }));
    }
    let options = AllocationOptions {
        align: variant.align,
        pair_closed: variant.pair_closed,
        locks,
        ..AllocationOptions::of_mask(AllocationTarget::Share(share + 1e-6), shape.head_dim)
    };
    Ok(allocate(sensitivity, &options)?.plan.mask().clone())
}

/// The sensitivity with the damage of dropped heads times a weight.
fn weighed(sensitivity: &Sensitivity, weight: f64) -> Result<Sensitivity> {
    let mut v = sensitivity.v_table().to_vec();
    let widths = Sensitivity::WIDTHS.len();
    let dropped = Sensitivity::WIDTHS.iter().position(|width| *width == Width::Zero);
    let dropped = v.iter_mut().skip(dropped.unwrap_or_default()).step_by(widths);
    dropped.for_each(|damage| *damage = (f64::from(*damage) * weight) as f32);
    Sensitivity::new(sensitivity.shape(), sensitivity.k_table().to_vec(), v)
}

/// The mask of a sensitivity, inside another.
pub(super) fn by_sensitivity(
    sensitivity: &Sensitivity,
    variant: &LearnVariant,
    share: f64,
    inside: Option<&ChannelMask>,
) -> Result<ChannelMask> {
    if variant.cut() == VariantCut::Damage {
        return by_damage(&weighed(sensitivity, variant.drop_weight)?, variant, share, inside);
    }
    let mut scores = sensitivity.pruning()?.scores().to_vec();
    if let Some(mask) = inside {
        // A score of 0 never counts towards a head's channels, and is the last in it.
        scores
            .iter_mut()
            .zip(mask.bits())
            .filter(|(_, kept)| !**kept)
            .for_each(|(score, _)| *score = 0.0);
    }
    by_rank(&Importance::new(sensitivity.shape(), scores)?, variant, share)
}

/// The sparsity, in thousandths, whose mask comes nearest to a share of the bytes.
pub(super) fn sparsity_of(
    importance: &Importance,
    variant: &LearnVariant,
    wanted: f64,
) -> Result<f64> {
    let mut best = (f64::INFINITY, 0.5);
    for thousandth in 1..1000 {
        let sparsity = f64::from(thousandth) / 1000.0;
        let distance = (share(&at_sparsity(importance, variant, sparsity)?) - wanted).abs();
        if distance < best.0 {
            best = (distance, sparsity);
        }
    }
    Ok(best.1)
}

/// The mask that prunes a share of the channels.
pub(super) fn at_sparsity(
    importance: &Importance,
    variant: &LearnVariant,
    sparsity: f64,
) -> Result<ChannelMask> {
    let options =
        Options { pair_closed: variant.pair_closed, ..Options::new(sparsity, variant.align) };
    select(importance, &options)
}

/// A plan of a mask; refuses one that keeps nothing at all.
pub(super) fn plan(mask: &ChannelMask, variant: &LearnVariant) -> Result<CachePlan> {
    match mask.kept_ratio() > 0.0 {
        true => Ok(CachePlan::of_mask(mask)),
        false => Err(Error::input(format!(
            "variant `{}`: at these bytes its mask would keep no channel at all",
            variant.name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Shape;
    use crate::random::SplitMix64;

    const SHAPE: Shape = Shape { layers: 4, kv_heads: 3, head_dim: 32 };

    fn sensitivity(seed: u64) -> Sensitivity {
        let mut random = SplitMix64::new(seed);
        let mut draw = |n: usize| -> Vec<f32> {
            (0..n).map(|_| 1e-6 * (1 + random.below(1 << 16)) as f32).collect()
        };
        let (k, mut v) = (draw(4 * SHAPE.entries()), draw(4 * SHAPE.heads()));
        // A head's V is as dear as many channels of its K.
        v.iter_mut().for_each(|damage| *damage *= 40.0);
        Sensitivity::new(SHAPE, k, v).unwrap()
    }

    #[test]
    fn both_cuts_meet_the_bytes_and_stay_inside_the_mask_before() {
        let found = sensitivity(1);
        for cut in [VariantCut::Rank, VariantCut::Damage] {
            let variant = LearnVariant {
                start: "sensitivity".to_owned(),
                align: 4,
                cut: Some(cut),
                ..LearnVariant::default()
            };
            let wide = by_sensitivity(&found, &variant, 0.8, None).unwrap();
            let tight = by_sensitivity(&sensitivity(2), &variant, 0.6, Some(&wide)).unwrap();
            for (mask, wanted) in [(&wide, 0.8), (&tight, 0.6)] {
                let share = share(mask);
                // A choice by damage is never further off than one of the twelve heads.
                let head = 1.0 / SHAPE.heads() as f64;
                assert!(share <= wanted + 1e-6 && share > wanted - head, "{cut:?}: {share}");
            }
            let outside =
                tight.bits().iter().zip(wide.bits()).filter(|(own, wide)| **own && !**wide);
            assert_eq!(outside.count(), 0, "{cut:?}");
            let own = by_rank(&found.pruning().unwrap(), &variant, share(&wide)).unwrap();
            assert!((share(&own) - share(&wide)).abs() < 0.05);
        }
    }

    #[test]
    fn heads_that_are_dear_to_drop_are_dropped_less() {
        let found = sensitivity(3);
        let dropped = |weight| {
            let variant = LearnVariant {
                start: "sensitivity".to_owned(),
                align: 4,
                drop_weight: weight,
                ..LearnVariant::default()
            };
            let mask = by_sensitivity(&found, &variant, 0.5, None).unwrap();
            mask.kept_counts().iter().filter(|&&count| count == 0).count()
        };
        assert!(dropped(0.1) > dropped(10.0), "{} {}", dropped(0.1), dropped(10.0));
    }
}

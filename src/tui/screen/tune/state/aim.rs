//! The sparsity that the channels of alignment are counted against: that of the settings, or what the
//! importance leaves of it.

use crate::decode::worker::event::MaskInfo;
use crate::mask::select::Budget;
use crate::mask::{ChannelMask, Importance};
use crate::tui::screen::tune::state::draft::{ALL, Base, Draft, Goal};

/// The importance that a mask was selected from.
pub fn importance_of(mask: &MaskInfo) -> Option<Importance> {
    Importance::new(mask.plan.shape(), mask.importance.clone()?).ok()
}

/// The share of channels with importance above 0, where a draft asks for more than that and its
/// selection never keeps the others.
pub fn reach_of(draft: &Draft, importance: Option<&Importance>) -> Option<f64> {
    let (Base::Selection, Goal::Keep(keep), Budget::Global) =
        (&draft.base, draft.goal, draft.split)
    else {
        return None;
    };
    let share = share_above_zero(importance?);
    (share < f64::from(keep) / f64::from(ALL)).then_some(share)
}

/// The sparsity that a mask is measured against in channels of alignment. What the importance does
/// not reach is not the alignment's doing, whether the mask was selected here or is one of a file.
pub fn aimed(draft: &Draft, importance: Option<&Importance>, mask: &ChannelMask) -> Option<f64> {
    let reach = match &draft.base {
        Base::Selection => reach_of(draft, importance),
        Base::Verbatim(info) => reach_of_file(info, mask),
    };
    reach.map(|reach| 1.0 - reach).or(draft.sparsity())
}

fn share_above_zero(importance: &Importance) -> f64 {
    importance.reach() as f64 / importance.shape().entries() as f64
}

/// [`reach_of`] of a mask whose settings are not known: in no head it keeps channels without
/// importance but for what alignment adds.
fn reach_of_file(info: &MaskInfo, mask: &ChannelMask) -> Option<f64> {
    let importance = importance_of(info)?;
    let head_dim = mask.shape().head_dim;
    let heads = mask.bits().chunks(head_dim).zip(importance.scores().chunks(head_dim));
    let added = |(kept, scores): (&[bool], &[f32])| {
        kept.iter().zip(scores).filter(|(kept, score)| **kept && **score <= 0.0).count()
    };
    let share = share_above_zero(&importance);
    let is_by_reach = heads.map(added).all(|added| added < info.align.max(1));
    (is_by_reach && share < 1.0 - info.sparsity?).then_some(share)
}

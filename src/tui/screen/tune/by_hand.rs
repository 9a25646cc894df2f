//! Widths set by hand: of the channel at hand, of all K channels or the V of its head, and of its
//! layer.

use crate::mask::{CachePlan, Shape, Width};
use crate::tui::app::action::Command;
use crate::tui::app::place::Place;
use crate::tui::screen::tune::state::{Draft, Proposal};

/// The part of a plan that a width is set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditedPart {
    /// The K channel at hand.
    Channel,
    /// All K channels of the head at hand.
    K,
    /// V of the head at hand.
    V,
    /// K and V of all heads of the layer at hand.
    Layer,
}

impl EditedPart {
    /// All parts.
    pub const ALL: [Self; 4] = [Self::Channel, Self::K, Self::V, Self::Layer];

    /// The name in the palette.
    pub fn name(self) -> &'static str {
        match self {
            Self::Channel => "ch",
            Self::K => "k",
            Self::V => "v",
            Self::Layer => "layer",
        }
    }

    /// The part at a place in words.
    fn at(self, at: Place) -> String {
        let Place { layer, head, channel } = at;
        match self {
            Self::Channel => format!("L{layer} h{head} ch {channel}"),
            Self::K => format!("L{layer} h{head} K"),
            Self::V => format!("L{layer} h{head} V"),
            Self::Layer => format!("layer {layer}"),
        }
    }
}

/// Why V of a head is not set to nothing.
pub const NO_V: &str = "a head without V is dropped";

/// The width next to another: one step of 0, 2, 4, 8 and 16 bits.
fn next(width: Width, wider: bool) -> Width {
    let at = width.index();
    let at = if wider { (at + 1).min(Width::ALL.len() - 1) } else { at.saturating_sub(1) };
    Width::ALL[at]
}

/// Runs a command that sets widths by hand, and says what it did. Commands that do not leave the
/// draft as it is.
pub fn set(draft: &mut Draft, proposal: &Proposal, at: Place, command: Command) -> String {
    let (narrower, wider) = (|width| next(width, false), |width| next(width, true));
    let mut step = |part, wide: bool| {
        let to: &dyn Fn(Width) -> Width = if wide { &wider } else { &narrower };
        give(draft, proposal, at, part, to)
    };
    match command {
        Command::ChannelNarrower => step(EditedPart::Channel, false),
        Command::ChannelWider => step(EditedPart::Channel, true),
        Command::KNarrower => step(EditedPart::K, false),
        Command::KWider => step(EditedPart::K, true),
        Command::VNarrower => step(EditedPart::V, false),
        Command::VWider => step(EditedPart::V, true),
        Command::LayerNarrower => step(EditedPart::Layer, false),
        Command::LayerWider => step(EditedPart::Layer, true),
        Command::Flip => flip(draft, proposal, at),
        Command::FlipHead => flip_head(draft, proposal, at),
        _ => String::new(),
    }
}

/// Gives a part of the plan around a place other widths, each a function of its own width now.
pub fn give(
    draft: &mut Draft,
    proposal: &Proposal,
    at: Place,
    part: EditedPart,
    to: &dyn Fn(Width) -> Width,
) -> String {
    let plan = &proposal.plan;
    if part == EditedPart::V {
        let (now, dropped) =
            (plan.v(at.layer, at.head), plan.mask().kept_count(at.layer, at.head) == 0);
        match (dropped, to(now)) {
            (true, _) => {
                return format!("{}: the head is dropped; give it K channels first", part.at(at));
            }
            (false, Width::Zero) => {
                return format!("{}: {NO_V}", part.at(at));
            }
            _ => {}
        }
    }
    let heads = match part {
        EditedPart::Layer => 0..plan.shape().kv_heads,
        _ => at.head..at.head + 1,
    };
    for head in heads {
        let k = plan.k(at.layer, head).iter().enumerate().map(|(channel, &now)| match part {
            EditedPart::Channel if channel != at.channel => now,
            EditedPart::V => now,
            _ => to(now),
        });
        let v = match part {
            EditedPart::V | EditedPart::Layer => to(plan.v(at.layer, head)),
            EditedPart::Channel | EditedPart::K => plan.v(at.layer, head),
        };
        // V of a head that stores K is never 0.
        let v = if v == Width::Zero { plan.v(at.layer, head) } else { v };
        pin(draft, proposal, (at.layer, head), &k.collect::<Vec<_>>(), v);
    }
    said(part, at, plan, to)
}

/// What became of a part.
fn said(part: EditedPart, at: Place, plan: &CachePlan, to: &dyn Fn(Width) -> Width) -> String {
    let each: Vec<Width> = match part {
        EditedPart::Channel => vec![to(plan.k(at.layer, at.head)[at.channel])],
        EditedPart::K => plan.k(at.layer, at.head).iter().map(|&width| to(width)).collect(),
        EditedPart::V => vec![to(plan.v(at.layer, at.head))],
        EditedPart::Layer => {
            let heads = 0..plan.shape().kv_heads;
            heads.flat_map(|head| plan.k(at.layer, head)).map(|&width| to(width)).collect()
        }
    };
    let bits = match each.iter().all(|width| *width == each[0]) {
        true => format!("{} bits", each[0]),
        false => "one step each".to_owned(),
    };
    format!("{}: {bits}", part.at(at))
}

/// Sets the widths of a head by hand; those that the selection gives anyway need no entry.
fn pin(
    draft: &mut Draft,
    proposal: &Proposal,
    (layer, head): (usize, usize),
    k: &[Width],
    v: Width,
) {
    let (shape, selected) = (proposal.plan.shape(), &proposal.selected);
    let differs = |(&wanted, &given): (&Width, &Width)| (wanted != given).then_some(wanted);
    let own = k.iter().zip(selected.k(layer, head)).map(differs).collect();
    let v = (v != Width::Zero && v != selected.v(layer, head)).then_some(v);
    // A head that becomes dropped, or is revived, takes V along by itself.
    let revived = selected.v(layer, head) == Width::Zero && v == k.iter().copied().max();
    let dropped = k.iter().all(|&width| width == Width::Zero);
    draft.pin_head(row(shape, layer, head), own, v.filter(|_| !revived && !dropped));
}

fn row(shape: Shape, layer: usize, head: usize) -> usize {
    layer * shape.kv_heads + head
}

/// Keeps or prunes the channel at hand. A channel that comes back has the width that the selection
/// gives it, or 16 bits.
fn flip(draft: &mut Draft, proposal: &Proposal, at: Place) -> String {
    let now = proposal.plan.k(at.layer, at.head)[at.channel];
    let keep = now == Width::Zero;
    let back = back(proposal.selected.k(at.layer, at.head)[at.channel]);
    give(draft, proposal, at, EditedPart::Channel, &|_| if keep { back } else { Width::Zero });
    format!("{}: {}", EditedPart::Channel.at(at), if keep { "kept" } else { "pruned" })
}

fn back(selected: Width) -> Width {
    if selected == Width::Zero { Width::Sixteen } else { selected }
}

/// Keeps all channels of the head at hand, or none. Unless the selection does the same, all of them
/// count as set by hand, whatever is selected later.
fn flip_head(draft: &mut Draft, proposal: &Proposal, at: Place) -> String {
    let (plan, selected) = (&proposal.plan, proposal.selected.k(at.layer, at.head));
    let keep = plan.k(at.layer, at.head).contains(&Width::Zero);
    let alike = selected.iter().all(|&width| (width != Width::Zero) == keep);
    let wanted = |&width: &Width| match (alike, keep) {
        (true, _) => None,
        (false, true) => Some(back(width)),
        (false, false) => Some(Width::Zero),
    };
    let shape = plan.shape();
    draft.pin_head(row(shape, at.layer, at.head), selected.iter().map(wanted).collect(), None);
    let what = if keep { "all channels kept" } else { "dropped" };
    format!("L{} h{}: {what}", at.layer, at.head)
}

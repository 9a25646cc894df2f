//! The settings of a mask or a plan: plain data, compared by value and kept for undo.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::decode::worker::event::MaskInfo;
use crate::mask::select::{ALIGNMENTS, Budget};
use crate::mask::{CachePlan, Rule, Shape, Width, Window};

/// The kept share, in thousandths, that means all channels.
pub const ALL: u16 = 1000;

/// Where the channels come from, before manual changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Base {
    /// A mask or a plan as it is in its file, or the full one of a dense session.
    Verbatim(Arc<MaskInfo>),
    /// A selection: a mask by rule and budget, or, for [`Goal::Bytes`], a plan by sensitivity.
    Selection,
}

/// How much to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Thousandths of all channels. An integer, so that steps up and down cancel exactly.
    Keep(u16),
    /// The maximum size of the cache at a context.
    Fit {
        /// Bytes of keys and values, window included.
        bytes: u64,
        /// Context in tokens.
        tokens: usize,
    },
    /// Thousandths of the bytes of a dense f16 cache's middle: widths are chosen by sensitivity.
    Bytes(u16),
}

/// The widths of one head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadWidths {
    /// Of its K channels.
    pub k: Arc<[Width]>,
    /// Of its V.
    pub v: Width,
}

impl HeadWidths {
    /// Those that a plan gives a head.
    pub fn of(plan: &CachePlan, layer: usize, head: usize) -> Self {
        Self { k: plan.k(layer, head).into(), v: plan.v(layer, head) }
    }
}

/// What is set by hand in one head; `None` leaves what the selection gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins {
    /// Of its K channels.
    pub k: Arc<[Option<Width>]>,
    /// Of its V.
    pub v: Option<Width>,
}

/// All settings of a mask or a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Where the channels come from.
    pub base: Base,
    /// How much to keep.
    pub goal: Goal,
    /// Kept counts come in multiples of this.
    pub align: usize,
    /// How the budget is spread over heads.
    pub split: Budget,
    /// Whether both channels of a rotation pair stay together.
    pub pairs: bool,
    /// Minimum of kept channels for every head.
    pub floor: usize,
    /// Minimum for single layers, in place of the general one.
    pub layer_floors: BTreeMap<usize, usize>,
    /// Heads (row-major) that keep the widths they had when they were locked.
    pub locks: BTreeMap<usize, HeadWidths>,
    /// Where the scores come from.
    pub rule: Rule,
    /// A second rule to mix in by rank.
    pub blend: Option<Rule>,
    /// Weight of the second rule, percent.
    pub weight: u8,
    /// Sink, recent and chunk.
    pub window: Window,
    /// Widths set by hand, applied last, by head (row-major).
    pub pins: BTreeMap<usize, Pins>,
}

/// One setting, as a palette command gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// Thousandths of the channels to keep.
    Keep(u16),
    /// The most bytes at a context.
    Fit(u64, usize),
    /// Thousandths of the bytes of a dense f16 cache's middle.
    Bytes(u16),
    /// Alignment.
    Align(usize),
    /// How the budget is spread.
    Split(Budget),
    /// Floor of all heads.
    Floor(usize),
    /// The rule, alone.
    Rule(Rule),
    /// Another rule mixed in at this many percent.
    Blend(Rule, u8),
    /// First tokens that are never pruned.
    Sink(usize),
    /// Last tokens that are never pruned.
    Recent(usize),
    /// Tokens that leave the recent window at once.
    Chunk(usize),
}

impl Draft {
    /// A draft that keeps `mask` as it is. The selection controls start at the settings that the
    /// mask seems to come from.
    pub fn verbatim(mask: Arc<MaskInfo>, window: Window) -> Self {
        let share =
            mask.sparsity.map_or_else(|| mask.mask().kept_ratio(), |sparsity| 1.0 - sparsity);
        Self {
            goal: Goal::Keep((share * f64::from(ALL)).round().clamp(0.0, f64::from(ALL)) as u16),
            align: if ALIGNMENTS.contains(&mask.align) {
                mask.align
            } else {
                crate::mask::files::DEFAULT_ALIGN
            },
            split: Budget::Global,
            pairs: false,
            floor: 0,
            layer_floors: BTreeMap::new(),
            locks: BTreeMap::new(),
            rule: if mask.importance.is_some() { Rule::LEARNED } else { Rule::FREQUENCY },
            blend: None,
            weight: 50,
            window,
            pins: BTreeMap::new(),
            base: Base::Verbatim(mask),
        }
    }

    /// Changes one setting. A setting of the selection makes the draft a selection.
    pub fn set(&mut self, set: Set) {
        match set {
            Set::Keep(keep) => self.goal = Goal::Keep(keep.min(ALL)),
            Set::Fit(bytes, tokens) => self.goal = Goal::Fit { bytes, tokens },
            Set::Bytes(share) => self.goal = Goal::Bytes(share.clamp(1, ALL)),
            Set::Align(align) => self.align = align,
            Set::Split(split) => self.split = split,
            Set::Floor(floor) => self.floor = floor,
            Set::Rule(rule) => (self.rule, self.blend) = (rule, None),
            Set::Blend(rule, weight) => {
                (self.blend, self.weight) =
                    (Some(rule).filter(|&rule| rule != self.rule), weight.min(100))
            }
            Set::Sink(sink) => self.window.sink = sink,
            Set::Recent(recent) => self.window.recent = recent,
            Set::Chunk(chunk) => self.window.chunk = chunk.max(1),
        }
        if !matches!(set, Set::Sink(_) | Set::Recent(_) | Set::Chunk(_)) {
            self.base = Base::Selection;
        }
    }

    /// The pin of a channel, if it has one.
    pub fn pin(&self, shape: Shape, layer: usize, head: usize, channel: usize) -> Option<Width> {
        self.pins.get(&(layer * shape.kv_heads + head)).and_then(|pins| pins.k[channel])
    }

    /// Number of widths set by hand in a head: K channels, and V.
    pub fn pinned(&self, shape: Shape, layer: usize, head: usize) -> usize {
        let pins = self.pins.get(&(layer * shape.kv_heads + head));
        pins.map_or(0, |pins| pins.k.iter().flatten().count() + usize::from(pins.v.is_some()))
    }

    /// Replaces what is set by hand in a head; a head where nothing is set has no entry.
    pub fn pin_head(&mut self, head: usize, k: Vec<Option<Width>>, v: Option<Width>) {
        if k.iter().all(Option::is_none) && v.is_none() {
            self.pins.remove(&head);
        } else {
            self.pins.insert(head, Pins { k: k.into(), v });
        }
    }

    /// Whether a head is locked.
    pub fn is_locked(&self, shape: Shape, layer: usize, head: usize) -> bool {
        self.locks.contains_key(&(layer * shape.kv_heads + head))
    }

    /// Whether widths are chosen by sensitivity.
    pub fn allocates(&self) -> bool {
        self.base == Base::Selection && matches!(self.goal, Goal::Bytes(_))
    }

    /// The floor of a layer.
    pub fn floor_of(&self, layer: usize) -> usize {
        self.layer_floors.get(&layer).copied().unwrap_or(self.floor)
    }

    /// The sparsity that the selection asks for; `None` where it has none.
    pub fn sparsity(&self) -> Option<f64> {
        match (&self.base, self.goal) {
            (Base::Verbatim(mask), _) => mask.sparsity,
            (Base::Selection, Goal::Keep(keep)) => Some(f64::from(ALL - keep) / f64::from(ALL)),
            (Base::Selection, Goal::Fit { .. } | Goal::Bytes(_)) => None,
        }
    }

    /// Name of the rule and of the one mixed in; plans have one rule.
    pub fn rule_words(&self) -> String {
        match self.blend {
            _ if self.allocates() => "sensitivity".to_owned(),
            Some(second) => format!(
                "{} % {} + {} % {}",
                100 - self.weight,
                self.rule.name,
                self.weight,
                second.name
            ),
            None => self.rule.name.to_owned(),
        }
    }
}

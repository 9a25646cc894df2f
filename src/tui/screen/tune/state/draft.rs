//! The settings of a mask: plain data, compared by value and kept for undo.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::decode::worker::event::MaskInfo;
use crate::mask::select::{ALIGNMENTS, Budget};
use crate::mask::{Rule, Shape, Window};

/// The kept share, in thousandths, that means all channels.
pub const ALL: u16 = 1000;

/// Where the channels come from, before manual changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Base {
    /// A mask as it is in its file, or the full one of a dense session.
    Verbatim(Arc<MaskInfo>),
    /// A selection by rule and budget.
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
}

/// All settings of a mask.
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
    /// Heads (row-major) that keep the channels they had when they were locked.
    pub locks: BTreeMap<usize, Arc<[bool]>>,
    /// Where the scores come from.
    pub rule: Rule,
    /// A second rule to mix in by rank.
    pub blend: Option<Rule>,
    /// Weight of the second rule, percent.
    pub weight: u8,
    /// Sink, recent and chunk.
    pub window: Window,
    /// Channels set by hand, applied last: heads (row-major), each with its pinned channels.
    pub pins: BTreeMap<usize, Arc<[Option<bool>]>>,
}

/// One setting, as a palette command gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// Thousandths of the channels to keep.
    Keep(u16),
    /// The most bytes at a context.
    Fit(u64, usize),
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
    pub fn pin(&self, shape: Shape, layer: usize, head: usize, channel: usize) -> Option<bool> {
        self.pins.get(&(layer * shape.kv_heads + head)).and_then(|row| row[channel])
    }

    /// Number of channels pinned in a head.
    pub fn pinned(&self, shape: Shape, layer: usize, head: usize) -> usize {
        let row = self.pins.get(&(layer * shape.kv_heads + head));
        row.map_or(0, |row| row.iter().filter(|pin| pin.is_some()).count())
    }

    /// Replaces the pins of a head; a row without pins is removed.
    pub fn pin_row(&mut self, head: usize, row: Vec<Option<bool>>) {
        if row.iter().all(Option::is_none) {
            self.pins.remove(&head);
        } else {
            self.pins.insert(head, row.into());
        }
    }

    /// Whether a head is locked.
    pub fn is_locked(&self, shape: Shape, layer: usize, head: usize) -> bool {
        self.locks.contains_key(&(layer * shape.kv_heads + head))
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
            (Base::Selection, Goal::Fit { .. }) => None,
        }
    }

    /// Name of the rule and of the one mixed in.
    pub fn rule_words(&self) -> String {
        match self.blend {
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

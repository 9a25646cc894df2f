//! From the settings to the mask.

use std::borrow::Cow;
use std::sync::Arc;

use crate::cache::CacheSpec;
use crate::decode::worker::event::{MaskInfo, ModelInfo, Rules};
use crate::element::Dtype;
use crate::mask::select::{ByteBudget, Floor, Heads, Lock, LockTo, Options, Target};
use crate::mask::{
    CachePlan, ChannelMask, Given, Importance, Needs, Rule, Shape, Width, Window, alignment_cost,
    bytes, rules, select,
};
use crate::tui::screen::tune::state::draft::{Base, Draft, Goal};
use crate::{Error, Result};

/// Seed of the random rule.
const SEED: u64 = 0;

/// What masks are made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Sources {
    /// Layers, KV heads, channels.
    pub shape: Shape,
    /// Element type of the cache.
    pub dtype: Dtype,
    /// The mask that the session began with; full where it began dense.
    pub loaded: Arc<MaskInfo>,
    importance: Option<Importance>,
    /// Rules that need a text, with their importance on the prompt.
    of_prompt: Vec<(Rule, Importance)>,
}

impl Sources {
    /// The sources from a loaded model; the prompt's rules come later.
    pub fn new(info: &ModelInfo) -> Self {
        let shape = info.shape;
        let dense = || MaskInfo {
            label: "dense".to_owned(),
            plan: CachePlan::full(shape),
            importance: None,
            rule: String::new(),
            align: crate::mask::files::DEFAULT_ALIGN,
            sparsity: Some(0.0),
        };
        let loaded = Arc::new(info.mask.clone().unwrap_or_else(dense));
        let importance =
            loaded.importance.clone().and_then(|scores| Importance::new(shape, scores).ok());
        Self { shape, dtype: info.kv_dtype, loaded, importance, of_prompt: Vec::new() }
    }

    /// Replaces the mask that proposals start from, and its importance.
    pub fn take_mask(&mut self, mask: Arc<MaskInfo>) {
        self.importance =
            mask.importance.clone().and_then(|scores| Importance::new(self.shape, scores).ok());
        self.loaded = mask;
    }

    /// Takes the tables of a prompt. A table that is not a valid importance leaves its rule without
    /// one.
    pub fn take_rules(&mut self, rules: &Rules) {
        let scores = |rule: Rule| {
            Some((rule, Importance::new(self.shape, rules.scores(rule)?.to_vec()).ok()?))
        };
        self.of_prompt = Rule::ALL.into_iter().filter_map(scores).collect();
    }

    /// Whether a rule has importance.
    pub fn has(&self, rule: Rule) -> bool {
        rule.needs == Needs::Nothing || self.held(rule).is_some()
    }

    /// The importance of a rule, from a file or the prompt.
    fn held(&self, rule: Rule) -> Option<&Importance> {
        match rule.needs {
            Needs::Nothing => None,
            Needs::File => self.importance.as_ref(),
            Needs::Text => {
                self.of_prompt.iter().find(|(other, _)| *other == rule).map(|(_, scores)| scores)
            }
        }
    }

    fn scores(&self, rule: Rule) -> Result<Cow<'_, Importance>> {
        let name = rule.name;
        match (self.held(rule), rule.needs) {
            (Some(held), _) => Ok(Cow::Borrowed(held)),
            (None, Needs::Nothing) => {
                Ok(Cow::Owned(rule.scores(Given::nothing(self.shape, SEED))?))
            }
            (None, Needs::File) => Err(Error::input(format!(
                "rule {name}: expected a mask file with importance, found none"
            ))),
            (None, Needs::Text) => Err(Error::input(format!(
                "rule {name}: expected the figures of a prompt, found none yet"
            ))),
        }
    }

    /// The importance that a draft selects from.
    fn importance(&self, draft: &Draft) -> Result<Importance> {
        let first = self.scores(draft.rule)?;
        match draft.blend {
            None => Ok(first.into_owned()),
            Some(second) => {
                rules::blend(&first, self.scores(second)?.as_ref(), f64::from(draft.weight) / 100.0)
            }
        }
    }
}

/// The plan that a draft gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The plan: what a plan in use as it is says of the channels that stay, and 16 bits for all
    /// others.
    pub plan: CachePlan,
    /// The mask without the channels set by hand.
    pub selected: ChannelMask,
    /// The importance that it was selected from, if any.
    pub importance: Option<Importance>,
}

impl Proposal {
    /// The plan of the session, as it is.
    pub fn verbatim(sources: &Sources) -> Self {
        let plan = sources.loaded.plan.clone();
        Self { selected: plan.mask().clone(), plan, importance: sources.importance.clone() }
    }

    /// The K channels that it stores.
    pub fn mask(&self) -> &ChannelMask {
        self.plan.mask()
    }
}

/// The mask that `draft` gives.
///
/// # Errors
/// A rule without importance, and a budget that floors and locks alone exceed.
pub fn propose(draft: &Draft, sources: &Sources) -> Result<Proposal> {
    let shape = sources.shape;
    let (selected, importance) = match &draft.base {
        Base::Verbatim(mask) => {
            let held =
                mask.importance.clone().and_then(|scores| Importance::new(shape, scores).ok());
            (with_locks(mask.mask(), draft), held)
        }
        Base::Selection => {
            let importance = sources.importance(draft)?;
            (select::select(&importance, &options(draft, sources))?, Some(importance))
        }
    };
    let mut bits = selected.bits().to_vec();
    for (&head, row) in &draft.pins {
        let bits = &mut bits[head * shape.head_dim..][..shape.head_dim];
        for (bit, pin) in bits.iter_mut().zip(row.iter()) {
            *bit = pin.unwrap_or(*bit);
        }
    }
    let mask = ChannelMask::new(shape, bits)?;
    let plan = match &draft.base {
        Base::Verbatim(base) => with_widths_of(&base.plan, &mask)?,
        Base::Selection => CachePlan::of_mask(&mask),
    };
    Ok(Proposal { plan, selected, importance })
}

fn options(draft: &Draft, sources: &Sources) -> Options {
    let shape = sources.shape;
    let target = match draft.goal {
        Goal::Keep(_) => Target::Sparsity(draft.sparsity().unwrap_or_default()),
        Goal::Fit { bytes, tokens } => Target::Bytes(ByteBudget {
            bytes,
            tokens,
            window: draft.window,
            element_size: sources.dtype.bytes(),
        }),
    };
    let all = (draft.floor > 0).then_some(Floor { heads: Heads::All, channels: draft.floor });
    let layers = draft
        .layer_floors
        .iter()
        .map(|(&layer, &channels)| Floor { heads: Heads::Layer(layer), channels });
    let locked = Arc::new(with_locks(&ChannelMask::full(shape), draft));
    let locks = draft.locks.keys().map(|head| Lock {
        heads: Heads::Head(head / shape.kv_heads, head % shape.kv_heads),
        to: LockTo::Mask(Arc::clone(&locked)),
    });
    Options {
        target,
        align: draft.align,
        budget: draft.split,
        pair_closed: draft.pairs,
        floors: all.into_iter().chain(layers).collect(),
        locks: locks.collect(),
    }
}

/// The plan with the widths of `base` that stores the channels of `mask`. Channels and heads that
/// `base` does not store get 16 bits.
fn with_widths_of(base: &CachePlan, mask: &ChannelMask) -> Result<CachePlan> {
    if mask == base.mask() {
        return Ok(base.clone());
    }
    let width = |(&width, kept): (&Width, bool)| match (kept, width) {
        (false, _) => Width::Zero,
        (true, Width::Zero) => Width::Sixteen,
        (true, width) => width,
    };
    let k = base.k_widths().iter().zip(mask.bits().iter().copied()).map(width).collect();
    let stores = mask.kept_counts().into_iter().map(|count| count > 0);
    let v = base.v_widths().iter().zip(stores).map(width).collect();
    CachePlan::new(mask.shape(), k, v, base.coding())
}

/// A mask whose locked heads keep their channels.
fn with_locks(mask: &ChannelMask, draft: &Draft) -> ChannelMask {
    let shape = mask.shape();
    ChannelMask::from_fn(shape, |layer, head, channel| {
        match draft.locks.get(&(layer * shape.kv_heads + head)) {
            Some(bits) => bits[channel],
            None => mask.head(layer, head)[channel],
        }
    })
}

/// What a mask keeps and saves at a context: computed, not measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tally {
    /// Kept channels, all layers and heads.
    pub kept: usize,
    /// Kept channels over all channels, 0..=1.
    pub share: f64,
    /// Heads that keep no channel.
    pub dropped: usize,
    /// Bytes of the cache at the context.
    pub bytes: bytes::KvBytes,
    /// Share of the dense cache that is saved there, 0..=1.
    pub saved: f64,
    /// Dense over pruned bytes at the context; `None` where no bytes are read.
    pub bound: Option<f64>,
    /// Channels over the exact budget; `None` where no sparsity was asked for.
    pub over: Option<i64>,
}

impl Tally {
    /// The figures of a plan at a context of `tokens` tokens.
    pub fn of(
        plan: &CachePlan,
        window: Window,
        sparsity: Option<f64>,
        tokens: usize,
        dtype: Dtype,
    ) -> Self {
        let (mask, counts) = (plan.mask(), plan.mask().kept_counts());
        let bytes = CacheSpec::planned(window, dtype, plan.clone())
            .map(|spec| spec.bytes_at(tokens))
            .unwrap_or_default();
        let (bytes, dense) = (
            bytes::KvBytes { k: bytes.k() as u64, v: bytes.v() as u64 },
            bytes::dense(plan.shape(), tokens, dtype.bytes()).total(),
        );
        let total = bytes.total();
        Self {
            kept: counts.iter().sum(),
            share: mask.kept_ratio(),
            dropped: counts.iter().filter(|&&count| count == 0).count(),
            bytes,
            saved: if dense == 0 { 0.0 } else { 1.0 - total as f64 / dense as f64 },
            bound: (total > 0).then(|| dense as f64 / total as f64),
            over: sparsity.map(|sparsity| alignment_cost(mask, sparsity)),
        }
    }
}

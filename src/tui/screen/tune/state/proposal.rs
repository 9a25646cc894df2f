//! From the settings to the plan, of which a mask is one corner.

use std::borrow::Cow;
use std::sync::Arc;

use crate::cache::{CacheSpec, Sight};
use crate::decode::worker::event::{MaskInfo, ModelInfo, Rules};
use crate::element::Dtype;
use crate::mask::select::{
    AllocationOptions, AllocationTarget, ByteBudget, Floor, Heads, Lock, LockTo, LockWidths,
    Options, Target, WidthLock, WidthPlace, allocate,
};
use crate::mask::{
    CachePlan, ChannelMask, Coding, Given, Importance, Needs, Rule, Sensitivity, Shape, Width,
    Window, alignment_cost, bytes, rules, select,
};
use crate::tui::screen::tune::state::draft::{ALL, Base, Draft, Goal};
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
    /// How far the layers look back.
    pub sight: Arc<Sight>,
    /// The mask that the session began with; full where it began dense.
    pub loaded: Arc<MaskInfo>,
    importance: Option<Importance>,
    /// What every width is predicted to cost; plans are chosen by it.
    pub sensitivity: Option<Arc<Sensitivity>>,
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
        let sensitivity = info.sensitivity.clone().filter(|known| known.shape() == shape);
        let (dtype, sight) = (info.kv_dtype, info.sight());
        Self { shape, dtype, sight, loaded, importance, sensitivity, of_prompt: Vec::new() }
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

    /// Whether a rule has what it needs.
    pub fn has(&self, rule: Rule) -> bool {
        match rule.needs {
            Needs::Nothing => true,
            Needs::File => self.importance.is_some(),
            Needs::Gradient => self.sensitivity.is_some(),
            Needs::Text => self.by_prompt(rule).is_some(),
        }
    }

    /// The importance that a rule gives for the prompt.
    fn by_prompt(&self, rule: Rule) -> Option<&Importance> {
        self.of_prompt.iter().find(|(other, _)| *other == rule).map(|(_, scores)| scores)
    }

    fn scores(&self, rule: Rule) -> Result<Cow<'_, Importance>> {
        if !self.has(rule) {
            let expected = match rule.needs {
                Needs::File => "a mask file with importance, found none",
                Needs::Gradient => NO_SENSITIVITY,
                Needs::Text | Needs::Nothing => "the figures of a prompt, found none yet",
            };
            return Err(Error::input(format!("rule {}: expected {expected}", rule.name)));
        }
        if let Some(scores) = self.by_prompt(rule) {
            return Ok(Cow::Borrowed(scores));
        }
        let given = Given {
            learned: self.importance.as_ref(),
            sensitivity: self.sensitivity.as_deref(),
            ..Given::nothing(self.shape, SEED)
        };
        rule.scores(given).map(Cow::Owned)
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

/// What is said where widths or channels shall be chosen by a sensitivity and there is none.
pub const NO_SENSITIVITY: &str = "a measured sensitivity, found none";

/// The plan that a draft gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The plan.
    pub plan: CachePlan,
    /// The plan without what is set by hand.
    pub selected: CachePlan,
    /// The importance that it was selected from, if any.
    pub importance: Option<Importance>,
}

impl Proposal {
    /// The plan of the session, as it is.
    pub fn verbatim(sources: &Sources) -> Self {
        let plan = sources.loaded.plan.clone();
        Self { selected: plan.clone(), plan, importance: sources.importance.clone() }
    }

    /// The K channels that it stores.
    pub fn mask(&self) -> &ChannelMask {
        self.plan.mask()
    }
}

/// The plan that `draft` gives.
///
/// # Errors
/// A rule without importance, a plan without sensitivity, and a budget that floors and locks alone
/// exceed.
pub fn propose(draft: &Draft, sources: &Sources) -> Result<Proposal> {
    let shape = sources.shape;
    let (selected, importance) = match &draft.base {
        Base::Verbatim(mask) => {
            let held =
                mask.importance.clone().and_then(|scores| Importance::new(shape, scores).ok());
            (mask.plan.clone(), held)
        }
        Base::Selection => match draft.goal {
            Goal::Bytes(share) => (allocated(draft, sources, share)?, None),
            Goal::Keep(_) | Goal::Fit { .. } => {
                let importance = sources.importance(draft)?;
                let mask = select::select(&importance, &options(draft, sources))?;
                (CachePlan::of_mask(&mask), Some(importance))
            }
        },
    };
    let selected = with_locks(&selected, draft)?;
    let plan = with_pins(&selected, draft)?;
    Ok(Proposal { plan, selected, importance })
}

/// The plan within a share of the bytes of a dense f16 cache's middle, in thousandths.
fn allocated(draft: &Draft, sources: &Sources, share: u16) -> Result<CachePlan> {
    let Some(sensitivity) = &sources.sensitivity else {
        return Err(Error::input(format!(
            "bytes: expected {NO_SENSITIVITY} (--sensitivity FILE gives one, `kscope score --rule sensitivity` writes it)"
        )));
    };
    let shape = sources.shape;
    let target = AllocationTarget::Share(f64::from(share) / f64::from(ALL));
    let locked = Arc::new(with_locks(&CachePlan::full(shape), draft)?);
    let locks = heads_of(draft, shape).map(|heads| WidthLock {
        place: WidthPlace::Heads(heads),
        to: LockWidths::Plan(Arc::clone(&locked)),
    });
    let options = AllocationOptions {
        chunk: draft.window.chunk,
        align: draft.align,
        pair_closed: draft.pairs,
        floors: floors(draft),
        locks: locks.collect(),
        ..AllocationOptions::new(target, shape.head_dim)
    };
    Ok(allocate(sensitivity, &options)?.plan)
}

fn options(draft: &Draft, sources: &Sources) -> Options {
    let shape = sources.shape;
    let target = match draft.goal {
        Goal::Fit { bytes, tokens } => Target::Bytes(ByteBudget {
            bytes,
            tokens,
            window: draft.window,
            element_size: sources.dtype.bytes(),
        }),
        Goal::Keep(_) | Goal::Bytes(_) => Target::Sparsity(draft.sparsity().unwrap_or_default()),
    };
    let full = ChannelMask::full(shape);
    let locked = ChannelMask::from_fn(shape, |layer, head, channel| {
        match draft.locks.get(&(layer * shape.kv_heads + head)) {
            Some(widths) => widths.k[channel] != Width::Zero,
            None => full.head(layer, head)[channel],
        }
    });
    let locked = Arc::new(locked);
    let locks =
        heads_of(draft, shape).map(|heads| Lock { heads, to: LockTo::Mask(Arc::clone(&locked)) });
    Options {
        target,
        align: draft.align,
        budget: draft.split,
        pair_closed: draft.pairs,
        floors: floors(draft),
        locks: locks.collect(),
    }
}

/// The floors of a draft, the general one first.
fn floors(draft: &Draft) -> Vec<Floor> {
    let all = (draft.floor > 0).then_some(Floor { heads: Heads::All, channels: draft.floor });
    let layers = draft
        .layer_floors
        .iter()
        .map(|(&layer, &channels)| Floor { heads: Heads::Layer(layer), channels });
    all.into_iter().chain(layers).collect()
}

/// The locked heads.
fn heads_of(draft: &Draft, shape: Shape) -> impl Iterator<Item = Heads> {
    draft.locks.keys().map(move |head| Heads::Head(head / shape.kv_heads, head % shape.kv_heads))
}

/// A plan whose locked heads have the widths that they were locked to.
fn with_locks(plan: &CachePlan, draft: &Draft) -> Result<CachePlan> {
    let head_dim = plan.shape().head_dim;
    let (mut k, mut v) = (plan.k_widths().to_vec(), plan.v_widths().to_vec());
    for (&head, widths) in &draft.locks {
        k[head * head_dim..][..head_dim].copy_from_slice(&widths.k);
        v[head] = widths.v;
    }
    rebuilt(plan, k, v)
}

/// A plan with the widths that are set by hand. A head that no longer stores K stores no V either,
/// and one that stores K again gets V of its widest channel.
fn with_pins(plan: &CachePlan, draft: &Draft) -> Result<CachePlan> {
    let head_dim = plan.shape().head_dim;
    let (mut k, mut v) = (plan.k_widths().to_vec(), plan.v_widths().to_vec());
    for (&head, pins) in &draft.pins {
        let own = &mut k[head * head_dim..][..head_dim];
        for (width, pin) in own.iter_mut().zip(pins.k.iter()) {
            *width = pin.unwrap_or(*width);
        }
        let widest = own.iter().copied().max().unwrap_or(Width::Zero);
        v[head] = match (widest, pins.v, v[head]) {
            (Width::Zero, _, _) => Width::Zero,
            (_, Some(pin), _) if pin != Width::Zero => pin,
            (widest, _, Width::Zero) => widest,
            (_, _, width) => width,
        };
    }
    rebuilt(plan, k, v)
}

/// The plan with other widths, coded per channel: blocks per token cannot hold widths of single
/// channels.
fn rebuilt(base: &CachePlan, k: Vec<Width>, v: Vec<Width>) -> Result<CachePlan> {
    if k == base.k_widths() && v == base.v_widths() {
        return Ok(base.clone());
    }
    let shape = base.shape();
    let coding = match base.coding() {
        Coding::Blocks { .. } => Coding::best(shape.head_dim),
        channels => channels,
    };
    let plan = CachePlan::new(shape, k, v, coding)?;
    Ok(if plan.is_mask() { CachePlan::of_mask(plan.mask()) } else { plan })
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
    /// [`bytes::attention_bound`] at the context.
    pub bound: Option<f64>,
    /// Channels over the exact budget; `None` where no sparsity was asked for.
    pub over: Option<i64>,
    /// Bytes of the middle for a dense f16 cache's 1.
    pub middle: f64,
}

impl Tally {
    /// The figures of a plan at a context of `tokens` tokens, in a model whose layers look back so
    /// far.
    pub fn of(
        (plan, sight): (&CachePlan, &Arc<Sight>),
        window: Window,
        sparsity: Option<f64>,
        tokens: usize,
        dtype: Dtype,
    ) -> Self {
        let (mask, counts) = (plan.mask(), plan.mask().kept_counts());
        let seen = |spec: CacheSpec| spec.with_sight(Arc::clone(sight));
        let spec = CacheSpec::planned(window, dtype, plan.clone()).map(seen);
        let dense = CacheSpec::dense(plan.shape(), window, dtype).map(seen);
        let [bytes, dense] = [&spec, &dense]
            .map(|spec| spec.as_ref().map(|spec| spec.bytes_at(tokens)).unwrap_or_default());
        let middle = match &spec {
            Ok(spec) => spec.bytes_share_at(tokens),
            Err(_) => plan.bytes_share(window.chunk),
        };
        let (bytes, dense) =
            (bytes::KvBytes { k: bytes.k() as u64, v: bytes.v() as u64 }, dense.total() as u64);
        let total = bytes.total();
        Self {
            kept: counts.iter().sum(),
            share: mask.kept_ratio(),
            dropped: counts.iter().filter(|&&count| count == 0).count(),
            bytes,
            saved: if dense == 0 { 0.0 } else { 1.0 - total as f64 / dense as f64 },
            bound: bytes::attention_bound(dense, total),
            over: sparsity.map(|sparsity| alignment_cost(mask, sparsity)),
            middle,
        }
    }
}

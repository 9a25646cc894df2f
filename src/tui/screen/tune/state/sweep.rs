//! Masks of many sizes, plans of many sizes and the plans that other programs offer, measured one
//! after the other next to the one in use.

use std::sync::Arc;

use crate::attention::cuda::check_codes;
use crate::decode::worker::Trial;
use crate::decode::worker::event::{MaskInfo, Measured};
use crate::mask::{CachePlan, Window};
use crate::tui::screen::tune::state::draft::{Base, Draft, Goal};
use crate::tui::screen::tune::state::proposal::{Sources, propose};

/// Kept thousandths of a sweep: sparsity 0 to 0.9.
const KEEPS: [u16; 10] = [1000, 900, 800, 700, 600, 500, 400, 300, 200, 100];
/// Alignments of a sweep.
const ALIGNS: [usize; 2] = [8, 32];

/// Bytes of the plans of a sweep, in thousandths of a dense f16 cache's middle.
const SHARES: [u16; 8] = [540, 410, 340, 280, 240, 200, 140, 100];
/// The named plans of a sweep.
pub const RIVALS: [&str; 7] = ["k8v8", "k8v4", "k4v8", "k4v4", "q8_0", "q4_0", "q4_0-hadamard"];

/// What a point of a sweep is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointKind {
    /// A mask of the rule, with kept counts in multiples of this.
    Mask(usize),
    /// A plan whose widths are chosen by sensitivity.
    Plan,
    /// A plan with this name, as other programs offer it.
    Rival(&'static str),
    /// What is set or saved.
    Own,
}

impl PointKind {
    /// The name in exports and at the cursor.
    pub fn name(self) -> String {
        match self {
            Self::Mask(_) => "point".to_owned(),
            Self::Plan => "plan".to_owned(),
            Self::Rival(name) => name.to_owned(),
            Self::Own => "own".to_owned(),
        }
    }
}

/// One mask or plan of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The number of its trial.
    pub id: u64,
    /// What it is.
    pub kind: PointKind,
    /// The settings that make it.
    pub draft: Draft,
    /// Its plan.
    pub plan: CachePlan,
    /// What was measured, once it was.
    pub measured: Option<Measured>,
}

/// The current sweep.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sweep {
    points: Vec<Point>,
    next_id: u64,
    /// The run that it is measured in.
    generation: u64,
}

impl Sweep {
    /// Begins a sweep around a draft: its rule, split, pairs, floors, locks and window at every
    /// size and alignment, then `others` unchanged, so that they are measured over the same tokens,
    /// then plans of several sizes and the named ones, on a GPU (`on_gpu`) those that it can store.
    /// What floors, locks or the model's sizes make impossible is skipped.
    pub fn begin(
        &mut self,
        draft: &Draft,
        others: Vec<Draft>,
        sources: &Sources,
        generation: u64,
        on_gpu: bool,
    ) -> Vec<Trial> {
        self.points.clear();
        self.generation = generation;
        let sized = |goal: Goal, align: usize| Draft {
            base: Base::Selection,
            goal,
            align,
            pins: Default::default(),
            ..draft.clone()
        };
        let mask =
            |align| KEEPS.map(|keep| (PointKind::Mask(align), sized(Goal::Keep(keep), align)));
        let plan = |share| (PointKind::Plan, sized(Goal::Bytes(share), draft.align));
        let rival = |name| {
            let plan = CachePlan::named(name, sources.shape).ok()?;
            let info = Arc::new(MaskInfo::named(name, plan));
            Some((PointKind::Rival(name), Draft::verbatim(info, draft.window)))
        };
        let masks = ALIGNS.into_iter().flat_map(mask);
        let others = others.into_iter().map(|draft| (PointKind::Own, draft));
        let plans = SHARES.map(plan).into_iter().chain(RIVALS.into_iter().filter_map(rival));
        for (kind, draft) in masks.chain(others).chain(plans) {
            let Ok(proposal) = propose(&draft, sources) else { continue };
            if on_gpu && check_codes(&proposal.plan, draft.window.chunk).is_err() {
                continue;
            }
            let id = self.take_id();
            self.points.push(Point { id, kind, draft, plan: proposal.plan, measured: None });
        }
        let trial = |point: &Point| Trial {
            id: point.id,
            plan: point.plan.clone(),
            window: point.draft.window,
        };
        self.points.iter().map(trial).collect()
    }

    /// About how many points a sweep has: what floors, locks or the model's sizes make impossible is
    /// known only once each was tried.
    pub fn length(sources: &Sources) -> usize {
        let plans = if sources.sensitivity.is_some() { SHARES.len() } else { 0 };
        // What is set and what is saved come with them.
        KEEPS.len() * ALIGNS.len() + 2 + plans + RIVALS.len()
    }

    /// The rule that its masks were selected by.
    pub fn rule(&self) -> String {
        let mask = self.points.iter().find(|point| matches!(point.kind, PointKind::Mask(_)));
        mask.map_or_else(String::new, |point| point.draft.rule_words())
    }

    /// A new trial number.
    pub fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The measurement of a plan, if it is one of the sweep.
    pub fn figures_of(&self, plan: &CachePlan, window: Window) -> Option<&Measured> {
        self.measured()
            .find(|(point, _)| point.plan == *plan && point.draft.window == window)
            .map(|(_, measured)| measured)
    }

    /// Whether a trial of it is that of a plan.
    pub fn is_of(&self, id: u64, plan: &CachePlan, window: Window) -> bool {
        let mut points = self.points.iter();
        points.any(|point| point.id == id && point.plan == *plan && point.draft.window == window)
    }

    /// Takes a measurement. Numbers of another sweep are unknown and ignored.
    pub fn take(&mut self, id: u64, measured: Measured) {
        if let Some(point) = self.points.iter_mut().find(|point| point.id == id) {
            point.measured = Some(measured);
        }
    }

    /// Cancels the trials that are not yet measured.
    pub fn stop(&mut self) {
        self.points.retain(|point| point.measured.is_some());
    }

    /// Whether there are trials left to measure.
    pub fn is_running(&self) -> bool {
        self.points.iter().any(|point| point.measured.is_none())
    }

    /// Number of measured points, and of all points.
    pub fn progress(&self) -> (usize, usize) {
        (self.measured().count(), self.points.len())
    }

    /// The points that are measured.
    pub fn measured(&self) -> impl Iterator<Item = (&Point, &Measured)> {
        self.points.iter().filter_map(|point| Some((point, point.measured.as_ref()?)))
    }

    /// Whether it belongs to another run than `generation`.
    pub fn is_stale(&self, generation: u64) -> bool {
        self.generation != generation
    }
}

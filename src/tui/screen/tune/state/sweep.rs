//! Masks of many sizes, measured one after the other next to the one in use.

use crate::decode::worker::Trial;
use crate::decode::worker::event::Measured;
use crate::mask::{CachePlan, Window};
use crate::tui::screen::tune::state::draft::{Base, Draft, Goal};
use crate::tui::screen::tune::state::proposal::{Sources, propose};

/// Kept thousandths of a sweep: sparsity 0 to 0.9.
const KEEPS: [u16; 10] = [1000, 900, 800, 700, 600, 500, 400, 300, 200, 100];
/// Alignments of a sweep.
const ALIGNS: [usize; 2] = [8, 32];

/// One mask of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The number of its trial.
    pub id: u64,
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
    /// size and alignment, then `others` unchanged, so that they are measured over the same tokens.
    /// Sizes that floors and locks make impossible are skipped.
    pub fn begin(
        &mut self,
        draft: &Draft,
        others: Vec<Draft>,
        sources: &Sources,
        generation: u64,
    ) -> Vec<Trial> {
        self.points.clear();
        self.generation = generation;
        let sized = |align: usize, keep: u16| {
            let goal = Goal::Keep(keep);
            Draft { base: Base::Selection, goal, align, pins: Default::default(), ..draft.clone() }
        };
        let all = ALIGNS.into_iter().flat_map(|align| KEEPS.map(|keep| sized(align, keep)));
        for draft in all.chain(others) {
            let Ok(proposal) = propose(&draft, sources) else { continue };
            let id = self.take_id();
            self.points.push(Point { id, draft, plan: proposal.plan, measured: None });
        }
        let trial = |point: &Point| Trial {
            id: point.id,
            plan: point.plan.clone(),
            window: point.draft.window,
        };
        self.points.iter().map(trial).collect()
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

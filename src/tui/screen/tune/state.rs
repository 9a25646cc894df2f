//! Retuning: the mask that is set, the one that the engine uses, the one that was saved, and the
//! measurements of each.

mod aim;
mod controls;
mod draft;
mod history;
mod plot;
mod proposal;
mod recipe;
mod sweep;

use std::sync::Arc;

use aim::{aimed, importance_of, reach_of};
use history::History;

use crate::Result;
use crate::decode::worker::event::{MaskInfo, Measured, Rules, Wish};
use crate::decode::worker::{Retune, Trial};
use crate::mask::{CachePlan, Overlap, Sensitivity, Window, compare};
use crate::tui::app::keys::KeyTable;
use crate::tui::app::model::ModelView;

pub use controls::{Around, Control, VERBATIM, lock, split_name};
pub use draft::{ALL, Base, Draft, Goal, HeadWidths, Pins, Set};
pub use history::STEPS;
pub use plot::{Plot, PlotPoint, Spot, front};
pub use proposal::{NO_SENSITIVITY, Proposal, Sources, Tally, propose};
pub use sweep::{Point, PointKind, RIVALS, Sweep};

/// The mask that would not be lost: as loaded, or as last saved.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedMask {
    /// The mask and its metadata.
    pub mask: Arc<MaskInfo>,
    /// Sink, recent and chunk.
    pub window: Window,
    /// The settings that made it.
    draft: Draft,
    /// Its measurement, and the number of the run it was made in.
    pub measured: Option<(u64, Measured)>,
}

/// The x axis of the plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// Bytes of the cache at the target context.
    Bytes,
    /// Time of a step over that of a dense step beside it.
    Time,
}

/// Whether a measurement is of the mask in use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Freshness<'a> {
    /// Nothing was measured yet.
    None,
    /// Of the mask in use, in the current run.
    Measured(&'a Measured),
    /// Of an earlier mask or run.
    Stale(&'a Measured),
}

/// Whether two masks were measured over the same tokens at the same place.
pub fn is_comparable(one: &Measured, other: &Measured) -> bool {
    one.over == other.over
        && one.dense_kv == other.dense_kv
        && one.divergence.steps == other.divergence.steps
}

/// State of the tune screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    sources: Sources,
    draft: Draft,
    history: History,
    proposal: Proposal,
    saved: SavedMask,
    /// Number of the last change that was sent.
    asked: u64,
    /// Number of the last change that was applied.
    applied: u64,
    /// Time that the engine needed for it, in milliseconds.
    pub applied_ms: Option<f64>,
    /// Why the last change was not applied.
    pub refused: Option<String>,
    /// The last measurement: number of the change, number of the run, figures.
    measured: Option<(u64, u64, Measured)>,
    /// Whether changes wait until they are applied.
    pub hold: bool,
    /// The selected row.
    pub control: Control,
    /// The x axis of the plot.
    pub against: Against,
    /// The trial under the cursor of the plot.
    pub cursor: Option<u64>,
    /// The current sweep.
    pub sweep: Sweep,
    /// The trial that measures the saved mask for comparison with the mask in use.
    saved_trial: Option<u64>,
    /// Share of the running measurement of sensitivity that is done.
    pub measuring: Option<f32>,
}

impl Tuning {
    /// The tuning of a freshly loaded model, without changes.
    pub fn new(model: &ModelView) -> Self {
        let sources = Sources::new(&model.info);
        let window = model.info.window;
        let draft = Draft::verbatim(Arc::clone(&sources.loaded), window);
        Self {
            proposal: Proposal::verbatim(&sources),
            saved: SavedMask {
                mask: Arc::clone(&sources.loaded),
                window,
                draft: draft.clone(),
                measured: None,
            },
            sources,
            draft,
            history: History::default(),
            asked: 0,
            applied: 0,
            applied_ms: None,
            refused: None,
            measured: None,
            hold: false,
            control: Control::Keep,
            against: Against::Bytes,
            cursor: None,
            sweep: Sweep::default(),
            saved_trial: None,
            measuring: None,
        }
    }

    /// Starts again from the mask of a file, as if the session had begun with it. Earlier settings
    /// are cleared.
    pub fn adopt(&mut self, mask: Arc<MaskInfo>, window: Window) {
        self.draft = Draft::verbatim(Arc::clone(&mask), window);
        self.saved = SavedMask {
            mask: Arc::clone(&mask),
            window,
            draft: self.draft.clone(),
            measured: None,
        };
        self.sources.take_mask(mask);
        self.proposal = Proposal::verbatim(&self.sources);
        self.history = History::default();
        self.sweep.stop();
        self.cursor = None;
    }

    /// The current settings.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// The mask that the settings give.
    pub fn proposal(&self) -> &Proposal {
        &self.proposal
    }

    /// What masks are made from.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The mask as loaded, or as last saved.
    pub fn saved(&self) -> &SavedMask {
        &self.saved
    }

    /// Number of steps that can be undone and redone.
    pub fn steps(&self) -> (usize, usize) {
        self.history.len()
    }

    /// Sets another draft. A draft equal to the current one leaves no entry in the history.
    ///
    /// # Errors
    /// Those of [`propose`]; the state is then unchanged.
    pub fn set(&mut self, draft: Draft) -> Result<bool> {
        if draft == self.draft {
            return Ok(false);
        }
        self.proposal = propose(&draft, &self.sources)?;
        self.history.push(std::mem::replace(&mut self.draft, draft));
        Ok(true)
    }

    /// Undoes the last change, or (`forward`) redoes it.
    ///
    /// # Errors
    /// Those of [`propose`], where the figures of a new prompt no longer allow the old settings;
    /// the state is then unchanged.
    pub fn travel(&mut self, forward: bool) -> Result<bool> {
        let Some(draft) = self.history.travel(&self.draft, forward) else { return Ok(false) };
        match propose(&draft, &self.sources) {
            Ok(proposal) => {
                (self.proposal, self.draft) = (proposal, draft);
                Ok(true)
            }
            Err(error) => {
                self.history.travel(&draft, !forward);
                Err(error)
            }
        }
    }

    /// The draft of the saved mask: its settings, or, where a new prompt changed what the settings
    /// give, the mask itself.
    pub fn draft_of_saved(&self) -> Draft {
        let again = propose(&self.saved.draft, &self.sources);
        match again {
            Ok(proposal) if proposal.plan == self.saved.mask.plan => self.saved.draft.clone(),
            _ => Draft {
                locks: Default::default(),
                ..Draft::verbatim(Arc::clone(&self.saved.mask), self.saved.window)
            },
        }
    }

    /// Takes a sensitivity; plans are chosen by it from now on.
    pub fn take_sensitivity(&mut self, sensitivity: Arc<Sensitivity>) {
        if sensitivity.shape() == self.sources.shape {
            self.take_sources(|sources| sources.sensitivity = Some(sensitivity));
        }
    }

    /// Takes the rules of a prompt. The proposal is computed again; nothing is sent.
    pub fn take_rules(&mut self, rules: &Rules) {
        self.take_sources(|sources| sources.take_rules(rules));
    }

    /// Changes what masks are made from, and computes the proposal again. What is saved stays what is
    /// set: where its settings now give another mask, it is set as it is.
    fn take_sources(&mut self, change: impl FnOnce(&mut Sources)) {
        let was_saved = !self.is_unsaved();
        change(&mut self.sources);
        let Ok(proposal) = propose(&self.draft, &self.sources) else { return };
        if was_saved && proposal.plan != self.saved.mask.plan {
            self.draft = self.draft_of_saved();
            self.proposal = propose(&self.draft, &self.sources).unwrap_or(proposal);
        } else {
            self.proposal = proposal;
        }
    }

    /// Whether the set mask is neither the loaded nor the saved one.
    pub fn is_unsaved(&self) -> bool {
        self.proposal.plan != self.saved.mask.plan || self.draft.window != self.saved.window
    }

    /// Whether the set mask is in use.
    pub fn is_applied(&self, model: &ModelView) -> bool {
        self.proposal.plan == *model.plan() && self.draft.window == model.info.window
    }

    /// Whether an answer of the engine is pending.
    pub fn is_waiting(&self) -> bool {
        self.asked > self.applied && self.refused.is_none()
    }

    /// The set mask as a change for the engine.
    pub fn order(&mut self) -> Retune {
        self.asked += 1;
        self.refused = None;
        Retune { revision: self.asked, mask: self.mask_info(), window: self.draft.window }
    }

    /// The set mask with its metadata.
    pub fn mask_info(&self) -> MaskInfo {
        let label = match &self.draft.base {
            _ if !self.is_unsaved() => self.saved.mask.label.clone(),
            Base::Verbatim(mask) if self.proposal.plan == mask.plan => mask.label.clone(),
            _ => "tuned".to_owned(),
        };
        let (rule, align) = match &self.draft.base {
            Base::Verbatim(mask) => (mask.rule.clone(), mask.align),
            Base::Selection => (self.draft.rule_words(), self.draft.align),
        };
        let importance =
            self.proposal.importance.as_ref().map(|importance| importance.scores().to_vec());
        MaskInfo {
            label,
            plan: self.proposal.plan.clone(),
            importance,
            rule,
            align,
            sparsity: self.draft.sparsity(),
        }
    }

    /// Begins a sweep of the current rule, in the run of this number.
    pub fn begin_sweep(&mut self, model: &ModelView, generation: u64) -> Vec<Trial> {
        let saved = Draft::verbatim(Arc::clone(&self.saved.mask), self.saved.window);
        let others = vec![self.draft.clone(), saved];
        self.sweep.begin(&self.draft, others, &self.sources, generation, model.is_on_gpu())
    }

    /// The saved mask as a trial, unless it was already measured over the same tokens as the mask
    /// in use. A running sweep comes first.
    pub fn compare_with_saved(&mut self, generation: u64) -> Option<Trial> {
        let Freshness::Measured(now) = self.figures(generation) else { return None };
        if self.sweep.is_running()
            || self.figures_of_saved(generation).is_some_and(|saved| is_comparable(now, saved))
        {
            return None;
        }
        let id = self.sweep.take_id();
        self.saved_trial = Some(id);
        Some(Trial { id, plan: self.saved.mask.plan.clone(), window: self.saved.window })
    }

    /// Takes the figures of a trial. Those of the plan in use are the newest that there are of it, so
    /// that the table and the plot have one figure for it.
    pub fn take_trial(&mut self, id: u64, generation: u64, measured: Measured, model: &ModelView) {
        if self.saved_trial == Some(id) {
            self.saved_trial = None;
            self.saved.measured = Some((generation, measured));
        } else {
            if self.sweep.is_of(id, model.plan(), model.info.window) {
                self.measured = Some((self.applied, generation, measured.clone()));
            }
            self.sweep.take(id, measured);
        }
    }

    /// Figures of the saved mask in the run of this number, preferably over the same tokens as
    /// those of the mask in use.
    pub fn figures_of_saved(&self, generation: u64) -> Option<&Measured> {
        let own = self
            .saved
            .measured
            .as_ref()
            .filter(|(of, _)| *of == generation)
            .map(|(_, measured)| measured);
        let swept = self
            .sweep
            .figures_of(&self.saved.mask.plan, self.saved.window)
            .filter(|_| !self.sweep.is_stale(generation));
        let now = self.measured.as_ref().map(|(_, _, measured)| measured);
        let fits = |figures: &&Measured| now.is_some_and(|now| is_comparable(now, figures));
        own.filter(fits).or(swept.filter(fits)).or(own).or(swept)
    }

    /// The engine applied a change.
    pub fn applied(&mut self, revision: u64, ms: f64) {
        self.applied = revision;
        // A change that one run could not take is kept for the next run: it is first refused and
        // later applied.
        self.refused = None;
        self.asked = self.asked.max(revision);
        self.applied_ms = Some(ms);
    }

    /// Follows the mask of a recording, where nothing can be set.
    pub fn follow(&mut self, mask: MaskInfo, window: Window) {
        let draft = Draft::verbatim(Arc::new(mask), window);
        if let Ok(proposal) = propose(&draft, &self.sources) {
            (self.draft, self.proposal) = (draft, proposal);
        }
    }

    /// The engine refused something.
    pub fn was_refused(&mut self, wish: Wish, sentence: &str) {
        match wish {
            Wish::Retune(revision) if revision == self.asked && self.is_waiting() => {
                self.refused = Some(sentence.to_owned())
            }
            Wish::Sweep => self.sweep.stop(),
            _ => {}
        }
    }

    /// Takes figures of the mask in use; those of another change are stale.
    pub fn take_measured(
        &mut self,
        revision: u64,
        generation: u64,
        measured: Measured,
        model: &ModelView,
    ) {
        if revision != self.applied {
            return;
        }
        if *model.plan() == self.saved.mask.plan && model.info.window == self.saved.window {
            self.saved.measured = Some((generation, measured.clone()));
        }
        self.measured = Some((revision, generation, measured));
    }

    /// The last figures, and whether they are of the mask in use in the run of this number.
    pub fn figures(&self, generation: u64) -> Freshness<'_> {
        match &self.measured {
            None => Freshness::None,
            Some((revision, of, measured)) if (*revision, *of) == (self.applied, generation) => {
                Freshness::Measured(measured)
            }
            Some((_, _, measured)) => Freshness::Stale(measured),
        }
    }

    /// The mask was written to a file.
    pub fn was_saved(
        &mut self,
        mask: MaskInfo,
        window: Window,
        draft: Draft,
        generation: u64,
        model: &ModelView,
    ) {
        let figures = match self.figures(generation) {
            Freshness::Measured(measured)
                if *model.plan() == mask.plan && model.info.window == window =>
            {
                Some((generation, measured.clone()))
            }
            _ => None,
        };
        self.saved = SavedMask { mask: Arc::new(mask), window, draft, measured: figures };
        self.saved_trial = None;
    }

    /// Channels that only the set mask keeps, and those that only the saved mask keeps.
    pub fn overlap(&self) -> Option<Overlap> {
        Some(compare(self.proposal.mask(), self.saved.mask.mask()).ok()?.whole)
    }

    /// Figures of the set mask at a context.
    pub fn proposed_tally(&self, tokens: usize) -> Tally {
        let aimed = aimed(&self.draft, self.proposal.importance.as_ref(), self.proposal.mask());
        self.tally(&self.proposal.plan, self.draft.window, aimed, tokens)
    }

    /// Figures of the saved mask at a context, by the same aim as those of the set one.
    pub fn saved_tally(&self, tokens: usize) -> Tally {
        let SavedMask { mask, window, draft, .. } = &self.saved;
        let importance = importance_of(mask);
        let aimed = aimed(draft, importance.as_ref(), mask.mask()).or(mask.sparsity);
        self.tally(&mask.plan, *window, aimed, tokens)
    }

    /// The share of channels with importance above 0, where the settings ask for more than that and
    /// the selection never keeps the others.
    pub fn reach(&self) -> Option<f64> {
        reach_of(&self.draft, self.proposal.importance.as_ref())
    }

    /// Figures of any plan at a context.
    pub fn tally(
        &self,
        plan: &CachePlan,
        window: Window,
        sparsity: Option<f64>,
        tokens: usize,
    ) -> Tally {
        Tally::of((plan, &self.sources.sight), window, sparsity, tokens, self.sources.dtype)
    }

    /// The context that a step depends on.
    pub fn around<'a>(
        &'a self,
        verbatim: &'a Base,
        model: &ModelView,
        keys: &'a KeyTable,
        layer: usize,
        context: usize,
    ) -> Around<'a> {
        Around {
            keys,
            sources: &self.sources,
            verbatim,
            plan: &self.proposal.plan,
            proposed: self.proposed_tally(context),
            reach: self.reach(),
            layer,
            context,
            longest: model.info.max_context as i64,
            hold: self.hold,
            measuring: self.measuring,
        }
    }
}

//! Retuning: what is set, what the engine has applied, what was saved, and what was measured of
//! each.

mod controls;
mod draft;
mod history;
mod plot;
mod proposal;
mod recipe;
mod sweep;

use std::sync::Arc;

use history::History;

use crate::Result;
use crate::decode::worker::event::{MaskInfo, Measured, Rules, Wish};
use crate::decode::worker::{Retune, Trial};
use crate::mask::{ChannelMask, Overlap, Window, compare};
use crate::tui::app::model::ModelView;

pub use controls::{Around, Control, lock, split_name};
pub use draft::{ALL, Base, Draft, Goal, Set};
pub use history::STEPS;
pub use plot::{Plot, PlotPoint, Spot};
pub use proposal::{Proposal, Sources, Tally, propose};
pub use sweep::{Point, Sweep};

/// The mask that is safe: as loaded, or as saved last.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedMask {
    /// The mask and what is known of it.
    pub mask: Arc<MaskInfo>,
    /// Sink, recent and chunk.
    pub window: Window,
    /// The settings that made it.
    draft: Draft,
    /// What was measured of it, in the run of this number.
    pub measured: Option<(u64, Measured)>,
}

/// What is compared along the other axis of the plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// Bytes of the cache at the target context.
    Bytes,
    /// Time per output token.
    Time,
}

/// Whether what was measured is of the mask at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Freshness<'a> {
    /// Nothing was measured yet.
    None,
    /// Of the mask at work, in the run at hand.
    Measured(&'a Measured),
    /// Of a mask or a run before.
    Stale(&'a Measured),
}

/// Whether two masks were measured over the same tokens of one run: the dense cache was as long
/// after the last one.
pub fn is_comparable(one: &Measured, other: &Measured) -> bool {
    one.dense_kv == other.dense_kv && one.divergence.steps == other.divergence.steps
}

/// Everything about retuning.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    sources: Sources,
    draft: Draft,
    history: History,
    proposal: Proposal,
    saved: SavedMask,
    /// Number of the last change that was sent.
    asked: u64,
    /// Number of the change that is at work.
    applied: u64,
    /// Time that the engine took for it, in milliseconds.
    pub applied_ms: Option<f64>,
    /// Why the last change was not applied.
    pub refused: Option<String>,
    /// Of which change and in which run the last figures are, and these.
    measured: Option<(u64, u64, Measured)>,
    /// Whether changes wait for Enter.
    pub hold: bool,
    /// The selected row.
    pub control: Control,
    /// The other axis of the plot.
    pub against: Against,
    /// The trial under the cursor of the plot.
    pub cursor: Option<u64>,
    /// The sweep at hand.
    pub sweep: Sweep,
    /// The trial of the saved mask that was asked for beside a measurement of the mask at work.
    saved_trial: Option<u64>,
    /// Whether leaving without saving was asked about.
    pub quit_asked: bool,
}

impl Tuning {
    /// The tuning of a model as it was loaded: nothing is changed yet.
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
            quit_asked: false,
        }
    }

    /// Begins anew from a mask that is in a file, as a session does that was given it: what was set
    /// before is forgotten.
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

    /// What is set.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// The mask that is set.
    pub fn proposal(&self) -> &Proposal {
        &self.proposal
    }

    /// What masks are made from.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The mask that is safe.
    pub fn saved(&self) -> &SavedMask {
        &self.saved
    }

    /// Steps that can be taken back and that were.
    pub fn steps(&self) -> (usize, usize) {
        self.history.len()
    }

    /// Sets another draft; one that changes nothing leaves no trace in the history.
    ///
    /// # Errors
    /// Those of [`propose`]; everything stays as it was.
    pub fn set(&mut self, draft: Draft) -> Result<bool> {
        if draft == self.draft {
            return Ok(false);
        }
        self.proposal = propose(&draft, &self.sources)?;
        self.history.push(std::mem::replace(&mut self.draft, draft));
        Ok(true)
    }

    /// Takes the last change back, or (`forward`) makes it again.
    ///
    /// # Errors
    /// Those of [`propose`], where a new prompt's figures no longer allow what was set; everything
    /// stays as it was.
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

    /// The draft of the saved mask: its settings, or, where a new prompt made them mean something
    /// else, the mask itself.
    pub fn draft_of_saved(&self) -> Draft {
        let again = propose(&self.saved.draft, &self.sources);
        match again {
            Ok(proposal) if proposal.mask == self.saved.mask.mask => self.saved.draft.clone(),
            _ => Draft {
                locks: Default::default(),
                ..Draft::verbatim(Arc::clone(&self.saved.mask), self.saved.window)
            },
        }
    }

    /// Takes the rules of a prompt. What is set is worked out anew; nothing is sent by itself.
    pub fn take_rules(&mut self, rules: &Rules) {
        self.sources.take_rules(rules);
        if let Ok(proposal) = propose(&self.draft, &self.sources) {
            self.proposal = proposal;
        }
    }

    /// Whether what is set is neither loaded nor saved.
    pub fn is_unsaved(&self) -> bool {
        self.proposal.mask != self.saved.mask.mask || self.draft.window != self.saved.window
    }

    /// Whether what is set is at work.
    pub fn is_applied(&self, model: &ModelView) -> bool {
        self.proposal.mask == model.mask && self.draft.window == model.info.window
    }

    /// Whether an answer is due.
    pub fn is_waiting(&self) -> bool {
        self.asked > self.applied && self.refused.is_none()
    }

    /// What is set, as a change for the engine.
    pub fn order(&mut self) -> Retune {
        self.asked += 1;
        self.refused = None;
        Retune { revision: self.asked, mask: self.mask_info(), window: self.draft.window }
    }

    /// What is set, as a mask with what is known of it.
    pub fn mask_info(&self) -> MaskInfo {
        let label = match &self.draft.base {
            _ if !self.is_unsaved() => self.saved.mask.label.clone(),
            Base::Verbatim(mask) if self.proposal.mask == mask.mask => mask.label.clone(),
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
            mask: self.proposal.mask.clone(),
            importance,
            rule,
            align,
            sparsity: self.draft.sparsity(),
        }
    }

    /// Begins a sweep of the rule at hand, in the run of this number.
    pub fn begin_sweep(&mut self, generation: u64) -> Vec<Trial> {
        let saved = Draft::verbatim(Arc::clone(&self.saved.mask), self.saved.window);
        self.sweep.begin(&self.draft, vec![self.draft.clone(), saved], &self.sources, generation)
    }

    /// The saved mask as a trial, where it was not measured over the same tokens as the mask at
    /// work; a sweep at hand comes first.
    pub fn compare_with_saved(&mut self, generation: u64) -> Option<Trial> {
        let Freshness::Measured(now) = self.figures(generation) else { return None };
        if self.sweep.is_running()
            || self.figures_of_saved(generation).is_some_and(|saved| is_comparable(now, saved))
        {
            return None;
        }
        let id = self.sweep.take_id();
        self.saved_trial = Some(id);
        Some(Trial { id, mask: self.saved.mask.mask.clone(), window: self.saved.window })
    }

    /// Takes figures of a trial.
    pub fn take_trial(&mut self, id: u64, generation: u64, measured: Measured) {
        if self.saved_trial == Some(id) {
            self.saved_trial = None;
            self.saved.measured = Some((generation, measured));
        } else {
            self.sweep.take(id, measured);
        }
    }

    /// Figures of the saved mask in the run of this number: over the same tokens as those of the
    /// mask at work, where there are such.
    pub fn figures_of_saved(&self, generation: u64) -> Option<&Measured> {
        let own = self
            .saved
            .measured
            .as_ref()
            .filter(|(of, _)| *of == generation)
            .map(|(_, measured)| measured);
        let swept = self
            .sweep
            .figures_of(&self.saved.mask.mask, self.saved.window)
            .filter(|_| !self.sweep.is_stale(generation));
        let now = self.measured.as_ref().map(|(_, _, measured)| measured);
        let fits = |figures: &&Measured| now.is_some_and(|now| is_comparable(now, figures));
        own.filter(fits).or(swept.filter(fits)).or(own).or(swept)
    }

    /// The engine applied a change.
    pub fn applied(&mut self, revision: u64, ms: f64) {
        self.applied = revision;
        // A change that a run could not take is the next one's: it is refused first and applied
        // later.
        self.refused = None;
        self.asked = self.asked.max(revision);
        self.applied_ms = Some(ms);
    }

    /// What is set follows the mask of a recording, which nobody sets here.
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

    /// Takes figures of the mask at work; those of another change are stale.
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
        if model.mask == self.saved.mask.mask && model.info.window == self.saved.window {
            self.saved.measured = Some((generation, measured.clone()));
        }
        self.measured = Some((revision, generation, measured));
    }

    /// The last figures, and whether they are of the mask at work in the run of this number.
    pub fn figures(&self, generation: u64) -> Freshness<'_> {
        match &self.measured {
            None => Freshness::None,
            Some((revision, of, measured)) if (*revision, *of) == (self.applied, generation) => {
                Freshness::Measured(measured)
            }
            Some((_, _, measured)) => Freshness::Stale(measured),
        }
    }

    /// The mask was written to a file: it is safe now.
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
                if model.mask == mask.mask && model.info.window == window =>
            {
                Some((generation, measured.clone()))
            }
            _ => None,
        };
        self.saved = SavedMask { mask: Arc::new(mask), window, draft, measured: figures };
        self.saved_trial = None;
    }

    /// Channels kept by what is set alone, and by the saved mask alone.
    pub fn overlap(&self) -> Option<Overlap> {
        Some(compare(&self.proposal.mask, &self.saved.mask.mask).ok()?.whole)
    }

    /// Figures of what is set at a context.
    pub fn proposed_tally(&self, tokens: usize) -> Tally {
        self.tally(&self.proposal.mask, self.draft.window, self.draft.sparsity(), tokens)
    }

    /// Figures of any mask at a context.
    pub fn tally(
        &self,
        mask: &ChannelMask,
        window: Window,
        sparsity: Option<f64>,
        tokens: usize,
    ) -> Tally {
        Tally::of(mask, window, sparsity, tokens, self.sources.element_size)
    }

    /// What the meaning of a step depends on.
    pub fn around<'a>(
        &'a self,
        verbatim: &'a Base,
        model: &ModelView,
        layer: usize,
        context: usize,
    ) -> Around<'a> {
        Around {
            sources: &self.sources,
            verbatim,
            mask: &self.proposal.mask,
            proposed: self.proposed_tally(context),
            layer,
            context,
            longest: model.info.max_context as i64,
            hold: self.hold,
        }
    }
}

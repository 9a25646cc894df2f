//! Masks and models that are opened while the program runs.

use super::{EventSource, Runner};
use crate::Result;
use crate::decode::worker::Envelope;
use crate::tui::app::action::{Action, PlanUse};
use crate::tui::app::folders;
use crate::tui::app::opening::{Loaded, LoadingModel, PlanRefusal};
use crate::tui::app::path_prompt::PathFor;
use crate::tui::app::state::RecentFiles;

impl Runner<'_> {
    /// Reads a mask or plan for the model at work.
    pub(super) fn read_plan(&mut self, typed: &str, to: PlanUse) -> Result<()> {
        let name = folders::expanded(typed).to_string_lossy().into_owned();
        let model = self.model("open a mask for").map_err(PlanRefusal::from);
        let EventSource::Engine(.., openers) = &self.source else { return Ok(()) };
        let action = match model.and_then(|model| (openers.plan)(&name, model.config())) {
            Ok((info, window)) => {
                if name.contains(['/', '.']) {
                    self.remember(|recent| &mut recent.plans, PathFor::Open, typed);
                }
                Action::PlanRead { info: Box::new(info), window, to }
            }
            Err(refusal) => Action::Tell { sentence: refusal.told(self.state), failed: true },
        };
        self.act(action)
    }

    /// Begins to load another model; one that is being loaded is given up.
    pub(super) fn load_model(&mut self, typed: String) {
        self.loading = None;
        let EventSource::Engine(.., openers) = &self.source else { return };
        let name = folders::expanded(&typed).to_string_lossy().into_owned();
        let begun = (openers.model)(&name).and_then(|new| LoadingModel::begin(typed.clone(), new));
        let action = match begun {
            Ok(loading) => {
                self.loading = Some(loading);
                Action::ModelLoading(typed, 0.0)
            }
            Err(error) => Action::ModelRefused(error.to_string()),
        };
        self.tell(action);
    }

    /// Takes an event of a model that is being loaded; once it is there, it takes the place of the
    /// one at work.
    pub(super) fn loading_event(&mut self, envelope: Option<Envelope>) -> Result<()> {
        let Some(loading) = &self.loading else { return Ok(()) };
        match loading.take(envelope) {
            Loaded::Going(action) => self.act(action),
            Loaded::Failed(action) => {
                self.loading = None;
                self.act(action)
            }
            Loaded::There(action, first) => {
                let new = self.loading.take();
                if let (Some(new), EventSource::Engine(engine, events, model, _)) =
                    (new, &mut self.source)
                {
                    (*engine, *events, *model) = (new.engine, new.events, new.model);
                    self.engine_open = true;
                    self.remember(|recent| &mut recent.models, PathFor::Model, &new.typed);
                }
                self.sensing = None;
                self.act(action)?;
                self.engine_event(*first)
            }
        }
    }

    /// Puts a file or model first among the recent ones of its kind.
    pub(super) fn remember(
        &mut self,
        kind: impl Fn(&mut RecentFiles) -> &mut Vec<String>,
        purpose: PathFor,
        typed: &str,
    ) {
        let mut recent = self.state.recent.clone();
        RecentFiles::add(kind(&mut recent), folders::lasting(purpose, typed));
        if let Err(error) = folders::remember(&recent) {
            tracing::warn!("{error}");
        }
        self.tell(Action::Recalled(recent));
    }
}

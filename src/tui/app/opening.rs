//! Opening while the program runs: how masks and models are read, which the command line knows, and
//! a model that is loaded beside the one at work.

use tokio::sync::mpsc::Receiver;

use crate::decode::worker::event::MaskInfo;
use crate::decode::worker::{Engine, Envelope, Event, Loader, Prompt};
use crate::mask::Window;
use crate::model::config::Config;
use crate::tui::app::action::{Action, Command};
use crate::tui::app::runner::SharedModel;
use crate::tui::app::state::State;
use crate::tui::app::story::Quiz;
use crate::{Error, Result};

/// How masks and models are read.
pub struct Openers {
    /// Reads a mask or plan by name or path and checks it against a model.
    pub plan: PlanOpener,
    /// Finds a model by name or path; its weights are not read yet.
    pub model: ModelOpener,
}

/// Reads a mask or plan for a model.
pub type PlanOpener = Box<dyn Fn(&str, &Config) -> Result<(MaskInfo, Window), PlanRefusal>>;
/// Finds a model.
pub type ModelOpener = Box<dyn Fn(&str) -> Result<NewModel>>;

/// Why a mask or plan is not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRefusal {
    /// The sentence.
    pub sentence: String,
    /// Whether it is a mask or plan, but one for another model.
    pub is_of_another: bool,
}

impl From<Error> for PlanRefusal {
    fn from(error: Error) -> Self {
        Self { sentence: error.to_string(), is_of_another: false }
    }
}

impl PlanRefusal {
    /// The sentence, with the way on where there is one.
    pub fn told(self, state: &State) -> String {
        match self.is_of_another {
            true => {
                let key = state.key(Command::ChangeModel);
                format!("{}; {key} loads another model", self.sentence)
            }
            false => self.sentence,
        }
    }
}

/// A model that was found.
pub struct NewModel {
    /// What loads it, with the settings of the session.
    pub loader: Loader,
    /// The model, once it is loaded.
    pub model: SharedModel,
    /// The prompt to begin with where there is none yet.
    pub prompt: Prompt,
    /// What that prompt asks, where it is known.
    pub quiz: Option<Quiz>,
}

/// A model that is being loaded beside the one at work. Dropping it stops the loading.
pub struct LoadingModel {
    /// As it was typed.
    pub typed: String,
    /// Its engine, which loads it.
    pub engine: Engine,
    /// The engine's events.
    pub events: Receiver<Envelope>,
    /// The model, once it is loaded.
    pub model: SharedModel,
    prompt: Prompt,
    quiz: Option<Quiz>,
}

/// What came of a round of events.
pub enum Loaded {
    /// Not there yet.
    Going(Action),
    /// It failed.
    Failed(Action),
    /// It is there; its first event follows the action.
    There(Action, Box<Envelope>),
}

impl LoadingModel {
    /// Begins to load.
    pub fn begin(typed: String, new: NewModel) -> Result<Self> {
        let NewModel { loader, model, prompt, quiz } = new;
        let (engine, events) = Engine::spawn(loader)?;
        Ok(Self { typed, engine, events, model, prompt, quiz })
    }

    /// What an event of its engine means; `None` is the end of the engine.
    pub fn take(&self, envelope: Option<Envelope>) -> Loaded {
        let refused = |why: &str| {
            let sentence = format!("{} is not loaded, the model at work stays: {why}", self.typed);
            Loaded::Failed(Action::ModelRefused(sentence))
        };
        let Some(envelope) = envelope else { return refused("its engine has ended") };
        match &envelope.event {
            Event::Loading(share) => {
                Loaded::Going(Action::ModelLoading(self.typed.clone(), *share))
            }
            Event::Failed { sentence, .. } => refused(sentence),
            Event::Panicked(message) => refused(&format!("its engine ran into a bug: {message}")),
            _ => {
                let (prompt, quiz) = (self.prompt.clone(), self.quiz.clone());
                let action = Action::ModelChanged { name: self.typed.clone(), prompt, quiz };
                Loaded::There(action, Box::new(envelope))
            }
        }
    }
}

/// The next event of a model that is being loaded; without one it waits forever.
pub async fn next_of_loading(loading: &mut Option<LoadingModel>) -> Option<Envelope> {
    match loading {
        Some(loading) => loading.events.recv().await,
        None => std::future::pending().await,
    }
}

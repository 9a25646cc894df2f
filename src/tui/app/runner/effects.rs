//! What `update` asks for, done.

use ratatui::crossterm::clipboard::CopyToClipboard;
use ratatui::crossterm::execute;

use super::{EventSource, Exit, Runner};
use crate::decode::worker::{Prompt, prompt_tokens};
use crate::learn::worker::{Notice, Told};
use crate::tui::app::action::{Action, Effect};
use crate::tui::app::folders;
use crate::tui::app::folders::expanded_path;
use crate::tui::app::path_prompt::PathFor;
use crate::tui::app::state::Dirty;
use crate::tui::app::writing::{save, write};
use crate::tui::app::{splits, state_folder, themes};
use crate::{Error, Result};

impl Runner<'_> {
    pub(super) fn perform(&mut self, effects: Vec<Effect>) -> Result<()> {
        for effect in effects {
            match effect {
                Effect::Engine(command) => {
                    self.await_answer();
                    if let EventSource::Engine(engine, ..) = &self.source
                        && let Err(error) = engine.send(command)
                    {
                        self.tell(Action::Tell { sentence: error.to_string(), failed: true });
                    }
                }
                Effect::Learn(order) => self.learn(*order, false),
                Effect::LearnOver(order) => self.learn(*order, true),
                Effect::LeaveLearning(generation, sentence) => {
                    let told = Told::NotStarted(sentence);
                    let notice = Notice { generation, dropped: 0, told };
                    self.tell(Action::Learning(Box::new(notice)));
                }
                Effect::EstimateLearning(asked) => self.estimate(&asked.0, &asked.1),
                Effect::Bell => self.guard.ring()?,
                Effect::CancelLearning => {
                    if let Some((learner, _)) = &self.learning {
                        learner.cancel();
                    }
                }
                Effect::Sense(text) => self.sense(text),
                Effect::CancelSensing => self.sensing = None,
                Effect::Evaluate(order) => self.evaluate(*order),
                Effect::CancelEvaluation => {
                    if let Some((evaluator, _)) = &self.evaluating {
                        evaluator.cancel();
                    }
                }
                Effect::Quit { summary } => self.exit = Some(Exit::Quit(summary)),
                Effect::Fail(error) => self.exit = Some(Exit::Failed(error)),
                Effect::Suspend => {
                    #[cfg(unix)]
                    self.guard.suspend()?;
                    self.state.dirty = Dirty::Now;
                }
                Effect::Redraw => {
                    self.guard.clear()?;
                    self.state.dirty = Dirty::Now;
                }
                Effect::CountPrompt(prompt) => {
                    let Prompt::Text { text, .. } = &prompt else { continue };
                    let text = text.clone();
                    let tokens =
                        self.model("count for").and_then(|model| prompt_tokens(&model, prompt));
                    let tokens = tokens.map_err(|error| error.to_string());
                    self.tell(Action::Counted { text, tokens });
                }
                Effect::Theme(name) => {
                    let palette = themes::load(themes::folder().as_deref(), &name);
                    self.tell(Action::Themed(palette.map_err(|error| error.to_string())));
                }
                Effect::Remember(layout) => {
                    if let Err(error) = state_folder::write(splits::FILE, layout.as_bytes()) {
                        tracing::warn!("the layout is not remembered: {error}");
                    }
                }
                Effect::Copy(text) => {
                    let copied =
                        execute!(std::io::stdout(), CopyToClipboard::to_clipboard_from(text));
                    copied.map_err(|cause| Error::run(format!("the terminal: {cause}")))?;
                }
                Effect::Write { path, bytes, taken } => {
                    let (action, written) = write(expanded_path(&path), bytes, taken);
                    self.tell(action);
                    if let Some(path) = written {
                        self.tell(Action::Linked(path));
                    }
                }
                Effect::Save(saving) => {
                    let action = save(*saving);
                    let saved = match &action {
                        Action::Saved(saving) => Some(saving.path.clone()),
                        _ => None,
                    };
                    if let Some(path) = &saved {
                        let typed = path.to_string_lossy();
                        self.remember(|recent| &mut recent.plans, PathFor::Save, &typed);
                    }
                    self.tell(action);
                    if let Some(path) = saved {
                        self.tell(Action::Linked(path));
                    }
                }
                Effect::ListFolder(folder) => {
                    let listing = folders::list(&folder);
                    self.tell(Action::Listed(folder, listing));
                }
                Effect::LookFor(purpose, typed) => {
                    let trouble = folders::trouble(purpose, &typed);
                    self.tell(Action::LookedFor { purpose, typed, trouble });
                }
                Effect::ReadPlan(typed, to) => self.read_plan(&typed, to)?,
                Effect::LoadModel(typed) => self.load_model(typed),
                Effect::CancelModel => {
                    if let Some(loading) = self.loading.take() {
                        let sentence = format!("loading {} was stopped", loading.typed);
                        self.tell(Action::ModelRefused(sentence));
                    }
                }
                Effect::Replay(how) => self.steer(how)?,
            }
        }
        Ok(())
    }
}

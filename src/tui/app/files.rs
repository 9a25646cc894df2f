//! Files and models that are opened while the program runs, and what came of it.

use crate::decode::worker::Prompt;
use crate::decode::worker::event::MaskInfo;
use crate::mask::{CachePlan, Window};
use crate::numbers::counted;
use crate::tui::app::action::{Command, Effect, PlanUse};
use crate::tui::app::path_prompt::PathFor;
use crate::tui::app::place::Place;
use crate::tui::app::run::{Phase, RunView};
use crate::tui::app::state::{Holds, OtherMask, Overlay, State};
use crate::tui::app::steer;
use crate::tui::export::take;
use crate::tui::screen::eval::state::Evaluation;
use crate::tui::screen::learn::state::Learning;
use crate::tui::screen::tune::edit;
use crate::tui::screen::{Screen, eval, learn};

/// What is done with a path that was typed.
pub fn take_path(state: &mut State, purpose: PathFor, typed: String) -> Vec<Effect> {
    match purpose {
        PathFor::Open => open(state, typed),
        PathFor::Diff => with_engine(state, vec![Effect::ReadPlan(typed, PlanUse::Diff)]),
        PathFor::Save => edit::save(state, typed.into(), false),
        PathFor::Model => change_model(state, typed),
        PathFor::Export(format) => take::write(state, format, Some(typed.into()), false),
        // Nobody waits for the start of a run to hear of a path that is not there.
        PathFor::Learn(_) | PathFor::Eval(_) => vec![Effect::LookFor(purpose, typed)],
    }
}

/// The paths of a form's field were looked for: what is there is taken, what is not is typed again.
pub fn looked_for(state: &mut State, purpose: PathFor, typed: &str, trouble: Option<String>) {
    if let Some(sentence) = trouble {
        let is_typed_again = state.overlay.is_none();
        if is_typed_again {
            state.type_path(purpose, typed);
        }
        state.tell(sentence, true);
        if let Some(toast) = state.toast.as_mut().filter(|_| is_typed_again) {
            toast.holds = Holds::PathTyped;
        }
        return;
    }
    match purpose {
        PathFor::Learn(field) => learn::update::set(state, field, typed),
        PathFor::Eval(field) => eval::update::set(state, field, typed),
        _ => {}
    }
}

/// The effects, unless a recording is shown or there is no model yet.
fn with_engine(state: &mut State, effects: Vec<Effect>) -> Vec<Effect> {
    if state.replay {
        state.tell(steer::no_model("open anything for"), false);
        return Vec::new();
    }
    if state.model.is_none() {
        state.tell("the model is not there yet", false);
        return Vec::new();
    }
    effects
}

fn is_unsaved(state: &State) -> bool {
    state.screens.tune.as_ref().is_some_and(|tuning| tuning.is_unsaved())
}

fn open(state: &mut State, typed: String) -> Vec<Effect> {
    let question = format!("What is set is not saved, and opening {typed} replaces it. Open it?");
    let effects = with_engine(state, vec![Effect::ReadPlan(typed, PlanUse::AtWork)]);
    if effects.is_empty() || !is_unsaved(state) {
        return effects;
    }
    state.ask_first(question, effects);
    Vec::new()
}

/// A mask or plan was read and fits the model.
pub fn opened(state: &mut State, info: MaskInfo, window: Window, to: PlanUse) -> Vec<Effect> {
    match to {
        PlanUse::AtWork => {
            state.tell(format!("{} is at work from the next token on", info.label), false);
            edit::adopt(state, info, window)
        }
        PlanUse::Diff => {
            let at_work = state.model.as_ref().map(|model| model.plan());
            let differing = at_work.map_or(0, |plan| differing(plan, &info.plan));
            let mask = state.key_on(Screen::Map, Command::Diff);
            let sentence = match differing {
                0 => format!(
                    "{} differs from what is at work in no channel: {mask} shows the mask",
                    info.label
                ),
                n => format!(
                    "the map shows where {} differs, in {}: {mask} shows the mask",
                    info.label,
                    counted(n, "channel", "channels")
                ),
            };
            state.tell(sentence, false);
            state.other = Some(OtherMask { label: info.label, plan: info.plan });
            (state.screen, state.diff) = (Screen::Map, true);
            Vec::new()
        }
    }
}

/// K channels, and V of heads with all of theirs, that two plans store otherwise.
fn differing(one: &CachePlan, other: &CachePlan) -> usize {
    let k = one.k_widths().iter().zip(other.k_widths()).filter(|(one, other)| one != other);
    let v = one.v_widths().iter().zip(other.v_widths()).filter(|(one, other)| one != other);
    k.count() + v.count() * one.shape().head_dim
}

fn change_model(state: &mut State, typed: String) -> Vec<Effect> {
    let question = format!("What is set is not saved, and the model {typed} drops it. Load it?");
    let effects = with_engine(state, vec![Effect::LoadModel(typed)]);
    let busy = match effects.is_empty() {
        true => return effects,
        false if state.screens.learn.runs() => {
            Some("a mask is being learned on this model: stop it first")
        }
        false if state.screens.eval.runs() => {
            Some("an evaluation of this model is running: stop it first")
        }
        false => None,
    };
    if let Some(sentence) = busy {
        state.tell(sentence, false);
        return Vec::new();
    }
    if is_unsaved(state) {
        state.ask_first(question, effects);
        return Vec::new();
    }
    effects
}

/// Another model is there: everything about the one before goes, and its first event follows.
pub fn changed_model(state: &mut State, name: String, prompt: Prompt) {
    state.loading = None;
    state.chosen_model = Some(name.clone());
    state.loading_name = name;
    state.model = None;
    state.other = None;
    (state.diff, state.mark, state.at) = (false, None, Place::default());
    state.phase = Phase::Loading(1.0);
    state.run = RunView::new(state.run.generation);
    state.screens.tune = None;
    state.screens.bench = Default::default();
    state.screens.ab = Default::default();
    state.screens.plan = Default::default();
    let learning = &state.screens.learn;
    state.screens.learn = Learning {
        form: learning.form.clone(),
        generation: learning.generation,
        ..Learning::default()
    };
    // Its figures are of the model before, also where the plans are the same.
    let evaluation = &state.screens.eval;
    state.screens.eval = Evaluation {
        form: evaluation.form.clone(),
        field: evaluation.field,
        generation: evaluation.generation,
        ..Evaluation::default()
    };
    if !matches!(state.overlay, Some(Overlay::Help(_))) {
        state.overlay = None;
    }
    // What the user typed goes to the new model; what only the old one understands does not.
    let is_own = |prompt: &Prompt| matches!(prompt, Prompt::Text { .. });
    if !is_own(&state.plan.prompt) || !is_own(&prompt) {
        if let Prompt::Text { text, .. } | Prompt::Facts { text } = &prompt {
            state.screens.text = crate::tui::screen::text::state::TextState::new(text);
        }
        state.plan.prompt = prompt;
    }
}

#[cfg(test)]
mod tests;

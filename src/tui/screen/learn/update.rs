//! Learning from the screen: the form, the orders, and the notices of a run.

use tui_input::Input;

use crate::decode::worker::event::MaskInfo;
use crate::learn::estimate::Pace;
use crate::learn::run::{LearnEvent, LearnMethod};
use crate::learn::train::Stage;
use crate::learn::worker::{Notice, Order, Told};
use crate::mask::{Importance, select};
use crate::tui::app::action::{Command, Effect};
use crate::tui::app::areas;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::model::ModelView;
use crate::tui::app::path_prompt::PathFor;
use crate::tui::app::state::{Dirty, State};
use crate::tui::app::steer;
use crate::tui::app::table::{Scale, Table};
use crate::tui::screen::learn::form::Field;
use crate::tui::screen::learn::layout;
use crate::tui::screen::learn::state::{Learning, LearningPart};
use crate::tui::screen::tune::edit::{adopt, keep_or_reset};
use crate::tui::screen::tune::state::Tuning;
use crate::tui::screen::{Press, Screen, Typed, Wheel};

/// Runs a command of the screen.
pub fn update(state: &mut State, command: Command) -> Option<Vec<Effect>> {
    match command {
        Command::Learn | Command::ResumeLearning | Command::CancelLearning => {
            return Some(order(state, command));
        }
        Command::ApplyLearned => return Some(apply(state)),
        Command::Up
        | Command::Down
        | Command::First
        | Command::Last
        | Command::Less
        | Command::More
        | Command::EditField
        | Command::Submit => edit(state, command),
        // The field keeps its old value.
        Command::Back => drop(state.screens.learn.typing.take()?),
        _ => return None,
    }
    Some(Vec::new())
}

/// The focused part while a field is typed.
pub fn focus(state: &State) -> Option<KeyContext> {
    state.screens.learn.typing.as_ref().map(|_| KeyContext::Field)
}

/// Adds typed text to the selected field.
pub fn typed(state: &mut State, typed: Typed) {
    if let Some(input) = &mut state.screens.learn.typing {
        typed.into_line(input, usize::MAX);
    }
}

/// The wheel moves through the fields.
pub fn wheel(_: &State, wheel: Wheel) -> Option<Command> {
    Some(if wheel.up { Command::Up } else { Command::Down })
}

/// Moves in the form and changes its values.
fn edit(state: &mut State, command: Command) {
    let most = state.model.as_ref().map_or(usize::MAX, |model| model.info.max_context);
    let learning = &mut state.screens.learn;
    match command {
        Command::Up => learning.field = learning.field.moved(learning.form.method, -1),
        Command::Down => learning.field = learning.field.moved(learning.form.method, 1),
        Command::First => learning.field = Field::Haystack,
        Command::Last => learning.field = Field::Out,
        Command::Less | Command::More if !learning.field.is_text() => {
            learning.form.step(learning.field, command == Command::More, most);
        }
        Command::EditField if learning.field.is_text() => {
            let (field, text) = (learning.field, learning.form.text_of(learning.field));
            state.type_path(PathFor::Learn(field), &text);
        }
        Command::EditField => {
            learning.typing = Some(Input::from(learning.form.text_of(learning.field)));
        }
        Command::Submit => submit(state),
        _ => {}
    }
}

/// Accepts the typed value.
fn submit(state: &mut State) {
    let Some(input) = state.screens.learn.typing.take() else { return };
    set(state, state.screens.learn.field, input.value().trim());
}

/// Takes a typed value for a field, or says what it should have been.
pub fn set(state: &mut State, field: Field, typed: &str) {
    let most = state.model.as_ref().map_or(usize::MAX, |model| model.info.max_context);
    if let Err(sentence) = state.screens.learn.form.set(field, typed, most) {
        state.tell(sentence, true);
    }
}

/// Starts, resumes or stops a learning run.
fn order(state: &mut State, command: Command) -> Vec<Effect> {
    if command == Command::CancelLearning {
        return cancel(state);
    }
    if state.replay {
        state.tell(steer::no_model("learn on"), false);
        return Vec::new();
    }
    if state.screens.learn.runs() {
        state.tell("a learning is running: cancel it first", false);
        return Vec::new();
    }
    let Some(model) = &state.model else {
        state.tell("the model is not there yet", false);
        return Vec::new();
    };
    let resumes = command == Command::ResumeLearning;
    if resumes && state.screens.learn.form.method == LearnMethod::Sensitivity {
        let key = state.key_on(Screen::Learn, Command::Learn);
        state.tell(format!("a measurement has no checkpoint: {key} starts it"), false);
        return Vec::new();
    }
    let order = planned(state, model, resumes);
    let refused = order.settings.check().err().map(|error| error.to_string());
    let refused = refused.or_else(|| match crate::mask::files::Format::of_path(&order.out) {
        Ok(crate::mask::files::Format::Safetensors) => None,
        _ => Some(format!(
            "{}: expected a kscope file, which ends in .safetensors",
            order.out.display()
        )),
    });
    if let Some(sentence) = refused {
        state.tell(sentence, true);
        return Vec::new();
    }
    state.screens.learn.begin(order.clone(), state.now_ms);
    vec![Effect::Learn(Box::new(order))]
}

fn cancel(state: &mut State) -> Vec<Effect> {
    if !state.screens.learn.runs() {
        state.tell("no learning is running", false);
        return Vec::new();
    }
    let at_hand = match state.screens.learn.ordered() {
        LearnMethod::Sensitivity => "sample",
        LearnMethod::Leank => "update",
    };
    state.tell(format!("stopping after the {at_hand} at hand"), false);
    vec![Effect::CancelLearning]
}

/// Decodes with the learned mask from now on, as if the session had been started with its file.
fn apply(state: &mut State) -> Vec<Effect> {
    let Some(done) = &state.screens.learn.done else {
        state.tell("nothing is learned yet", false);
        return Vec::new();
    };
    if state.screens.tune.as_ref().is_some_and(Tuning::is_unsaved) {
        let keep = keep_or_reset(state);
        state.tell(format!("the mask at work is not saved: {keep}, then apply"), false);
        return Vec::new();
    }
    let mask = MaskInfo::of_file(done.file.clone(), &done.out);
    let window = done.file.origin.window;
    state.tell("the learned mask is at work from the next token on", false);
    adopt(state, mask, window)
}

/// Takes a notice of a learning run. Notices of an earlier run change nothing. At the end the
/// terminal's bell rings.
pub fn take(state: &mut State, notice: Notice) -> Vec<Effect> {
    let Notice { generation, dropped, told } = notice;
    if generation != state.screens.learn.generation {
        return Vec::new();
    }
    let ended = !matches!(told, Told::Going(_) | Told::Cancelled { .. } | Told::NotStarted(_));
    state.dirty = state.dirty.max(Dirty::Soon);
    let now = state.now_ms;
    let learning = &mut state.screens.learn;
    learning.dropped = dropped;
    match told {
        Told::Going(LearnEvent::Unsaved(cause)) => {
            state.tell(format!("learning goes on without a checkpoint: {cause}"), true);
        }
        Told::Going(event) => {
            learning.before = None;
            going(learning, event, now);
        }
        Told::Done(done) => {
            let sentence = format!("the learned mask is in {}", done.out.display());
            learning.factors = match learning.ordered() {
                // Damages span many orders of magnitude: their ranks can be seen.
                LearnMethod::Sensitivity => done.file.importance.as_ref().and_then(ranks),
                LearnMethod::Leank => done.file.importance.clone(),
            };
            learning.cut = Some(done.file.mask().clone());
            learning.done = Some(done);
            learning.enter(LearningPart::Done, now);
            state.tell(sentence, false);
        }
        Told::Cancelled { resumes } => {
            learning.enter(LearningPart::Cancelled, now);
            let sentence = match (learning.ordered(), resumes) {
                (LearnMethod::Sensitivity, _) => {
                    "stopped: no mask is written, and a measurement leaves nothing to go on from"
                }
                (LearnMethod::Leank, true) => "learning was stopped; it can be gone on from",
                (LearnMethod::Leank, false) => {
                    "learning was stopped before its first update: there is nothing to go on from"
                }
            };
            state.tell(sentence, false);
        }
        Told::NotStarted(sentence) => {
            learning.take_back();
            state.tell(sentence, false);
        }
        Told::Failed(sentence) => {
            learning.enter(LearningPart::Failed(sentence.clone()), now);
            state.tell(sentence, true);
        }
        Told::Panicked(message) => {
            learning
                .enter(LearningPart::Failed(format!("learning ran into a bug: {message}")), now);
            state.tell("learning ran into a bug; the rest of the program goes on", true);
        }
    }
    if ended { vec![Effect::Bell] } else { Vec::new() }
}

/// The rank of every score among all, 0 to 1.
fn ranks(importance: &Importance) -> Option<Importance> {
    let (shape, scores) = (importance.shape(), importance.scores());
    let table = Table::new(shape, scores.to_vec())?;
    let ranks = scores.iter().map(|score| table.share(*score, Scale::Rank)).collect();
    Importance::new(shape, ranks).ok()
}

/// Asks what a run as the form stands would take, once for every form.
pub fn after(state: &mut State) -> Vec<Effect> {
    let learning = &state.screens.learn;
    if state.replay || learning.runs() || learning.estimated_for == Some(learning.form.extent()) {
        return Vec::new();
    }
    let (Some(model), Some(started), Some(step_ms)) =
        (&state.model, &state.run.started, state.run.tpot(0.5))
    else {
        return Vec::new();
    };
    let pace = Pace {
        prompt_tokens: started.prompt_tokens,
        prefill_seconds: started.prefill_ms / 1e3,
        step_seconds: step_ms / 1e3,
        weight_bytes: model.info.weight_bytes,
    };
    let order = planned(state, model, false);
    let extent = learning.form.extent();
    let learning = &mut state.screens.learn;
    (learning.estimated_for, learning.estimate) = (Some(extent), None);
    vec![Effect::EstimateLearning(Box::new((order, pace)))]
}

/// The run that the form describes.
fn planned(state: &State, model: &ModelView, resume: bool) -> Order {
    let learning = &state.screens.learn;
    let (form, most) = (&learning.form, model.info.max_context);
    Order {
        generation: learning.generation + 1,
        haystack: learning.haystack(),
        method: form.method,
        settings: form.settings(model.info.window),
        lengths: (form.context.min(most) / 4, form.context.min(most)),
        windows: form.windows,
        pool: form.pool,
        check_prompts: form.check,
        resume,
        out: form.out.clone().into(),
    }
}

fn going(learning: &mut Learning, event: LearnEvent, now: f64) {
    match event {
        LearnEvent::Prefill(done, all) => learning.enter(LearningPart::Pool(done, all), now),
        LearnEvent::Dense(tasks) => learning.dense = tasks,
        // The message line has said it.
        LearnEvent::Unsaved(_) => {}
        LearnEvent::Update(update) => {
            learning.enter(
                if update.stage == Stage::Mask {
                    LearningPart::Masks
                } else {
                    LearningPart::Importance
                },
                now,
            );
            learning.updates.push(update);
        }
        LearnEvent::Factors(factors) => {
            let options = learning.order.as_ref().map(|order| order.settings.options());
            learning.cut = options.and_then(|options| select::select(&factors, &options).ok());
            learning.factors = Some(factors);
        }
        LearnEvent::Validated { cut, best } => learning.validated = Some((cut, best)),
        LearnEvent::Check(share) => learning.enter(LearningPart::Check(share), now),
    }
}

/// Selects the field under the mouse. A second press edits it or takes its next value.
pub fn press(state: &mut State, press: Press) -> Vec<Effect> {
    let areas = areas::areas(state);
    let method = state.screens.learn.form.method;
    let Some(field) = layout::learn(state, areas.main).field_at(method, press.x, press.y) else {
        return Vec::new();
    };
    state.screens.learn.field = field;
    state.screens.learn.typing = None;
    if press.is_double {
        edit(state, if field.is_text() { Command::EditField } else { Command::More });
    }
    Vec::new()
}

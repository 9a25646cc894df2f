//! Evaluating from the screen: the form, the order, and the news of a run.

use tui_input::Input;

use crate::decode::worker::Prompt;
use crate::decode::worker::event::MaskInfo;
use crate::eval::worker::{EvalNews, EvalOrder, EvalTold};
use crate::mask::{CachePlan, Window};
use crate::tui::app::action::{Command, Effect};
use crate::tui::app::areas;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::model::ModelView;
use crate::tui::app::path_prompt::PathFor;
use crate::tui::app::state::{Dirty, State};
use crate::tui::app::steer;
use crate::tui::screen::eval::layout;
use crate::tui::screen::eval::results;
use crate::tui::screen::eval::state::{EvalField, EvalPart};
use crate::tui::screen::tune::edit::{adopt, keep_or_reset};
use crate::tui::screen::tune::state::Tuning;
use crate::tui::screen::{Press, Screen, Typed, Wheel};

/// Runs a command of the screen.
pub fn update(state: &mut State, command: Command) -> Option<Vec<Effect>> {
    match command {
        Command::Evaluate => return Some(start(state)),
        Command::CancelEvaluation => return Some(cancel(state)),
        Command::Open => return Some(open(state)),
        Command::FindNext | Command::FindPrev if state.screens.eval.lost.is_empty() => {
            let sentence = nothing_lost(state);
            state.tell(sentence, false);
        }
        Command::FindNext => pick(state, 1),
        Command::FindPrev => pick(state, -1),
        Command::HalfDown => scroll(state, true),
        Command::HalfUp => scroll(state, false),
        Command::Up
        | Command::Down
        | Command::First
        | Command::Last
        | Command::Less
        | Command::More
        | Command::EditField
        | Command::Submit => edit(state, command),
        // The field keeps its old value.
        Command::Back => drop(state.screens.eval.typing.take()?),
        _ => return None,
    }
    Some(Vec::new())
}

/// The focused part while a field is typed.
pub fn focus(state: &State) -> Option<KeyContext> {
    state.screens.eval.typing.as_ref().map(|_| KeyContext::Field)
}

/// Adds typed text to the selected field.
pub fn typed(state: &mut State, typed: Typed) {
    if let Some(input) = &mut state.screens.eval.typing {
        typed.into_line(input, usize::MAX);
    }
}

/// The wheel moves through the fields, and through the table beside them.
pub fn wheel(state: &State, wheel: Wheel) -> Option<Command> {
    let right = layout::parts(state, areas::areas(state).main).right;
    Some(match (right.contains((wheel.x, wheel.y).into()), wheel.up) {
        (true, true) => Command::HalfUp,
        (true, false) => Command::HalfDown,
        (false, true) => Command::Up,
        (false, false) => Command::Down,
    })
}

/// Selects the field under the mouse. A second press edits it or takes its next value.
pub fn press(state: &mut State, press: Press) -> Vec<Effect> {
    let parts = layout::parts(state, areas::areas(state).main);
    let Some(field) = parts.field_at(press.x, press.y) else { return Vec::new() };
    state.screens.eval.field = field;
    state.screens.eval.typing = None;
    if press.is_double {
        edit(state, if field.is_typed() { Command::EditField } else { Command::More });
    }
    Vec::new()
}

/// Moves in the form and changes its values.
fn edit(state: &mut State, command: Command) {
    let most = state.model.as_ref().map_or(usize::MAX, |model| model.info.max_context);
    let eval = &mut state.screens.eval;
    match command {
        Command::Up => eval.field = eval.field.moved(-1),
        Command::Down => eval.field = eval.field.moved(1),
        Command::First => eval.field = EvalField::Suite,
        Command::Last => eval.field = EvalField::Out,
        Command::Less | Command::More if !eval.field.is_text() => {
            eval.form.step(eval.field, command == Command::More, most);
        }
        Command::EditField if eval.field.is_text() => {
            let (field, text) = (eval.field, eval.form.text_of(eval.field));
            state.type_path(PathFor::Eval(field), &text);
        }
        Command::EditField if eval.field.is_typed() => {
            eval.typing = Some(Input::from(eval.form.text_of(eval.field)));
        }
        // A chosen value goes on to the next, and after the last to the first.
        Command::EditField => {
            let before = eval.form.clone();
            eval.form.step(eval.field, true, most);
            if eval.form == before {
                eval.form.first(eval.field);
            }
        }
        Command::Submit => {
            let Some(input) = eval.typing.take() else { return };
            set(state, state.screens.eval.field, input.value().trim());
        }
        _ => {}
    }
}

/// Takes a typed value for a field, or says what it should have been.
pub fn set(state: &mut State, field: EvalField, typed: &str) {
    let most = state.model.as_ref().map_or(usize::MAX, |model| model.info.max_context);
    if let Err(sentence) = state.screens.eval.form.take(field, typed, most) {
        state.tell(sentence, true);
    }
}

/// Why there is no lost sample to go to: that none was lost is a result, and needs one.
fn nothing_lost(state: &State) -> String {
    let eval = &state.screens.eval;
    match (eval.runs(), eval.figures.is_some()) {
        (true, _) => "no sample was lost so far".to_owned(),
        (false, true) => "no sample was lost".to_owned(),
        (false, false) => {
            let starts = state.key_on(Screen::Eval, Command::Evaluate);
            format!("nothing is evaluated yet: {starts} starts")
        }
    }
}

fn pick(state: &mut State, by: isize) {
    let eval = &mut state.screens.eval;
    let last = eval.lost.len().saturating_sub(1);
    eval.picked = eval.picked.saturating_add_signed(by).min(last);
}

fn scroll(state: &mut State, down: bool) {
    let page = usize::from(state.size.1 / 4).max(1);
    let rows = results::rows(&state.screens.eval).len();
    let eval = &mut state.screens.eval;
    eval.scroll = match down {
        true => (eval.scroll + page).min(rows.saturating_sub(1)),
        false => eval.scroll.saturating_sub(page),
    };
}

/// The plan at work and the one of the diff, with names of their own; a plan that stores everything
/// is dense and has nothing to lose.
fn masks(state: &State, model: &ModelView) -> Vec<(String, CachePlan)> {
    let label = model.info.mask.as_ref().map_or("plan", |mask| mask.label.as_str());
    let mut masks = vec![(label.to_owned(), model.plan().clone())];
    if let Some(other) = &state.other {
        let same = other.label == label;
        let name = if same { format!("{label} (diff)") } else { other.label.clone() };
        masks.push((name, other.plan.clone()));
    }
    masks.retain(|(_, plan)| !plan.is_full());
    masks
}

/// Starts a run, or goes on with that of the folder.
fn start(state: &mut State) -> Vec<Effect> {
    if state.replay {
        state.tell(steer::no_model("evaluate"), false);
        return Vec::new();
    }
    let refused = match &state.model {
        _ if state.screens.eval.runs() => {
            Some("an evaluation is running: cancel it first".to_owned())
        }
        None => Some("the model is not there yet".to_owned()),
        Some(model) if masks(state, model).is_empty() => {
            let opens = state.key(Command::OpenFile);
            Some(format!("nothing to evaluate: decode is dense; {opens} opens a mask or plan"))
        }
        Some(_) => None,
    };
    if let Some(sentence) = refused {
        state.tell(sentence, false);
        return Vec::new();
    }
    let Some(model) = &state.model else { return Vec::new() };
    let form = &state.screens.eval.form;
    let order = EvalOrder {
        generation: state.screens.eval.generation + 1,
        suite: form.suite,
        tasks: form.task.into_iter().collect(),
        ctx: form.ctx(model.info.max_context),
        samples: form.samples,
        chunks: form.chunks,
        protocol: form.protocol,
        seed: form.seed,
        masks: masks(state, model),
        window: model.info.window,
        kv_dtype: model.info.kv_dtype,
        texts: form.texts(),
        out: form.folder(),
    };
    state.screens.eval.begin(order.generation, order.masks.clone(), state.now_ms);
    vec![Effect::Evaluate(Box::new(order))]
}

fn cancel(state: &mut State) -> Vec<Effect> {
    if !state.screens.eval.runs() {
        state.tell("no evaluation is running", false);
        return Vec::new();
    }
    state.tell("stopping after the sample at hand", false);
    vec![Effect::CancelEvaluation]
}

/// Decodes the selected lost sample on both sides, under the mask that lost it: the mask at work may
/// be another by now.
fn open(state: &mut State) -> Vec<Effect> {
    let eval = &state.screens.eval;
    let Some(lost) = eval.lost.get(eval.picked) else {
        let sentence = nothing_lost(state);
        state.tell(sentence, false);
        return Vec::new();
    };
    if state.replay {
        state.tell(steer::no_model("send a prompt to"), false);
        return Vec::new();
    }
    let known = eval.masks.iter().find(|(name, _)| *name == lost.mask);
    let at_work = state.model.as_ref().map(|model| model.plan());
    let own = known.filter(|(_, plan)| at_work != Some(plan)).cloned();
    let prompt = Prompt::Tokens(lost.prompt.clone());
    let mut effects = Vec::new();
    if let Some((name, plan)) = own {
        if state.screens.tune.as_ref().is_some_and(Tuning::is_unsaved) {
            let keep = keep_or_reset(state);
            state.tell(
                format!(
                    "{name} lost this sample, and the mask at work is not saved: {keep}, then open"
                ),
                false,
            );
            return Vec::new();
        }
        let window = state.model.as_ref().map_or_else(Window::default, |model| model.info.window);
        effects = adopt(state, MaskInfo::named(&name, plan), window);
        state.tell(format!("side B has {name} now; the cut comes after the question here"), false);
    } else {
        state.tell("both sides answer this sample; the cut comes after the question here", false);
    }
    state.plan.prompt = prompt;
    state.screen = Screen::Ab;
    effects.extend(state.rerun());
    effects
}

/// Takes news of a run. News of an earlier run change nothing.
pub fn take(state: &mut State, news: EvalNews) {
    let EvalNews { generation, told } = news;
    if generation != state.screens.eval.generation {
        return;
    }
    state.dirty = state.dirty.max(Dirty::Soon);
    let now = state.now_ms;
    let eval = &mut state.screens.eval;
    match told {
        EvalTold::Going(done, all, newest) => {
            if eval.part == EvalPart::Preparing {
                eval.held = done;
                eval.began_ms.1 = now;
            }
            eval.part = EvalPart::Samples(done, all);
            if !newest.is_empty() {
                eval.newest = newest;
            }
        }
        EvalTold::Lost(lost) => eval.lost.push(*lost),
        EvalTold::Figures(figures) => eval.figures = Some(figures),
        EvalTold::Done(figures) => {
            let sentence = match figures.control.is_zero() {
                true => "the evaluation is done",
                false => "dense differs from itself: these figures cannot be trusted",
            };
            let failed = !figures.control.is_zero();
            eval.figures = Some(figures);
            eval.end(EvalPart::Done, now);
            state.tell(sentence, failed);
        }
        EvalTold::Cancelled => {
            eval.end(EvalPart::Cancelled, now);
            state.tell("the evaluation was stopped", false);
        }
        EvalTold::Failed(sentence) => {
            eval.end(EvalPart::Failed(sentence.clone()), now);
            state.tell(sentence, true);
        }
        EvalTold::Panicked(message) => {
            eval.end(EvalPart::Failed(format!("evaluating ran into a bug: {message}")), now);
            state.tell("evaluating ran into a bug; the rest of the program goes on", true);
        }
    }
}

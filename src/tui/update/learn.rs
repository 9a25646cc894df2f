//! Learning from the screen: the form, the orders, and what the learning tells.

use tui_input::Input;

use crate::decode::worker::event::MaskInfo;
use crate::learn::run::Event;
use crate::learn::train::Stage;
use crate::learn::worker::{Notice, Order, Told};
use crate::mask::select;
use crate::tui::action::{Command, Effect};
use crate::tui::geometry;
use crate::tui::state::learn::{Field, Learning, Part};
use crate::tui::state::{Dirty, State, Tuning};
use crate::tui::update::{tell, tune};

/// Whether a command is one of the form.
pub fn takes(command: Command) -> bool {
    use Command as C;
    matches!(
        command,
        C::Up | C::Down | C::First | C::Last | C::Less | C::More | C::EditField | C::Submit
    )
}

/// Moves in the form and changes its values.
pub fn edit(state: &mut State, command: Command) {
    let most = state.model.as_ref().map_or(usize::MAX, |model| model.info.max_context);
    let learning = &mut state.learning;
    match command {
        Command::Up => learning.field = learning.field.moved(-1),
        Command::Down => learning.field = learning.field.moved(1),
        Command::First => learning.field = Field::Haystack,
        Command::Last => learning.field = Field::Out,
        Command::Less | Command::More if !learning.field.is_text() => {
            learning.form.step(learning.field, command == Command::More, most);
        }
        Command::EditField if learning.field.is_text() => {
            learning.typing = Some(Input::from(learning.text_of(learning.field).to_owned()));
        }
        Command::EditField => tell(state, "[ and ] change this value", false),
        Command::Submit => submit(learning),
        _ => {}
    }
}

/// Takes what was typed.
fn submit(learning: &mut Learning) {
    let Some(input) = learning.typing.take() else { return };
    let text = input.value().trim().to_owned();
    match learning.field {
        Field::Out => learning.form.out = text,
        _ => learning.form.haystack = text,
    }
}

/// Starts, goes on with, or stops a learning.
pub fn order(state: &mut State, command: Command) -> Vec<Effect> {
    if command == Command::CancelLearning {
        return cancel(state);
    }
    if state.replay {
        tell(state, "a recording has no model to learn on", false);
        return Vec::new();
    }
    if state.learning.runs() {
        tell(state, "a learning is running: cancel it first", false);
        return Vec::new();
    }
    let Some(model) = &state.model else {
        tell(state, "the model is not there yet", false);
        return Vec::new();
    };
    let form = &state.learning.form;
    let most = model.info.max_context;
    let order = Order {
        generation: state.learning.generation + 1,
        haystack: state.learning.haystack(),
        settings: form.settings(model.info.window),
        lengths: (form.context.min(most) / 4, form.context.min(most)),
        pool: form.pool,
        check_prompts: form.check,
        resume: command == Command::ResumeLearning,
        out: form.out.clone().into(),
    };
    let refused = order.settings.check().err().map(|error| error.to_string());
    let refused = refused.or_else(|| match crate::mask::files::Format::of_path(&order.out) {
        Ok(crate::mask::files::Format::Safetensors) => None,
        _ => Some(format!("{}: expected a kscope file, which ends in .safetensors", form.out)),
    });
    if let Some(sentence) = refused {
        tell(state, sentence, true);
        return Vec::new();
    }
    state.learning.begin(order.clone(), state.now_ms);
    vec![Effect::Learn(Box::new(order))]
}

fn cancel(state: &mut State) -> Vec<Effect> {
    if !state.learning.runs() {
        tell(state, "no learning is running", false);
        return Vec::new();
    }
    tell(state, "stopping after the update at hand", false);
    vec![Effect::CancelLearning]
}

/// Decodes with the learned mask from now on, as if the session had been given its file.
pub fn apply(state: &mut State) -> Vec<Effect> {
    let Some(done) = &state.learning.done else {
        tell(state, "nothing is learned yet", false);
        return Vec::new();
    };
    if state.tuning.as_ref().is_some_and(Tuning::is_unsaved) {
        tell(
            state,
            "the mask at work is not saved: save it (w) or go back (R on Tune), then apply",
            false,
        );
        return Vec::new();
    }
    let mask = MaskInfo::of_file(done.file.clone(), &done.out);
    let window = done.file.origin.window;
    tell(state, "the learned mask is at work from the next token on", false);
    tune::adopt(state, mask, window)
}

/// Takes what a learning tells; notices of one that is over change nothing.
pub fn take(state: &mut State, notice: Notice) {
    let Notice { generation, dropped, told } = notice;
    if generation != state.learning.generation {
        return;
    }
    state.dirty = state.dirty.max(Dirty::Soon);
    let now = state.now_ms;
    let learning = &mut state.learning;
    learning.dropped = dropped;
    match told {
        Told::Going(event) => going(learning, event, now),
        Told::Done(done) => {
            let sentence = format!("the learned mask is in {}", done.out.display());
            learning.factors.clone_from(&done.file.importance);
            learning.cut = Some(done.file.mask.clone());
            learning.done = Some(done);
            learning.enter(Part::Done, now);
            tell(state, sentence, false);
        }
        Told::Cancelled => {
            learning.enter(Part::Cancelled, now);
            tell(state, "learning was stopped; it can be gone on from", false);
        }
        Told::Failed(sentence) => {
            learning.enter(Part::Failed(sentence.clone()), now);
            tell(state, sentence, true);
        }
        Told::Panicked(message) => {
            learning.enter(Part::Failed(format!("learning ran into a bug: {message}")), now);
            tell(state, "learning ran into a bug; the rest of the program goes on", true);
        }
    }
}

fn going(learning: &mut Learning, event: Event, now: f64) {
    match event {
        Event::Prefill(done, all) => learning.enter(Part::Pool(done, all), now),
        Event::Dense(tasks) => learning.dense = tasks,
        Event::Update(update) => {
            learning.enter(
                if update.stage == Stage::Mask { Part::Masks } else { Part::Importance },
                now,
            );
            learning.updates.push(update);
        }
        Event::Factors(factors) => {
            let options = learning.order.as_ref().map(|order| order.settings.options());
            learning.cut = options.and_then(|options| select::select(&factors, &options).ok());
            learning.factors = Some(factors);
        }
        Event::Validated { cut, best } => learning.validated = Some((cut, best)),
        Event::Check(share) => learning.enter(Part::Check(share), now),
    }
}

/// Selects the field under the mouse; a second press types it or takes its next value.
pub fn press(state: &mut State, x: u16, y: u16, is_double: bool) {
    let areas = geometry::areas(state);
    let Some(field) = geometry::learn(areas.main).field_at(x, y) else { return };
    state.learning.field = field;
    state.learning.typing = None;
    if is_double {
        edit(state, if field.is_text() { Command::EditField } else { Command::More });
    }
}

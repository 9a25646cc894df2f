//! Edits of the mask or plan by hand, by palette command, or from a file. Each edit gives a new
//! plan at once, which is sent to the engine.

use std::path::PathBuf;
use std::sync::Arc;

use crate::decode::worker::EngineOrder as Order;
use crate::decode::worker::event::MaskInfo;
use crate::mask::files::Format;
use crate::mask::{Width, Window};
use crate::numbers;
use crate::numbers::count;
use crate::tui::app::action::{Command, Effect, Saving};
use crate::tui::app::model::ModelView;
use crate::tui::app::path_prompt::PathFor;
use crate::tui::app::state::State;
use crate::tui::screen::Screen;
use crate::tui::screen::tune::by_hand;
use crate::tui::screen::tune::by_hand::EditedPart;
use crate::tui::screen::tune::state::{Base, Draft, NO_SENSITIVITY, Set, Tuning, lock};

/// Sets a draft, and sends its mask unless changes are held back.
pub fn change(state: &mut State, draft: Draft) -> Vec<Effect> {
    let Some(tuning) = &mut state.screens.tune else { return Vec::new() };
    match tuning.set(draft) {
        Ok(true) => follow(state),
        Ok(false) => Vec::new(),
        Err(error) => {
            let sentence = with_way_on(state, error.to_string());
            state.tell(sentence, true);
            Vec::new()
        }
    }
}

/// What was refused, and the key that goes on all the same where there is one.
fn with_way_on(state: &State, refused: String) -> String {
    match &refused {
        said if said.contains(NO_SENSITIVITY) => {
            let sense = state.key_on(Screen::Tune, Command::Sense);
            format!("{refused}; {sense} in Tune measures one")
        }
        said if said.ends_with(by_hand::NO_V) => {
            format!("{refused}; {} drops it", state.key_on(state.screen, Command::FlipHead))
        }
        _ => refused,
    }
}

/// What can be done with a mask that is not saved, before another takes its place.
pub fn keep_or_reset(state: &State) -> String {
    let (save, back) = (state.key(Command::SaveMask), state.key_on(Screen::Tune, Command::Reset));
    format!("save it ({save}) or go back ({back} on Tune)")
}

/// Sends the set mask, unless changes are held back or it is already in use.
fn follow(state: &mut State) -> Vec<Effect> {
    let (Some(model), Some(tuning)) = (&state.model, &state.screens.tune) else {
        return Vec::new();
    };
    // While an answer is pending, the mask in use is not known, so the change is sent in any case.
    if tuning.hold || (tuning.is_applied(model) && !tuning.is_waiting()) {
        Vec::new()
    } else {
        apply(state)
    }
}

/// Sends the set mask; the engine measures it again even if it is already in use.
pub fn apply(state: &mut State) -> Vec<Effect> {
    if state.replay {
        state.tell("a recording cannot be retuned: what is set stays a proposal", false);
        return Vec::new();
    }
    let Some(tuning) = &mut state.screens.tune else { return Vec::new() };
    vec![Effect::Engine(Order::Retune(Box::new(tuning.order())))]
}

/// Runs a command that changes the mask or plan, on any screen that shows it.
pub fn edit(state: &mut State, command: Command) -> Vec<Effect> {
    let (Some(model), Some(tuning)) = (&state.model, &mut state.screens.tune) else {
        return Vec::new();
    };
    match command {
        Command::Undo | Command::Redo => return travel(state, command == Command::Redo),
        Command::SaveMask => {
            let offered = file_name(model, tuning);
            state.offer_path(PathFor::Save, &offered);
            return Vec::new();
        }
        Command::Reset => {
            let draft = tuning.draft_of_saved();
            let undo = state.key(Command::Undo);
            state.tell(format!("back to what is saved; {undo} takes it back"), false);
            return change(state, draft);
        }
        _ => {}
    }
    let (at, shape) = (state.at, model.shape());
    let mut draft = tuning.draft().clone();
    let sentence = match command {
        Command::LockHead | Command::LockLayer => {
            let verbatim = Base::Verbatim(tuning.saved().mask.clone());
            let around =
                tuning.around(&verbatim, model, &state.keys, at.layer, state.target_context);
            let whole = command == Command::LockLayer;
            let heads = if whole { 0..shape.kv_heads } else { at.head..at.head + 1 };
            let locked = !heads.clone().all(|head| draft.is_locked(shape, at.layer, head));
            heads.for_each(|head| lock(&mut draft, &around, head, locked));
            let what = if whole {
                format!("layer {}", at.layer)
            } else {
                format!("L{} h{}", at.layer, at.head)
            };
            format!("{what}: {}", if locked { "locked as it is" } else { "not locked" })
        }
        _ => by_hand::set(&mut draft, tuning.proposal(), at, command),
    };
    let sentence = with_way_on(state, sentence);
    state.tell(sentence, false);
    change(state, draft)
}

/// The selected control with its value.
pub fn copied(state: &State) -> Option<String> {
    let (model, tuning) = (state.model.as_ref()?, state.screens.tune.as_ref()?);
    let verbatim = Base::Verbatim(tuning.saved().mask.clone());
    let around = tuning.around(&verbatim, model, &state.keys, state.at.layer, state.target_context);
    let (value, _) = tuning.control.value(tuning.draft(), &around);
    Some(format!("{} {}", tuning.control.name(state.at.layer), value.trim()))
}

/// The selected control in words, with its value.
pub fn explained(state: &State) -> Option<String> {
    let (model, tuning) = (state.model.as_ref()?, state.screens.tune.as_ref()?);
    let verbatim = Base::Verbatim(tuning.saved().mask.clone());
    let around = tuning.around(&verbatim, model, &state.keys, state.at.layer, state.target_context);
    let (value, counts) = tuning.control.value(tuning.draft(), &around);
    let name = tuning.control.name(state.at.layer);
    let is_verbatim = matches!(tuning.draft().base, Base::Verbatim(_));
    let idle = match counts {
        true => "",
        false if is_verbatim => " The mask is used as it is: a change chooses channels anew.",
        false => " It has no effect as things are set.",
    };
    let set = &around.proposed;
    Some(format!(
        "{name} is {}: {}.{idle} What is set keeps {:.1} % of the K channels and weighs {} at {} tokens, {} less than dense.",
        value.trim(),
        tuning.control.about(),
        set.share * 100.0,
        crate::numbers::bytes(set.bytes.total()),
        crate::numbers::count(state.target_context),
        numbers::percent(set.saved, 1)
    ))
}

/// Sets one width for a part of the plan around the cursor, by palette command.
pub fn set_width(state: &mut State, part: EditedPart, width: Width) -> Vec<Effect> {
    let Some(tuning) = &state.screens.tune else { return Vec::new() };
    let mut draft = tuning.draft().clone();
    let sentence = by_hand::give(&mut draft, tuning.proposal(), state.at, part, &|_| width);
    let sentence = with_way_on(state, sentence);
    state.tell(sentence, false);
    change(state, draft)
}

fn travel(state: &mut State, forward: bool) -> Vec<Effect> {
    let Some(tuning) = &mut state.screens.tune else { return Vec::new() };
    match tuning.travel(forward) {
        Ok(true) => {
            let (back, on) = tuning.steps();
            let what = if forward { "made again" } else { "taken back" };
            state.tell(format!("{what}: {back} to undo, {on} to redo"), false);
            return follow(state);
        }
        Ok(false) => state.tell(
            if forward { "nothing was taken back" } else { "nothing was changed yet" },
            false,
        ),
        Err(error) => {
            let sentence = with_way_on(state, error.to_string());
            state.tell(sentence, true);
        }
    }
    Vec::new()
}

/// Changes one setting by palette command.
pub fn set(state: &mut State, set: Set) -> Vec<Effect> {
    let Some(tuning) = &state.screens.tune else { return Vec::new() };
    let mut draft = tuning.draft().clone();
    draft.set(set);
    change(state, draft)
}

/// The same, and says what came of it: a screen that does not show the mask would not.
pub fn set_and_say(state: &mut State, set: Set) -> Vec<Effect> {
    let before = state.screens.tune.as_ref().map(|tuning| tuning.draft().clone());
    let told = state.toast.take();
    let effects = self::set(state, set);
    // A refusal has said why.
    if state.toast.is_some() {
        return effects;
    }
    state.toast = told;
    let Some(tuning) = &state.screens.tune else { return effects };
    let tally = tuning.proposed_tally(state.target_context);
    let what = format!(
        "{} of the K channels kept, {} at {} tokens",
        numbers::percent(tally.share, 1),
        numbers::bytes(tally.bytes.total()),
        count(state.target_context)
    );
    let undo = state.key(Command::Undo);
    let sentence = match before.as_ref() == Some(tuning.draft()) {
        true => format!("that is set already: {what}"),
        false => format!("set: {what}; {undo} takes it back"),
    };
    state.tell(sentence, false);
    effects
}

/// Takes the mask of a file, with its importance, and sends it.
pub fn adopt(state: &mut State, mask: MaskInfo, window: Window) -> Vec<Effect> {
    let Some(tuning) = &mut state.screens.tune else { return Vec::new() };
    tuning.adopt(Arc::new(mask), window);
    apply(state)
}

/// A file name for the set mask; never that of the mask it was made from.
fn file_name(model: &ModelView, tuning: &Tuning) -> String {
    let plan = &tuning.proposal().plan;
    let size = match plan.is_mask() {
        true => format!("keep{}", (100.0 * plan.mask().kept_ratio()).round()),
        false => {
            let share = plan.bytes_share(tuning.draft().window.chunk);
            format!("bytes{}", (100.0 * share).round())
        }
    };
    let plain =
        |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    let mut stem: String = format!("{}-{size}", model.info.name).chars().map(plain).collect();
    let taken = [&tuning.sources().loaded.label, &tuning.saved().mask.label];
    if taken.into_iter().any(|label| *label == stem) {
        stem += "-tuned";
    }
    format!("{stem}.safetensors")
}

/// Saves the set mask under a name. A file that is there is replaced only where `replaces` says so.
pub fn save(state: &mut State, path: PathBuf, replaces: bool) -> Vec<Effect> {
    if Format::of_path(&path).ok() != Some(Format::Safetensors) {
        let sentence = format!(
            "{}: expected a name that ends in .safetensors (`kscope mask export` makes the others)",
            path.display()
        );
        state.tell(sentence, true);
        return Vec::new();
    }
    let (Some(model), Some(tuning)) = (&state.model, &state.screens.tune) else {
        return Vec::new();
    };
    let file = tuning.file(&model.info, state.run.generation, tuning.is_applied(model));
    let draft = tuning.draft().clone();
    vec![Effect::Save(Box::new(Saving { path, file, draft, replaces }))]
}

//! Retuning: what is set by key, mouse or word becomes a mask at once, and goes to the engine.

use std::path::PathBuf;
use std::sync::Arc;

use crate::decode::worker::Command as Order;
use crate::decode::worker::event::{MaskInfo, Measured, Retuned, Subject, Wish};
use crate::mask::Window;
use crate::mask::files::Format;
use crate::tui::action::{Command, Effect, Saving};
use crate::tui::state::tune::{Against, Base, Control, Draft, Set, Tuning, lock};
use crate::tui::state::{List, ModelView, OtherMask, Overlay, Phase, Screen, State};
use crate::tui::update::prompt::change_context;
use crate::tui::update::tell;

/// Whether a command means something on this screen.
pub fn takes(command: Command) -> bool {
    matches!(
        command,
        Command::Up
            | Command::Down
            | Command::First
            | Command::Last
            | Command::Less
            | Command::More
            | Command::MuchLess
            | Command::MuchMore
            | Command::Open
            | Command::Sweep
            | Command::FindNext
            | Command::FindPrev
            | Command::PlotAxis
            | Command::Diff
    )
}

/// Does a command of the screen.
pub fn run(state: &mut State, command: Command) -> Vec<Effect> {
    let Some(tuning) = &mut state.tuning else { return Vec::new() };
    let select = |tuning: &mut Tuning, control| (tuning.control, tuning.cursor) = (control, None);
    match command {
        Command::Up => select(tuning, tuning.control.moved(-1)),
        Command::Down => select(tuning, tuning.control.moved(1)),
        Command::First => select(tuning, Control::ALL[0]),
        Command::Last => select(tuning, Control::Hold),
        Command::Less => return step(state, -1),
        Command::More => return step(state, 1),
        Command::MuchLess => return step(state, -5),
        Command::MuchMore => return step(state, 5),
        Command::Open => return open(state),
        Command::Sweep => return sweep(state),
        Command::FindNext => point(state, 1),
        Command::FindPrev => point(state, -1),
        Command::PlotAxis => {
            tuning.against = match tuning.against {
                Against::Bytes => Against::Time,
                Against::Time => Against::Bytes,
            };
        }
        Command::Diff => show_difference(state),
        _ => {}
    }
    Vec::new()
}

/// Changes the selected control by `by` steps.
fn step(state: &mut State, by: i32) -> Vec<Effect> {
    let (Some(model), Some(tuning)) = (&state.model, &mut state.tuning) else { return Vec::new() };
    match tuning.control {
        Control::Context => {
            change_context(state, by > 0);
            Vec::new()
        }
        Control::Hold => {
            tuning.hold = !tuning.hold;
            let due = !tuning.hold && !tuning.is_applied(model);
            if due { apply(state) } else { Vec::new() }
        }
        control => {
            let mut draft = tuning.draft().clone();
            let verbatim = Base::Verbatim(tuning.saved().mask.clone());
            control.step(
                &mut draft,
                by,
                &tuning.around(&verbatim, model, state.at.layer, state.target_context),
            );
            change(state, draft)
        }
    }
}

/// Sets a draft, and sends what it means unless changes are held back.
fn change(state: &mut State, draft: Draft) -> Vec<Effect> {
    let Some(tuning) = &mut state.tuning else { return Vec::new() };
    match tuning.set(draft) {
        Ok(true) => follow(state),
        Ok(false) => Vec::new(),
        Err(error) => {
            tell(state, error.to_string(), true);
            Vec::new()
        }
    }
}

/// Sends what is set, unless changes are held back or it is at work already.
fn follow(state: &mut State) -> Vec<Effect> {
    let (Some(model), Some(tuning)) = (&state.model, &state.tuning) else { return Vec::new() };
    // While an answer is due the mask at work is not known: the change is sent whatever it was.
    if tuning.hold || (tuning.is_applied(model) && !tuning.is_waiting()) {
        Vec::new()
    } else {
        apply(state)
    }
}

/// Sends what is set; the engine measures it again even where it is at work already.
fn apply(state: &mut State) -> Vec<Effect> {
    if state.replay {
        tell(state, "a recording cannot be retuned: what is set stays a proposal", false);
        return Vec::new();
    }
    let Some(tuning) = &mut state.tuning else { return Vec::new() };
    vec![Effect::Engine(Order::Retune(Box::new(tuning.order())))]
}

/// Enter: takes the point under the plot's cursor, or applies what is set.
fn open(state: &mut State) -> Vec<Effect> {
    let Some(tuning) = &mut state.tuning else { return Vec::new() };
    let Some(id) = tuning.cursor.take() else { return apply(state) };
    let taken = tuning
        .sweep
        .measured()
        .find(|(point, _)| point.id == id)
        .map(|(point, _)| point.draft.clone());
    taken.map_or_else(Vec::new, |draft| change(state, draft))
}

/// Begins a sweep, or gives the one at hand up.
fn sweep(state: &mut State) -> Vec<Effect> {
    if state.replay {
        tell(state, "a recording cannot be measured", false);
        return Vec::new();
    }
    let generation = state.run.generation;
    let Some(tuning) = &mut state.tuning else { return Vec::new() };
    if tuning.sweep.is_running() {
        tuning.sweep.stop();
        tell(state, "the sweep is given up; what it measured stays", false);
        return vec![Effect::Engine(Order::Sweep(Vec::new()))];
    }
    tuning.cursor = None;
    let trials = tuning.begin_sweep(generation);
    if trials.is_empty() {
        tell(state, "floors and locks leave nothing to sweep", true);
        return Vec::new();
    }
    vec![Effect::Engine(Order::Sweep(trials))]
}

/// Moves the plot's cursor along its points.
fn point(state: &mut State, by: isize) {
    let generation = state.run.generation;
    let (Some(model), Some(tuning)) = (&state.model, &mut state.tuning) else { return };
    let spots = tuning.plot(model, state.target_context, generation).spots;
    let at = tuning.cursor.and_then(|id| spots.iter().position(|spot| spot.id == id));
    let next = match at {
        None if by > 0 => spots.first(),
        None => spots.last(),
        Some(at) => spots.get((at as isize + by).rem_euclid(spots.len() as isize) as usize),
    };
    tuning.cursor = next.map(|spot| spot.id);
    if spots.is_empty() {
        tell(state, "no points yet: s begins a sweep", false);
    }
}

/// The map with what differs from the saved mask.
fn show_difference(state: &mut State) {
    let Some(tuning) = &state.tuning else { return };
    let saved = &tuning.saved().mask;
    state.other =
        Some(OtherMask { label: format!("{} (saved)", saved.label), mask: saved.mask.clone() });
    (state.diff, state.screen) = (true, Screen::Map);
}

/// The map without a difference; the mask that the session was given to compare with, if any, is
/// there for the next one.
pub fn end_difference(state: &mut State) {
    state.diff = false;
    let Some(model) = &state.model else { return };
    if let Some(other) =
        model.info.other.as_ref().filter(|other| other.mask.shape() == model.shape())
    {
        state.other = Some(OtherMask { label: other.label.clone(), mask: other.mask.clone() });
    }
}

/// Does a command that changes the mask on any screen that shows it.
pub fn edit(state: &mut State, command: Command) -> Vec<Effect> {
    let (Some(model), Some(tuning)) = (&state.model, &mut state.tuning) else { return Vec::new() };
    match command {
        Command::Undo | Command::Redo => return travel(state, command == Command::Redo),
        Command::SaveMask => {
            let input = tui_input::Input::from(format!("save {}", file_name(model, tuning)));
            state.overlay = Some(Overlay::Palette(List { input, selected: 0 }));
            return Vec::new();
        }
        Command::Reset => {
            let draft = tuning.draft_of_saved();
            tell(state, "back to the saved mask; u takes it back", false);
            return change(state, draft);
        }
        _ => {}
    }
    let (at, shape) = (state.at, model.shape());
    let row = at.layer * shape.kv_heads + at.head;
    let mut draft = tuning.draft().clone();
    let kept = tuning.proposal().mask.head(at.layer, at.head);
    let selected = tuning.proposal().selected.head(at.layer, at.head);
    let sentence = match command {
        Command::Flip => {
            let keep = !kept[at.channel];
            let mut pins =
                draft.pins.get(&row).map_or_else(|| vec![None; shape.head_dim], |row| row.to_vec());
            // What the selection says anyway needs no hand.
            pins[at.channel] = (selected[at.channel] != keep).then_some(keep);
            draft.pin_row(row, pins);
            format!(
                "L{} h{} ch {}: {}",
                at.layer,
                at.head,
                at.channel,
                if keep { "kept" } else { "pruned" }
            )
        }
        Command::FlipHead => {
            let keep = !kept.iter().all(|&kept| kept);
            let alike = selected.iter().all(|&kept| kept == keep);
            draft.pin_row(row, vec![(!alike).then_some(keep); shape.head_dim]);
            format!(
                "L{} h{}: {}",
                at.layer,
                at.head,
                if keep { "all channels kept" } else { "dropped" }
            )
        }
        _ => {
            let verbatim = Base::Verbatim(tuning.saved().mask.clone());
            let around = tuning.around(&verbatim, model, at.layer, state.target_context);
            let whole = command == Command::LockLayer;
            let heads = if whole { 0..shape.kv_heads } else { at.head..at.head + 1 };
            let locked = !heads.clone().all(|head| draft.is_locked(shape, at.layer, head));
            heads.for_each(|head| lock(&mut draft, &around, head, locked));
            let what = if whole {
                format!("layer {}", at.layer)
            } else {
                format!("L{} h{}", at.layer, at.head)
            };
            format!("{what}: {}", if locked { "locked to what it keeps" } else { "not locked" })
        }
    };
    tell(state, sentence, false);
    change(state, draft)
}

fn travel(state: &mut State, forward: bool) -> Vec<Effect> {
    let Some(tuning) = &mut state.tuning else { return Vec::new() };
    match tuning.travel(forward) {
        Ok(true) => return follow(state),
        Ok(false) => tell(
            state,
            if forward { "nothing was taken back" } else { "nothing was changed yet" },
            false,
        ),
        Err(error) => tell(state, error.to_string(), true),
    }
    Vec::new()
}

/// Sets one thing by word.
pub fn set(state: &mut State, set: Set) -> Vec<Effect> {
    let Some(tuning) = &state.tuning else { return Vec::new() };
    let mut draft = tuning.draft().clone();
    draft.set(set);
    change(state, draft)
}

/// Takes a mask that is in a file, with its importance, and sends it.
pub fn adopt(state: &mut State, mask: MaskInfo, window: Window) -> Vec<Effect> {
    let Some(tuning) = &mut state.tuning else { return Vec::new() };
    tuning.adopt(Arc::new(mask), window);
    apply(state)
}

/// A name for the mask that is set; never that of the mask it comes from.
fn file_name(model: &ModelView, tuning: &Tuning) -> String {
    let percent = (100.0 * tuning.proposal().mask.kept_ratio()).round();
    let plain =
        |c: char| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' };
    let mut stem: String =
        format!("{}-keep{percent}", model.info.name).chars().map(plain).collect();
    let taken = [&tuning.sources().loaded.label, &tuning.saved().mask.label];
    if taken.into_iter().any(|label| *label == stem) {
        stem += "-tuned";
    }
    format!("{stem}.safetensors")
}

/// Saves what is set under a name.
pub fn save(state: &mut State, path: PathBuf) -> Vec<Effect> {
    if Format::of_path(&path).ok() != Some(Format::Safetensors) {
        let sentence = format!(
            "{}: expected a name that ends in .safetensors (`kscope mask export` makes the others)",
            path.display()
        );
        tell(state, sentence, true);
        return Vec::new();
    }
    let (Some(model), Some(tuning)) = (&state.model, &state.tuning) else { return Vec::new() };
    let file = tuning.file(&model.info, state.run.generation, tuning.is_applied(model));
    vec![Effect::Save(Box::new(Saving { path, file, draft: tuning.draft().clone() }))]
}

/// A mask is on disk.
pub fn saved(state: &mut State, saving: Saving) {
    let sentence = format!("saved {}", saving.path.display());
    let Saving { path, file, draft } = saving;
    let window = file.origin.window;
    let mask = MaskInfo::of_file(file, &path);
    if let (Some(model), Some(tuning)) = (&mut state.model, &mut state.tuning) {
        // What runs may have been changed since; where it was not, it has a name now.
        if let Some(now) = model
            .info
            .mask
            .as_mut()
            .filter(|now| now.mask == mask.mask && model.info.window == window)
        {
            now.label.clone_from(&mask.label);
        }
        tuning.was_saved(mask, window, draft, state.run.generation, model);
    }
    tell(state, sentence, false);
}

/// Whether leaving must wait for a second word, because a mask would be lost.
pub fn asks_first(state: &mut State) -> bool {
    let replay = state.replay;
    let Some(tuning) =
        state.tuning.as_mut().filter(|tuning| !replay && tuning.is_unsaved() && !tuning.quit_asked)
    else {
        return false;
    };
    tuning.quit_asked = true;
    tell(state, "the mask is not saved: w saves it, the same key again leaves", false);
    true
}

/// The engine has another mask at work.
pub fn retuned(state: &mut State, retuned: Retuned) {
    let Retuned { revision, mask, window, ms, .. } = retuned;
    let (Some(model), Some(tuning)) = (&mut state.model, &mut state.tuning) else { return };
    match model.retuned(mask.clone(), window) {
        Ok(()) => {
            tuning.applied(revision, ms);
            if state.replay {
                tuning.follow(mask, window);
            }
        }
        Err(error) => tell(state, error.to_string(), true),
    }
}

/// The engine refused something.
pub fn refused(state: &mut State, wish: Wish, sentence: String) {
    if let Some(tuning) = &mut state.tuning {
        tuning.was_refused(wish, &sentence);
    }
    tell(state, sentence, false);
}

/// A mask was measured. Where the text stands still the saved mask is measured over the same tokens
/// too, so that the two can be compared; while it grows that would never meet.
pub fn measured(state: &mut State, generation: u64, measured: Measured) -> Vec<Effect> {
    let stands = matches!(state.phase, Phase::Paused | Phase::Finished(_)) && !state.replay;
    let (Some(model), Some(tuning)) = (&state.model, &mut state.tuning) else { return Vec::new() };
    match measured.subject {
        Subject::Now(revision) => {
            tuning.take_measured(revision, generation, measured, model);
            let trial = if stands { tuning.compare_with_saved(generation) } else { None };
            trial.map_or_else(Vec::new, |trial| vec![Effect::Engine(Order::Sweep(vec![trial]))])
        }
        Subject::Trial(id) => {
            tuning.take_trial(id, generation, measured);
            Vec::new()
        }
    }
}

//! The engine's answers about a mask or plan (in use, refused, measured), news of a measurement of
//! sensitivity, saving, and the question before something unsaved is lost.

use crate::decode::worker::EngineOrder as Order;
use crate::decode::worker::event::{MaskInfo, Measured, Retuned, Subject, Wish};
use crate::learn::sensitivity::worker::Sensed;
use crate::tui::app::action::{Command, Effect, Saving};
use crate::tui::app::run::Phase;
use crate::tui::app::state::{Dirty, State};
use crate::tui::screen::Screen;
use crate::tui::screen::tune::state::Control;

/// A mask was written to disk.
pub fn saved(state: &mut State, saving: Saving) {
    let sentence = format!("saved {}", saving.path.display());
    let Saving { path, file, draft, .. } = saving;
    let window = file.origin.window;
    let mask = MaskInfo::of_file(file, &path);
    if let (Some(model), Some(tuning)) = (&mut state.model, &mut state.screens.tune) {
        // The mask in use may have changed since. If it has not, it is now the one in the file.
        if let Some(now) = model
            .info
            .mask
            .as_mut()
            .filter(|now| now.plan == mask.plan && model.info.window == window)
        {
            now.label.clone_from(&mask.label);
        }
        tuning.was_saved(mask, window, draft, state.run.generation, model);
    }
    state.tell(sentence, false);
}

/// Whether leaving needs a confirmation, because an unsaved mask, or what a learning has reached,
/// would be lost.
pub fn asks_first(state: &mut State) -> bool {
    if state.replay || state.quit_asked {
        return false;
    }
    let unsaved = state.screens.tune.as_ref().is_some_and(|tuning| tuning.is_unsaved());
    let sentence = match (state.screens.learn.runs(), unsaved) {
        (false, false) => return false,
        (false, true) => format!(
            "what is set is not saved: {} saves it, the same key again leaves",
            state.key(Command::SaveMask)
        ),
        (true, false) => format!(
            "a mask is being learned: {} on Learn stops it, the same key again leaves",
            state.key_on(Screen::Learn, Command::CancelLearning)
        ),
        (true, true) => {
            "a mask is being learned and what is set is not saved: the same key again leaves"
                .to_owned()
        }
    };
    state.quit_asked = true;
    state.tell(sentence, false);
    true
}

/// News from the measurement of sensitivity.
pub fn sensed(state: &mut State, news: Sensed) {
    let Some(tuning) = &mut state.screens.tune else { return };
    // What was given up may still report once.
    if tuning.measuring.is_none() {
        return;
    }
    match news {
        Sensed::Going(share) => {
            tuning.measuring = Some(share);
            state.dirty = state.dirty.max(Dirty::Soon);
        }
        Sensed::Done(sensitivity, on) => {
            tuning.measuring = None;
            tuning.take_sensitivity(sensitivity);
            tuning.control = Control::Bytes;
            state.tell(format!("sensitivity measured on {on}: bytes chooses widths by it"), false);
        }
        Sensed::Failed(sentence) => {
            tuning.measuring = None;
            state.tell(sentence, true);
        }
    }
}

/// The engine now uses another mask.
pub fn retuned(state: &mut State, retuned: Retuned) {
    let Retuned { revision, mask, window, ms, .. } = retuned;
    let (Some(model), Some(tuning)) = (&mut state.model, &mut state.screens.tune) else { return };
    match model.retuned(mask.clone(), window) {
        Ok(()) => {
            tuning.applied(revision, ms);
            if state.replay {
                tuning.follow(mask, window);
            }
        }
        Err(error) => state.tell(error.to_string(), true),
    }
}

/// The engine refused something.
pub fn refused(state: &mut State, wish: Wish, sentence: String) {
    if let Some(tuning) = &mut state.screens.tune {
        tuning.was_refused(wish, &sentence);
    }
    state.tell(sentence, false);
}

/// A mask was measured. While no text is generated, the saved mask is measured over the same tokens
/// too, so that the two can be compared. While text is generated, the two would never cover the
/// same tokens.
pub fn measured(state: &mut State, generation: u64, measured: Measured) -> Vec<Effect> {
    // The engine has one list of trials: one more would take the place of the bench's.
    let stands = matches!(state.phase, Phase::Paused | Phase::Finished(_))
        && !state.replay
        && !state.screens.bench.is_running(generation);
    let (Some(model), Some(tuning)) = (&state.model, &mut state.screens.tune) else {
        return Vec::new();
    };
    match measured.subject {
        Subject::Now(revision) => {
            tuning.take_measured(revision, generation, measured, model);
            let trial = if stands { tuning.compare_with_saved(generation) } else { None };
            trial.map_or_else(Vec::new, |trial| vec![Effect::Engine(Order::Sweep(vec![trial]))])
        }
        Subject::Trial(id) => {
            tuning.take_trial(id, generation, measured, model);
            Vec::new()
        }
    }
}

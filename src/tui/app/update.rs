//! What an action changes. Pure: it uses no clock, file or channel. Side effects are returned.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::decode::worker::EngineOrder as Order;
use crate::tui::app::action::{Action, Command, Effect};
use crate::tui::app::dispatch::run;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::path_prompt::{PathFor, PathPrompt};
use crate::tui::app::question::Confirmation;
use crate::tui::app::run::Phase;
use crate::tui::app::state::{Dirty, Overlay, State};
use crate::tui::app::{editing, engine, files, mouse, settings, story};
use crate::tui::screen::bench::state::MaskBench;
use crate::tui::screen::tune::outcome;
use crate::tui::screen::{Typed, eval, learn};

/// Applies an action to the state and returns the effects to perform.
pub fn update(state: &mut State, action: Action) -> Vec<Effect> {
    let mut effects = apply(state, action);
    // The engine has one list of trials: one of others takes the place of the bench's.
    let of_others = |effect: &Effect| {
        matches!(effect, Effect::Engine(Order::Sweep(trials))
            if !trials.iter().any(|trial| MaskBench::owns(trial.id)))
    };
    if effects.iter().any(of_others) {
        state.screens.bench.stop();
    }
    if let Some(after) = state.screen.parts().after {
        effects.extend(after(state));
    }
    effects.extend(complete(state));
    state.forget_untrue();
    // What is explained can change while it is read.
    if state.explained.is_some()
        && let Some(text) = (state.screen.parts().explain)(state)
    {
        state.explained = Some(text);
    }
    effects
}

/// A palette in which a path is being typed becomes the prompt for paths, and its folder is read.
fn complete(state: &mut State) -> Option<Effect> {
    if let Some(Overlay::Palette(list)) = &state.overlay
        && let Some((purpose, rest)) = PathFor::of(list.input.value())
    {
        state.overlay = Some(Overlay::Path(PathPrompt::new(purpose, rest)));
    }
    match &mut state.overlay {
        Some(Overlay::Path(prompt)) => prompt.ask().map(Effect::ListFolder),
        _ => None,
    }
}

fn apply(state: &mut State, action: Action) -> Vec<Effect> {
    match action {
        Action::Tick(now) => {
            state.now_ms = now;
            if state.toast.as_ref().is_some_and(|toast| toast.until_ms <= now) {
                state.toast = None;
                state.dirty = Dirty::Now;
            }
            Vec::new()
        }
        Action::Engine(envelope) => engine::take(state, *envelope),
        Action::Learning(notice) => learn::update::take(state, *notice),
        Action::Estimated(estimate, free) => {
            state.screens.learn.estimate = Some((estimate, free));
            state.dirty = Dirty::Now;
            Vec::new()
        }
        Action::Evaluating(news) => {
            eval::update::take(state, *news);
            Vec::new()
        }
        Action::Sensing(news) => {
            outcome::sensed(state, *news);
            Vec::new()
        }
        Action::ReplayEnded => {
            state.phase = Phase::Paused;
            state.tell("end of the recording", false);
            Vec::new()
        }
        Action::Played(playback) => {
            state.playback = Some(playback);
            state.dirty = state.dirty.max(Dirty::Soon);
            Vec::new()
        }
        Action::Resize(width, height) => {
            state.size = (width, height);
            state.dirty = Dirty::Now;
            Vec::new()
        }
        Action::Saved(saving) => {
            outcome::saved(state, *saving);
            Vec::new()
        }
        Action::Counted { text, tokens } => {
            state.screens.text.counted = Some((text, tokens));
            state.dirty = Dirty::Now;
            Vec::new()
        }
        Action::Taken { path, then, otherwise } => {
            state.dirty = Dirty::Now;
            state.overlay = Some(Overlay::Question(Confirmation {
                sentence: format!("{} is there already. Replace it?", path.display()),
                then: vec![*then],
                otherwise: otherwise.into_iter().map(|effect| *effect).collect(),
            }));
            Vec::new()
        }
        Action::Listed(folder, listing) => {
            if let Some(Overlay::Path(prompt)) = &mut state.overlay {
                prompt.take(folder, listing);
                state.dirty = Dirty::Now;
            }
            Vec::new()
        }
        Action::LookedFor { purpose, typed, trouble } => {
            state.dirty = Dirty::Now;
            files::looked_for(state, purpose, &typed, trouble);
            Vec::new()
        }
        Action::Recalled(recent) => {
            state.recent = recent;
            Vec::new()
        }
        Action::PlanRead { info, window, to } => files::opened(state, *info, window, to),
        Action::ModelLoading(name, share) => {
            state.loading = Some((name, share));
            state.dirty = state.dirty.max(Dirty::Soon);
            Vec::new()
        }
        Action::ModelRefused(sentence) => {
            state.loading = None;
            state.tell(sentence, true);
            Vec::new()
        }
        Action::ModelChanged { name, prompt, quiz } => {
            state.quiz = quiz;
            files::changed_model(state, name, prompt);
            Vec::new()
        }
        Action::Configured(look) => settings::take(state, *look),
        Action::TerminalTold(look, shows_pictures) => {
            settings::terminal_told(state, *look, shows_pictures)
        }
        Action::Themed(palette) => {
            match palette {
                Ok(palette) => state.use_palette(palette),
                Err(sentence) => state.tell(sentence, true),
            }
            Vec::new()
        }
        Action::Linked(path) => {
            if let Some(toast) = &mut state.toast {
                toast.link = Some(path);
            }
            Vec::new()
        }
        Action::Tell { sentence, failed } => {
            state.tell(sentence, failed);
            Vec::new()
        }
        Action::Key(key) => {
            state.dirty = Dirty::Now;
            press(state, key)
        }
        Action::Mouse(event) => mouse::take(state, event),
        Action::Paste(text) => {
            state.dirty = Dirty::Now;
            // Terminals send the end of a line as a carriage return, as the Enter key does.
            let text = text.replace("\r\n", "\n").replace('\r', "\n");
            if let Some(Overlay::Path(prompt)) = &mut state.overlay {
                prompt.begin_typing(true);
            }
            if let Some(list) = state.list_mut() {
                editing::paste_in_line(&mut list.input, &text, usize::MAX);
                list.selected = 0;
            } else if state.overlay.is_none()
                && let Some(typing) = &state.screen.parts().typing
            {
                (typing.take)(state, Typed::Paste(text));
            }
            Vec::new()
        }
        Action::Do(command) => {
            state.dirty = Dirty::Now;
            run(state, command)
        }
    }
}

/// A key: a command of the focused part, or typed text where that takes text.
fn press(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    // Some terminals report key releases too.
    if key.kind == KeyEventKind::Release {
        return Vec::new();
    }
    state.forget_read();
    // What was explained closes with any key; one that only closes does nothing else.
    let was_open = state.explained.take().is_some();
    let context = state.context();
    let own = state.keys.command(context, &key);
    if was_open && matches!(own, Some(Command::Explain | Command::Back)) {
        return Vec::new();
    }
    if story::is_here(state)
        && let Some(command) = state.keys.own(KeyContext::Story, &key)
    {
        return run(state, command);
    }
    if let Some(command) = state.keys.command(context, &key) {
        return run(state, command);
    }
    if let Some(Overlay::Path(prompt)) = &mut state.overlay {
        let is_letter = matches!(key.code, KeyCode::Char(_))
            && !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
        let takes_away = matches!(key.code, KeyCode::Backspace | KeyCode::Delete);
        prompt.begin_typing(is_letter || takes_away);
    }
    if let Some(list) = state.list_mut() {
        if editing::key_in_line(&mut list.input, &key, usize::MAX) {
            list.selected = 0;
        }
    } else if context.takes_text()
        && context != KeyContext::Confirm
        && let Some(typing) = &state.screen.parts().typing
    {
        (typing.take)(state, Typed::Key(key));
    }
    Vec::new()
}

#[cfg(test)]
mod tests;

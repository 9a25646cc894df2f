//! What an action changes. Pure: it uses no clock, file or channel. Side effects are returned.

use ratatui::crossterm::event::{Event as TerminalEvent, KeyEvent, KeyEventKind};
use tui_input::backend::crossterm::EventHandler;

use crate::tui::app::action::{Action, Command, Effect};
use crate::tui::app::run::Phase;
use crate::tui::app::state::{Dirty, List, Overlay, State};
use crate::tui::app::{areas, cursor, engine, mouse, palette, steer};
use crate::tui::export::take;
use crate::tui::screen::tune::{edit, outcome};
use crate::tui::screen::{Screen, Typed, learn};

/// Applies an action to the state and returns the effects to perform.
pub fn update(state: &mut State, action: Action) -> Vec<Effect> {
    let mut effects = apply(state, action);
    if let Some(after) = state.screen.parts().after {
        effects.extend(after(state));
    }
    effects
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
        Action::Learning(notice) => {
            learn::update::take(state, *notice);
            Vec::new()
        }
        Action::ReplayEnded => {
            state.phase = Phase::Paused;
            state.tell("end of the recording", false);
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
            if let Some(list) = list_mut(state) {
                text.chars().filter(|c| !c.is_control()).for_each(|c| {
                    list.input.handle(tui_input::InputRequest::InsertChar(c));
                });
                list.selected = 0;
            } else if let Some(typing) = &state.screen.parts().typing {
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
    let context = state.context();
    if let Some(command) = state.keys.command(context, &key) {
        return run(state, command);
    }
    if let Some(list) = list_mut(state) {
        if list.input.handle_event(&TerminalEvent::Key(key)).is_some_and(|change| change.value) {
            list.selected = 0;
        }
    } else if context.takes_text()
        && let Some(typing) = &state.screen.parts().typing
    {
        (typing.take)(state, Typed::Key(key));
    }
    Vec::new()
}

/// The open list.
pub fn list_mut(state: &mut State) -> Option<&mut List> {
    match state.overlay.as_mut()? {
        Overlay::Help(list) | Overlay::Palette(list) | Overlay::Find(list) => Some(list),
    }
}

/// Runs a command: the current screen is asked first, then what all screens share. A command that
/// neither claims does nothing.
pub fn run(state: &mut State, command: Command) -> Vec<Effect> {
    let quits = matches!(command, Command::Quit | Command::QuitWithSummary);
    if !quits && let Some(tuning) = &mut state.screens.tune {
        tuning.quit_asked = false;
    }
    if state.overlay.is_some() && command != Command::Quit {
        return palette::run_in_list(state, command);
    }
    if quits {
        let summary = command == Command::QuitWithSummary;
        return if outcome::asks_first(state) {
            Vec::new()
        } else {
            vec![Effect::Quit { summary }]
        };
    }
    // The log closes before the screen is left, but text input is left before the log closes.
    if command == Command::Back && state.log_open && !state.context().takes_text() {
        state.log_open = false;
        return Vec::new();
    }
    let own = (state.screen.parts().update)(state, command);
    own.unwrap_or_else(|| shared(state, command))
}

/// Runs a command that works on every screen.
fn shared(state: &mut State, command: Command) -> Vec<Effect> {
    match command {
        Command::Suspend => return vec![Effect::Suspend],
        Command::Redraw => return vec![Effect::Redraw],
        Command::Back => state.screen = Screen::Map,
        Command::Help => state.overlay = Some(Overlay::Help(List::default())),
        Command::Palette => state.overlay = Some(Overlay::Palette(List::default())),
        Command::Export => {
            let input = tui_input::Input::from("export ".to_owned());
            state.overlay = Some(Overlay::Palette(List { input, selected: 0 }));
        }
        Command::Log => state.log_open = !state.log_open,
        Command::Show(screen) => state.screen = screen,
        Command::Panel => state.panel = Some(areas::areas(state).side.is_none()),
        Command::Pause => return steer::pause(state),
        Command::StepForward => return steer::step(state),
        Command::StepBack => return steer::step_back(state),
        Command::Rerun => return state.rerun(),
        Command::Colormap => state.theme = state.theme.with_colormap(state.theme.colormap.next()),
        Command::Copy => return take::copy(state),
        Command::Undo | Command::Redo | Command::SaveMask => return edit::edit(state, command),
        Command::NextLayer | Command::PrevLayer | Command::NextHead | Command::PrevHead => {
            return cursor::go(state, command);
        }
        // The other commands belong to screens, and the current one did not claim them.
        _ => {}
    }
    Vec::new()
}

#[cfg(test)]
mod tests;

//! What an action changes. Pure: no clock, no file, no channel; what touches the world is returned
//! as effects.

pub mod ab;
mod engine;
mod export;
mod find;
mod learn;
mod mouse;
mod navigate;
mod palette;
mod prompt;
mod tune;
mod tune_mouse;

pub use find::Query;
pub use palette::{Does, Entry, entries};
pub use prompt::{SETTINGS, Setting};

use ratatui::crossterm::event::{Event as TerminalEvent, KeyEvent, KeyEventKind};
use tui_input::backend::crossterm::EventHandler;

use crate::decode::worker::{Command as Order, Start};
use crate::tui::action::{Action, Command, Effect, Replay};
use crate::tui::keys::Context;
use crate::tui::state::{
    Dirty, Level, List, Metric, Overlay, Phase, RunView, Screen, State, Toast,
};

/// How long a message stays, in milliseconds.
const TOAST_MS: f64 = 4_000.0;

/// Changes the state as the action asks and returns what remains to be done outside.
pub fn update(state: &mut State, action: Action) -> Vec<Effect> {
    let mut effects = apply(state, action);
    if state.screen == Screen::Ab {
        effects.extend(ab::ask(state));
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
            learn::take(state, *notice);
            Vec::new()
        }
        Action::ReplayEnded => {
            state.phase = Phase::Paused;
            tell(state, "end of the recording", false);
            Vec::new()
        }
        Action::Resize(width, height) => {
            state.size = (width, height);
            state.dirty = Dirty::Now;
            Vec::new()
        }
        Action::Saved(saving) => {
            tune::saved(state, *saving);
            Vec::new()
        }
        Action::Tell { sentence, failed } => {
            tell(state, sentence, failed);
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
            } else if let Some(input) = &mut state.learning.typing {
                text.chars().filter(|c| !c.is_control()).for_each(|c| {
                    input.handle(tui_input::InputRequest::InsertChar(c));
                });
            } else if state.screen == Screen::Text {
                state.editing = true;
                state.editor.insert_str(text);
            }
            Vec::new()
        }
        Action::Do(command) => {
            state.dirty = Dirty::Now;
            run(state, command)
        }
    }
}

/// A key: a command of the focus, or text where the focus takes text.
fn press(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    // Some terminals tell releases too.
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
    } else if let (Context::Field, Some(input)) = (context, &mut state.learning.typing) {
        input.handle_event(&TerminalEvent::Key(key));
    } else if context.takes_text() {
        state.editor.input(key);
    }
    Vec::new()
}

/// The list of the overlay at hand.
fn list_mut(state: &mut State) -> Option<&mut List> {
    match state.overlay.as_mut()? {
        Overlay::Help(list) | Overlay::Palette(list) | Overlay::Find(list) => Some(list),
    }
}

/// Shows a message for a while.
pub(super) fn tell(state: &mut State, sentence: impl Into<String>, failed: bool) {
    let sentence = sentence.into();
    state.toast = Some(Toast { sentence, failed, until_ms: state.now_ms + TOAST_MS });
    state.dirty = Dirty::Now;
}

/// Does a command.
pub(super) fn run(state: &mut State, command: Command) -> Vec<Effect> {
    let quits = matches!(command, Command::Quit | Command::QuitWithSummary);
    if !quits && let Some(tuning) = &mut state.tuning {
        tuning.quit_asked = false;
    }
    if state.overlay.is_some() && command != Command::Quit {
        return palette::run_in_list(state, command);
    }
    match command {
        _ if quits && tune::asks_first(state) => {}
        Command::Quit => return vec![Effect::Quit { summary: false }],
        Command::QuitWithSummary => return vec![Effect::Quit { summary: true }],
        Command::Suspend => return vec![Effect::Suspend],
        Command::Redraw => return vec![Effect::Redraw],
        Command::Back => back(state),
        Command::Help => state.overlay = Some(Overlay::Help(List::default())),
        Command::Palette => state.overlay = Some(Overlay::Palette(List::default())),
        Command::Find => state.overlay = Some(Overlay::Find(List::default())),
        Command::Export => {
            let input = tui_input::Input::from("export ".to_owned());
            state.overlay = Some(Overlay::Palette(List { input, selected: 0 }));
        }
        Command::Log => state.log_open = !state.log_open,
        Command::ShowMap => state.screen = Screen::Map,
        Command::ShowHead => state.screen = Screen::Head,
        Command::ShowAb => state.screen = Screen::Ab,
        Command::ShowTune => state.screen = Screen::Tune,
        Command::ShowPerf => state.screen = Screen::Perf,
        Command::ShowLearn => state.screen = Screen::Learn,
        Command::ShowText => state.screen = Screen::Text,
        Command::Panel => {
            let areas = crate::tui::geometry::areas(state);
            let shown = match state.screen {
                Screen::Tune => crate::tui::geometry::tune(state, areas.main).layers.is_some(),
                _ => areas.side.is_some(),
            };
            state.panel = Some(!shown);
        }
        Command::Learn | Command::ResumeLearning | Command::CancelLearning => {
            return learn::order(state, command);
        }
        Command::ApplyLearned => return learn::apply(state),
        _ if state.screen == Screen::Learn && learn::takes(command) => learn::edit(state, command),
        Command::Pause => return pause(state),
        Command::StepForward => return step(state),
        Command::StepBack if state.replay => return vec![Effect::Replay(Replay::Back)],
        Command::StepBack => return ab::rewind(state, state.run.pairs.len().saturating_sub(1)),
        Command::Rerun => return rerun(state),
        Command::Metric => next_metric(state),
        Command::Scale => state.scales[state.metric as usize] = state.scale().next(),
        Command::Colormap => state.theme = state.theme.with_colormap(state.theme.colormap.next()),
        Command::Flip
        | Command::FlipHead
        | Command::LockHead
        | Command::LockLayer
        | Command::Undo
        | Command::Redo
        | Command::Reset
        | Command::SaveMask => return tune::edit(state, command),
        _ if state.screen == Screen::Tune && tune::takes(command) => {
            return tune::run(state, command);
        }
        Command::Diff if state.diff => tune::end_difference(state),
        Command::Diff if state.other.is_some() => state.diff = true,
        Command::Diff => {
            tell(state, "no second mask to compare with: start with --diff FILE", false)
        }
        Command::Copy => return export::copy(state),
        Command::EditPrompt => (state.screen, state.editing) = (Screen::Text, true),
        Command::Submit => return prompt::submit(state),
        Command::Less | Command::More if state.screen == Screen::Ab => {
            return ab::go(state, command);
        }
        Command::Less => prompt::change(state, -1),
        Command::More => prompt::change(state, 1),
        Command::Mark => {
            state.mark = Some(state.at);
            tell(state, "marked; ' comes back here", false);
        }
        other => return navigate::go(state, other),
    }
    Vec::new()
}

/// One level out.
fn back(state: &mut State) {
    if state.learning.typing.take().is_some() {
        // The field is as it was.
    } else if state.editing {
        state.editing = false;
    } else if state.log_open {
        state.log_open = false;
    } else if let Some(tuning) = state
        .tuning
        .as_mut()
        .filter(|tuning| state.screen == Screen::Tune && tuning.cursor.is_some())
    {
        tuning.cursor = None;
    } else if state.screen == Screen::Head {
        (state.screen, state.level) = (Screen::Map, Level::Layer);
    } else if state.screen != Screen::Map {
        state.screen = Screen::Map;
    } else if state.level == Level::Layer {
        state.level = Level::Model;
    }
}

fn pause(state: &mut State) -> Vec<Effect> {
    let resume = match state.phase {
        Phase::Paused => true,
        Phase::Running | Phase::Prefill(_) => false,
        Phase::Finished(_) | Phase::Failed(_) if !state.replay => {
            tell(state, "the run is over: r runs it again", false);
            return Vec::new();
        }
        _ => return Vec::new(),
    };
    if state.replay {
        state.phase = if resume { Phase::Running } else { Phase::Paused };
        return vec![Effect::Replay(if resume { Replay::Resume } else { Replay::Pause })];
    }
    vec![Effect::Engine(if resume { Order::Resume } else { Order::Pause })]
}

fn step(state: &mut State) -> Vec<Effect> {
    if state.replay {
        state.phase = Phase::Paused;
        return vec![Effect::Replay(Replay::Forward)];
    }
    match state.phase {
        Phase::Running | Phase::Paused => vec![Effect::Engine(Order::Step(1))],
        _ => Vec::new(),
    }
}

/// Starts the planned run; events of the one before are stale from now on.
pub(super) fn rerun(state: &mut State) -> Vec<Effect> {
    if state.replay {
        return vec![Effect::Replay(Replay::Restart)];
    }
    let Some(model) = state.model.as_mut() else { return Vec::new() };
    model.forget_run();
    if let Some(tuning) = &mut state.tuning {
        tuning.sweep.stop();
    }
    let generation = state.run.generation + 1;
    state.run = RunView::new(generation);
    state.phase = Phase::Prefill(0.0);
    state.scroll = 0;
    (state.ab.cursor, state.ab.asked) = (None, None);
    let plan = state.plan.clone();
    let start =
        Start { generation, prompt: plan.prompt, sampling: plan.sampling, max_new: plan.max_new };
    vec![Effect::Engine(Order::Start(Box::new(start)))]
}

/// The next metric that has numbers.
fn next_metric(state: &mut State) {
    let Some(model) = &state.model else { return };
    let all = Metric::ALL;
    let at = state.shown_metric().map_or(0, |metric| metric as usize);
    let next = (1..=all.len())
        .map(|offset| all[(at + offset) % all.len()])
        .find(|&metric| model.has(metric));
    state.metric = next.unwrap_or(state.metric);
    state.diff = false;
}

#[cfg(test)]
mod learn_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tune_tests;

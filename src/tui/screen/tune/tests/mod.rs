//! Every key and the mouse of the tune screen, and properties of any settings.

mod controls;
mod edits;
mod engine;
mod frames;
mod plans;
mod points;
mod saving;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ratatui::crossterm::event::{
    KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use crate::decode::worker::event::{Event, Retuned, Subject};
use crate::decode::worker::{EngineOrder as Order, Envelope, Retune, Trial};
use crate::mask::files::{Contents, Split};
use crate::mask::select::{Budget, Options, select};
use crate::mask::{CachePlan, ChannelMask, Importance, Rule, Window, files};
use crate::tui::app::action::{Action, Command, Effect};
use crate::tui::app::state::{Overlay, State};
use crate::tui::app::table::Metric;
use crate::tui::app::update::update;
use crate::tui::color::ColorDepth;
use crate::tui::screen::Screen;
use crate::tui::screen::tune::state::{
    Against, Base, Control, Draft, Freshness, Goal, STEPS, Set, Tuning, propose,
};
use crate::tui::testing::{LARGE, SMALL, answer, blank, draw, info, measured, send, session, text};
use crate::tui::widget::Scatter;

fn ready() -> State {
    let mut state = session(SMALL, ColorDepth::True);
    state.screen = Screen::Tune;
    state
}

fn key(state: &mut State, code: KeyCode) -> Vec<Effect> {
    update(state, Action::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn press(state: &mut State, letter: char) -> Vec<Effect> {
    key(state, KeyCode::Char(letter))
}

fn ctrl(state: &mut State, letter: char) -> Vec<Effect> {
    update(state, Action::Key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL)))
}

fn say(state: &mut State, words: &str) -> Vec<Effect> {
    update(state, Action::Do(Command::Palette));
    for letter in words.chars() {
        press(state, letter);
    }
    key(state, KeyCode::Enter)
}

fn tuning(state: &State) -> &Tuning {
    state.screens.tune.as_ref().expect("a model is loaded")
}

fn retune(effects: &[Effect]) -> &Retune {
    match effects {
        [Effect::Engine(Order::Retune(retune))] => retune,
        other => panic!("expected one change of the mask, found {other:?}"),
    }
}

fn select_control(state: &mut State, control: Control) {
    state.screens.tune.as_mut().expect("a model is loaded").control = control;
}

fn trials(effects: &[Effect]) -> Vec<Trial> {
    match effects {
        [Effect::Engine(Order::Sweep(trials))] => trials.clone(),
        other => panic!("expected a sweep, found {other:?}"),
    }
}

/// The importance that the test model's mask is selected from.
fn importance() -> Importance {
    Importance::new(SMALL, info(SMALL).mask.unwrap().importance.unwrap()).unwrap()
}

//! The keys and the mouse of the map and its layer level.

use crate::tui::app::action::{Command, Effect};
use crate::tui::app::place::Place;
use crate::tui::app::state::{List, OtherMask, Overlay, State};
use crate::tui::app::{areas, find};
use crate::tui::screen::map::layout;
use crate::tui::screen::map::state::Level;
use crate::tui::screen::tune::edit::edit;
use crate::tui::screen::{Press, Screen, Wheel};

/// Range of the zoom, in doublings of the column width.
const ZOOMS: std::ops::RangeInclusive<i8> = -3..=3;

/// Runs a command of the screen.
pub fn update(state: &mut State, command: Command) -> Option<Vec<Effect>> {
    let before = state.at;
    match command {
        Command::Metric => state.next_metric(),
        Command::Scale => state.next_scale(),
        Command::Diff => difference(state),
        Command::Find => state.overlay = Some(Overlay::Find(List::default())),
        Command::Mark => state.mark(),
        Command::Jump => state.jump(),
        Command::Flip
        | Command::FlipHead
        | Command::ChannelNarrower
        | Command::ChannelWider
        | Command::KNarrower
        | Command::KWider
        | Command::VNarrower
        | Command::VWider
        | Command::LayerNarrower
        | Command::LayerWider
        | Command::LockHead
        | Command::LockLayer
        | Command::Reset => return Some(edit(state, command)),
        Command::Back if state.screens.map.level == Level::Layer => {
            state.screens.map.level = Level::Model;
        }
        Command::Open
        | Command::FindNext
        | Command::FindPrev
        | Command::Up
        | Command::Down
        | Command::Left
        | Command::Right
        | Command::First
        | Command::Last
        | Command::HalfUp
        | Command::HalfDown
        | Command::ZoomIn
        | Command::ZoomOut
        | Command::ZoomReset => go(state, command),
        _ => return None,
    }
    Some(state.watch(before))
}

/// Commands that need a loaded model.
fn go(state: &mut State, command: Command) {
    if state.model.is_none() {
        return;
    }
    let zoom = state.screens.map.zoom;
    match command {
        Command::Open => open(state),
        Command::FindNext => find::next(state, 1),
        Command::FindPrev => find::next(state, -1),
        Command::ZoomIn => state.screens.map.zoom = (zoom + 1).min(*ZOOMS.end()),
        Command::ZoomOut => state.screens.map.zoom = (zoom - 1).max(*ZOOMS.start()),
        Command::ZoomReset => state.screens.map.zoom = 0,
        _ => match state.screens.map.level {
            Level::Model => step(state, command),
            Level::Layer => step_in_layer(state, command),
        },
    }
}

/// Arrow keys, first, last and half pages over all layers.
fn step(state: &mut State, command: Command) {
    let half_page = (areas::areas(state).main.height / 2).max(1) as isize;
    match command {
        Command::Up => state.move_layer(-1),
        Command::Down => state.move_layer(1),
        Command::Left => state.move_head(-1),
        Command::Right => state.move_head(1),
        Command::First => state.move_layer(isize::MIN),
        Command::Last => state.move_layer(isize::MAX),
        Command::HalfUp => state.move_layer(-half_page),
        Command::HalfDown => state.move_layer(half_page),
        _ => {}
    }
}

/// Arrow keys, first, last and half pages within a layer.
fn step_in_layer(state: &mut State, command: Command) {
    match command {
        Command::Up => state.move_head(-1),
        Command::Down => state.move_head(1),
        _ => state.move_along_pairs(command),
    }
}

/// Goes one level in.
fn open(state: &mut State) {
    match state.screens.map.level {
        Level::Model => state.screens.map.level = Level::Layer,
        Level::Layer => state.screen = Screen::Head,
    }
}

/// Switches the difference to the second mask on or off.
fn difference(state: &mut State) {
    if state.diff {
        end_difference(state);
    } else if state.other.is_some() {
        state.diff = true;
    } else {
        let opens = state.key(Command::DiffFile);
        let sentence = format!("nothing to compare with yet: {opens} opens a mask or plan for it");
        state.tell(sentence, false);
    }
}

/// Ends the difference. If the session was started with a mask to compare with, the next difference
/// uses that one again.
fn end_difference(state: &mut State) {
    state.diff = false;
    let Some(model) = &state.model else { return };
    if let Some(other) =
        model.info.other.as_ref().filter(|other| other.plan.shape() == model.shape())
    {
        state.other = Some(OtherMask { label: other.label.clone(), plan: other.plan.clone() });
    }
}

/// The wheel moves up and down; with Ctrl it zooms.
pub fn wheel(_: &State, wheel: Wheel) -> Option<Command> {
    Some(match (wheel.ctrl, wheel.up) {
        (true, true) => Command::ZoomIn,
        (true, false) => Command::ZoomOut,
        (false, true) => Command::Up,
        (false, false) => Command::Down,
    })
}

/// A press selects; a second press goes one level in.
pub fn press(state: &mut State, press: Press) -> Vec<Effect> {
    let before = state.at;
    let Some((layer, head, channel)) = layout::map_hit(state, press.x, press.y) else {
        return Vec::new();
    };
    state.at = Place { layer, head, channel };
    if press.is_double {
        open(state);
    }
    state.watch(before)
}

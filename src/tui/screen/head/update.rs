//! The keys and the mouse of the head screen.

use crate::tui::app::action::{Command, Effect};
use crate::tui::app::areas;
use crate::tui::app::state::State;
use crate::tui::screen::head::layout;
use crate::tui::screen::map::state::Level;
use crate::tui::screen::tune::edit::edit;
use crate::tui::screen::{Press, Screen, Wheel};

/// Runs a command of the screen.
pub fn update(state: &mut State, command: Command) -> Option<Vec<Effect>> {
    let before = state.at;
    match command {
        Command::Up | Command::Down => other_half(state),
        Command::Left
        | Command::Right
        | Command::First
        | Command::Last
        | Command::HalfUp
        | Command::HalfDown => state.move_along_pairs(command),
        Command::Metric => state.next_metric(),
        Command::Scale => state.next_scale(),
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
        Command::Back => (state.screen, state.screens.map.level) = (Screen::Map, Level::Layer),
        _ => return None,
    }
    Some(state.watch(before))
}

/// Moves to the other channel of the pair.
fn other_half(state: &mut State) {
    let Some(shape) = state.shape() else { return };
    state.at.channel = shape.partner(state.at.channel).unwrap_or(state.at.channel);
}

/// The wheel moves along the frequencies.
pub fn wheel(_: &State, wheel: Wheel) -> Option<Command> {
    Some(if wheel.up { Command::Left } else { Command::Right })
}

/// A press selects the pair, and keeps the half of the head.
pub fn press(state: &mut State, press: Press) -> Vec<Effect> {
    let Some(shape) = state.shape() else { return Vec::new() };
    let chart = layout::head_chart(state, areas::areas(state).main, shape);
    if let Some(pair) = chart.pair_at(press.x, press.y) {
        let half = if state.at.channel >= shape.pairs() { shape.pairs() } else { 0 };
        state.at.channel = pair + half;
    }
    Vec::new()
}

//! The keys and the mouse of the head screen.

use crate::decode::attended::{AskedRange, MOST_STEPS};
use crate::decode::worker::EngineOrder;
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
        Command::Open => state.screens.head.open(),
        Command::Less => query(state, -1),
        Command::More => query(state, 1),
        Command::Back if state.screens.head.is_open() => state.screens.head.close(),
        Command::Back => (state.screen, state.screens.map.level) = (Screen::Map, Level::Layer),
        _ => return None,
    }
    Some(state.watch(before))
}

/// Another query head of the group.
fn query(state: &mut State, by: isize) {
    let group = state.model.as_ref().map_or(1, |model| model.group());
    state.screens.ab.query = state.screens.ab.query.saturating_add_signed(by).min(group - 1);
}

/// Asks the engine for the attention of the last steps, where the picture is open and another head
/// or range is wanted.
pub fn ask(state: &mut State) -> Vec<Effect> {
    let Some(wanted) = wanted(state) else { return Vec::new() };
    match state.screens.head.ask(wanted) {
        true => vec![Effect::Engine(EngineOrder::Attend(wanted))],
        false => Vec::new(),
    }
}

/// The head at hand, and the last steps up to the token of A/B's cursor.
fn wanted(state: &State) -> Option<AskedRange> {
    let model = state.model.as_ref().filter(|model| !model.info.solo && !state.replay)?;
    let cursor = last_token(state);
    let to = (2..=cursor.min(state.run.pairs.len()))
        .rev()
        .find(|&n| state.run.is_step(n) && state.run.pairs.together_before(n))?;
    let first = (to + 1).saturating_sub(MOST_STEPS).max(2);
    let from = (first..=to).find(|&n| state.run.is_step(n))?;
    let group = model.group();
    let head = state.at.head * group + state.screens.ab.query.min(group - 1);
    Some(AskedRange { layer: state.at.layer, head, steps: (from, to) })
}

/// The last token that the picture is to show: the cursor of A/B, or the newest.
pub fn last_token(state: &State) -> usize {
    let cursor = state.screens.ab.cursor.filter(|_| !state.screens.head.is_of_newest());
    cursor.unwrap_or(state.run.pairs.len())
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

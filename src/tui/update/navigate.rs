//! Moving through layers, heads and channels.

use crate::decode::worker::Command as Order;
use crate::mask::Shape;
use crate::tui::action::{Command, Effect};
use crate::tui::geometry;
use crate::tui::state::{Level, Place, Screen, State};
use crate::tui::update::{ab, find};

/// Pairs of half a page on the head screen.
const HALF_PAGE: isize = 8;
/// Doublings of the column width either way.
const ZOOMS: std::ops::RangeInclusive<i8> = -3..=3;

/// Does a command that moves; others change nothing.
pub fn go(state: &mut State, command: Command) -> Vec<Effect> {
    if state.screen == Screen::Text {
        scroll(state, command);
        return Vec::new();
    }
    let Some(shape) = state.model.as_ref().map(|model| model.shape()) else { return Vec::new() };
    let of_head = [Command::NextLayer, Command::PrevLayer, Command::NextHead, Command::PrevHead];
    if state.screen == Screen::Ab && !of_head.contains(&command) {
        return ab::go(state, command);
    }
    let before = state.at;
    match command {
        Command::NextLayer => layer(state, shape, 1),
        Command::PrevLayer => layer(state, shape, -1),
        Command::NextHead => head(state, shape, 1),
        Command::PrevHead => head(state, shape, -1),
        Command::Open => open(state),
        Command::ZoomIn => state.zoom = (state.zoom + 1).min(*ZOOMS.end()),
        Command::ZoomOut => state.zoom = (state.zoom - 1).max(*ZOOMS.start()),
        Command::ZoomReset => state.zoom = 0,
        Command::FindNext => find::next(state, 1),
        Command::FindPrev => find::next(state, -1),
        Command::Jump => {
            if let Some(mark) = state.mark.replace(state.at) {
                state.at = mark;
            }
        }
        Command::Up | Command::Down if state.screen == Screen::Head => other_half(state, shape),
        other => step(state, shape, other),
    }
    watch(state, before)
}

/// Tells the engine where to look after the place changed.
pub fn watch(state: &mut State, before: Place) -> Vec<Effect> {
    if (before.layer, before.head) == (state.at.layer, state.at.head) {
        return Vec::new();
    }
    state.run.head = None;
    if state.replay {
        return Vec::new();
    }
    vec![Effect::Engine(Order::Watch { layer: state.at.layer, head: state.at.head })]
}

/// Arrow keys, ends and half pages on the level at hand.
fn step(state: &mut State, shape: Shape, command: Command) {
    let on_model = state.screen == Screen::Map && state.level == Level::Model;
    match command {
        Command::Up if on_model => layer(state, shape, -1),
        Command::Down if on_model => layer(state, shape, 1),
        Command::Up => head(state, shape, -1),
        Command::Down => head(state, shape, 1),
        Command::Left if on_model => head(state, shape, -1),
        Command::Right if on_model => head(state, shape, 1),
        Command::Left => pair(state, shape, -1),
        Command::Right => pair(state, shape, 1),
        Command::First if on_model => state.at.layer = 0,
        Command::Last if on_model => state.at.layer = shape.layers - 1,
        Command::First => pair(state, shape, -(shape.pairs() as isize)),
        Command::Last => pair(state, shape, shape.pairs() as isize),
        Command::HalfUp if on_model => layer(state, shape, -half_page(state)),
        Command::HalfDown if on_model => layer(state, shape, half_page(state)),
        Command::HalfUp => pair(state, shape, -HALF_PAGE),
        Command::HalfDown => pair(state, shape, HALF_PAGE),
        _ => {}
    }
}

fn half_page(state: &State) -> isize {
    (geometry::areas(state).main.height / 2).max(1) as isize
}

fn moved(at: usize, by: isize, all: usize) -> usize {
    at.saturating_add_signed(by).min(all.saturating_sub(1))
}

fn layer(state: &mut State, shape: Shape, by: isize) {
    state.at.layer = moved(state.at.layer, by, shape.layers);
}

fn head(state: &mut State, shape: Shape, by: isize) {
    state.at.head = moved(state.at.head, by, shape.kv_heads);
}

/// Moves along the frequencies within the half of the channel at hand.
fn pair(state: &mut State, shape: Shape, by: isize) {
    let pairs = shape.pairs().max(1);
    let half = state.at.channel / pairs * pairs;
    state.at.channel = (half + moved(state.at.channel % pairs, by, pairs)).min(shape.head_dim - 1);
}

fn other_half(state: &mut State, shape: Shape) {
    state.at.channel = shape.partner(state.at.channel).unwrap_or(state.at.channel);
}

/// One level in.
pub fn open(state: &mut State) {
    match (state.screen, state.level) {
        (Screen::Map, Level::Model) => state.level = Level::Layer,
        (Screen::Map, Level::Layer) => state.screen = Screen::Head,
        _ => {}
    }
}

fn scroll(state: &mut State, command: Command) {
    let page = usize::from(state.size.1 / 2).max(1);
    let settings = crate::tui::update::SETTINGS.len();
    match command {
        Command::Up => state.setting = state.setting.saturating_sub(1),
        Command::Down => state.setting = (state.setting + 1).min(settings - 1),
        // The view cannot tell how long the wrapped text is; there are never more rows than
        // characters and line ends.
        Command::HalfUp => {
            let most = state.run.pieces.iter().map(|piece| piece.text.len() + 1).sum();
            state.scroll = (state.scroll + page).min(most);
        }
        Command::HalfDown => state.scroll = state.scroll.saturating_sub(page),
        Command::Last => state.scroll = 0,
        _ => {}
    }
}

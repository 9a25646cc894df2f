//! The place that is looked at: moving through layers, heads and channels.

use crate::decode::worker::EngineOrder as Order;
use crate::mask::Shape;
use crate::tui::app::action::{Command, Effect};
use crate::tui::app::state::State;

/// Pairs of half a page.
pub const HALF_PAGE: isize = 8;

/// The place that is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Layer.
    pub layer: usize,
    /// KV head.
    pub head: usize,
    /// Channel.
    pub channel: usize,
}

/// Does a command that moves to another layer or head, whatever the screen shows of it.
pub fn go(state: &mut State, command: Command) -> Vec<Effect> {
    let before = state.at;
    match command {
        Command::NextLayer => state.move_layer(1),
        Command::PrevLayer => state.move_layer(-1),
        Command::NextHead => state.move_head(1),
        Command::PrevHead => state.move_head(-1),
        _ => {}
    }
    state.watch(before)
}

fn moved(at: usize, by: isize, all: usize) -> usize {
    at.saturating_add_signed(by).min(all.saturating_sub(1))
}

impl State {
    /// The axes of the model, once there is one.
    pub fn shape(&self) -> Option<Shape> {
        self.model.as_ref().map(|model| model.shape())
    }

    /// Moves through the layers.
    pub fn move_layer(&mut self, by: isize) {
        let Some(shape) = self.shape() else { return };
        self.at.layer = moved(self.at.layer, by, shape.layers);
    }

    /// Moves through the heads of the layer.
    pub fn move_head(&mut self, by: isize) {
        let Some(shape) = self.shape() else { return };
        self.at.head = moved(self.at.head, by, shape.kv_heads);
    }

    /// Moves along the frequencies within the half of the channel at hand.
    pub fn move_pair(&mut self, by: isize) {
        let Some(shape) = self.shape() else { return };
        let pairs = shape.pairs().max(1);
        let half = self.at.channel / pairs * pairs;
        self.at.channel =
            (half + moved(self.at.channel % pairs, by, pairs)).min(shape.head_dim - 1);
    }

    /// Moves along the frequencies as arrow keys, ends and half pages say; other commands change
    /// nothing.
    pub fn move_along_pairs(&mut self, command: Command) {
        let Some(shape) = self.shape() else { return };
        let all = shape.pairs() as isize;
        match command {
            Command::Left => self.move_pair(-1),
            Command::Right => self.move_pair(1),
            Command::First => self.move_pair(-all),
            Command::Last => self.move_pair(all),
            Command::HalfUp => self.move_pair(-HALF_PAGE),
            Command::HalfDown => self.move_pair(HALF_PAGE),
            _ => {}
        }
    }

    /// Remembers the place.
    pub fn mark(&mut self) {
        self.mark = Some(self.at);
        self.tell("marked; ' comes back here", false);
    }

    /// Goes to the remembered place and remembers the one before.
    pub fn jump(&mut self) {
        if self.model.is_none() {
            return;
        }
        if let Some(mark) = self.mark.replace(self.at) {
            self.at = mark;
        }
    }

    /// Tells the engine where to look after the place changed from `before`.
    pub fn watch(&mut self, before: Place) -> Vec<Effect> {
        if (before.layer, before.head) == (self.at.layer, self.at.head) {
            return Vec::new();
        }
        self.run.head = None;
        if self.replay {
            return Vec::new();
        }
        vec![Effect::Engine(Order::Watch { layer: self.at.layer, head: self.at.head })]
    }
}

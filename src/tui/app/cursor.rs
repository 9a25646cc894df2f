//! The selected place: moving through layers, heads and channels.

use crate::decode::worker::EngineOrder as Order;
use crate::mask::Shape;
use crate::tui::app::action::{Command, Effect};
use crate::tui::app::place::Place;
use crate::tui::app::state::State;

/// How many pairs half a page moves.
pub const HALF_PAGE: isize = 8;

/// Runs a command that moves to another layer or head, on any screen.
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
    /// Layers, KV heads and channels of the model, once it is loaded.
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

    /// Moves along the frequencies, within the half of the head that the channel is in.
    pub fn move_pair(&mut self, by: isize) {
        let Some(shape) = self.shape() else { return };
        let pairs = shape.pairs().max(1);
        let half = self.at.channel / pairs * pairs;
        self.at.channel =
            (half + moved(self.at.channel % pairs, by, pairs)).min(shape.head_dim - 1);
    }

    /// Moves along the frequencies for arrow keys, first, last and half pages. Other commands
    /// change nothing.
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
        let jump = self.key_on(self.screen, Command::Jump);
        self.tell(format!("marked; {jump} comes back here"), false);
    }

    /// Goes to the remembered place, and remembers the place it left.
    pub fn jump(&mut self) {
        if self.model.is_none() {
            return;
        }
        let Some(mark) = self.mark else {
            let mark = self.key_on(self.screen, Command::Mark);
            return self.tell(format!("no place is marked yet: {mark} marks one"), false);
        };
        self.mark = Some(self.at);
        self.at = mark;
    }

    /// Tells the engine which head to watch after the place changed from `before`.
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

//! Controlling the current run, or the playback of a recording.

use crate::decode::worker::{EngineOrder as Order, Start};
use crate::tui::app::action::{Effect, ReplayOrder};
use crate::tui::app::run::{Phase, RunView};
use crate::tui::app::state::State;
use crate::tui::app::story;
use crate::tui::screen::ab::update::rewind;

/// Pauses or continues.
pub fn pause(state: &mut State) -> Vec<Effect> {
    let resume = match state.phase {
        Phase::Paused => true,
        Phase::Running | Phase::Prefill(_) => false,
        Phase::Finished(_) | Phase::Failed(_) if !state.replay => {
            state.tell("the run is over: r runs it again", false);
            return Vec::new();
        }
        _ => return Vec::new(),
    };
    if state.replay {
        state.phase = if resume { Phase::Running } else { Phase::Paused };
        return vec![Effect::Replay(if resume { ReplayOrder::Resume } else { ReplayOrder::Pause })];
    }
    vec![Effect::Engine(if resume { Order::Resume } else { Order::Pause })]
}

/// One step forward.
pub fn step(state: &mut State) -> Vec<Effect> {
    if state.replay {
        state.phase = Phase::Paused;
        return vec![Effect::Replay(ReplayOrder::Forward)];
    }
    match state.phase {
        Phase::Running | Phase::Paused => vec![Effect::Engine(Order::Step(1))],
        _ => Vec::new(),
    }
}

/// One token back.
pub fn step_back(state: &mut State) -> Vec<Effect> {
    if state.replay {
        return vec![Effect::Replay(ReplayOrder::Back)];
    }
    rewind(state, state.run.pairs.len().saturating_sub(1))
}

impl State {
    /// Starts the planned run. Events of the previous run are stale from then on.
    pub fn rerun(&mut self) -> Vec<Effect> {
        if self.replay {
            return vec![Effect::Replay(ReplayOrder::Restart)];
        }
        let Some(model) = self.model.as_mut() else { return Vec::new() };
        // It is about the run before.
        self.toast = None;
        model.forget_run();
        if let Some(tuning) = &mut self.screens.tune {
            tuning.sweep.stop();
        }
        let mut effects = match &self.story {
            Some(story) if !story.is_of(&self.plan.prompt) => story::end(self),
            _ => Vec::new(),
        };
        let generation = self.run.generation + 1;
        self.run = RunView::new(generation);
        self.phase = Phase::Prefill(0.0);
        self.screens.text.scroll = 0;
        (self.screens.ab.cursor, self.screens.ab.asked) = (None, None);
        let plan = self.plan.clone();
        let start = Start {
            generation,
            prompt: plan.prompt,
            sampling: plan.sampling,
            max_new: plan.max_new,
        };
        effects.push(Effect::Engine(Order::Start(Box::new(start))));
        effects
    }
}

//! Controlling the current run, or the playback of a recording.

use crate::decode::looping::Looping;
use crate::decode::sampler::Sampling;
use crate::decode::session::Finish;
use crate::decode::worker::{EngineOrder as Order, Start};
use crate::numbers;
use crate::tui::app::action::{Command, Effect, ReplayOrder};
use crate::tui::app::keys::KeyContext;
use crate::tui::app::run::{Phase, RunView};
use crate::tui::app::state::{Holds, State};
use crate::tui::app::story;
use crate::tui::screen::Screen;
use crate::tui::screen::ab::update::rewind;

/// Pauses or continues.
pub fn pause(state: &mut State) -> Vec<Effect> {
    let resume = match state.phase {
        Phase::Paused => true,
        Phase::Running | Phase::Prefill(_) => false,
        Phase::Finished(_) | Phase::Failed(_) if !state.replay => {
            let sentence = match (&state.phase, state.key(Command::Rerun)) {
                (Phase::Finished(Finish::EndToken), rerun) => {
                    let past = state.key(Command::GoOn);
                    format!(
                        "the model ended the text: {past} goes on past it, {rerun} runs it again"
                    )
                }
                (Phase::Finished(Finish::Context), _) => full_context(state),
                (Phase::Finished(Finish::MaxNew), rerun) => {
                    let text = state.key(Command::Show(Screen::Text));
                    let ask = state.key_on(Screen::Text, Command::Ask);
                    format!(
                        "the run is over: {rerun} runs it again, {ask} on Text ({text}) asks on"
                    )
                }
                (_, rerun) => format!("the run is over: {rerun} runs it again"),
            };
            state.tell_while(Holds::Over, sentence);
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

/// That nothing more fits, and the keys that go on all the same.
pub fn full_context(state: &State) -> String {
    format!("the context is full: {}", other_runs(state))
}

/// The keys of other runs, where the one at hand can take nothing more.
pub fn other_runs(state: &State) -> String {
    format!(
        "{} begins again with the first prompt, {} on Text ({}) types another",
        state.key(Command::Rerun),
        state.key_on(Screen::Text, Command::EditPrompt),
        state.key(Command::Show(Screen::Text))
    )
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

/// Temperature and repeat penalty that lead a greedy text out of a loop, one after the other: where
/// the first ones do not, the next ones are tried.
const LOOSER: [(f32, f32); 3] = [(0.8, 1.1), (1.0, 1.3), (1.3, 1.6)];

/// How tokens are chosen next where the text loops; `None` where nothing looser is left.
fn looser(state: &State) -> Option<Sampling> {
    let now = state.run.sampling().unwrap_or(&state.plan.sampling);
    let is_looser = |(temperature, penalty): &(f32, f32)| {
        *temperature > now.temperature || *penalty > now.repeat_penalty
    };
    let (temperature, repeat_penalty) = LOOSER.into_iter().find(is_looser)?;
    Some(Sampling {
        temperature: now.temperature.max(temperature),
        repeat_penalty: now.repeat_penalty.max(repeat_penalty),
        ..now.clone()
    })
}

/// The key that samples from here on, where the text loops, more of it can follow, and there is
/// something looser to sample with.
pub fn key_out_of_loop(state: &State) -> Option<String> {
    let can = !state.replay && !state.is_over() && looser(state).is_some();
    state.keys.key_of(KeyContext::Global, Command::GoOn).filter(|_| can)
}

/// Goes on past an end token, and samples from here on where the text loops.
pub fn go_on(state: &mut State) -> Vec<Effect> {
    if state.replay {
        state.tell(no_model("go on with"), false);
        return Vec::new();
    }
    let ended = state.phase == Phase::Finished(Finish::EndToken);
    let loops = state.run.looping().is_some();
    if !ended && !loops {
        let key = state.key(Command::Show(Screen::Text));
        state.tell(
            format!("the text neither loops nor ended early: Text ({key}) has the sampling"),
            false,
        );
        return Vec::new();
    }
    if state.is_over() && !ended {
        let (back, rerun) = (state.key(Command::StepBack), state.key(Command::Rerun));
        let sentence =
            format!("the run ended at its length: {back} goes back, {rerun} begins again");
        state.tell_while(Holds::Over, sentence);
        return Vec::new();
    }
    // Past the end of a text that loops there is only the loop.
    let sampling = if loops { looser(state) } else { None };
    if loops && sampling.is_none() && !ended {
        let (text, rerun) = (state.key(Command::Show(Screen::Text)), state.key(Command::Rerun));
        let temperature = state.run.sampling().map_or(0.0, |now| now.temperature);
        state.tell(
            format!("it loops at temperature {temperature} as well: Text ({text}) has the sampling, {rerun} begins again"),
            false,
        );
        return Vec::new();
    }
    let ignore_end =
        ended || state.run.went_on.as_ref().map_or(state.plan.ignore_end, |(_, ignores)| *ignores);
    let go_on = Order::GoOn { sampling, ignore_end };
    match state.phase {
        Phase::Paused => vec![Effect::Engine(go_on), Effect::Engine(Order::Resume)],
        _ => vec![Effect::Engine(go_on)],
    }
}

/// Says once for every loop that the text repeats itself.
pub fn tell_loop(state: &mut State) {
    let looping = state.run.looping();
    if looping.is_some() == state.run.loop_told {
        return;
    }
    state.run.loop_told = looping.is_some();
    // The header says so as well; a message about what the user did is more important.
    let is_free = !state.replay && state.toast.is_none();
    if let (Some(looping), true) = (looping, is_free) {
        let key = key_out_of_loop(state);
        state.tell_while(Holds::Looping, loop_words(looping, key.as_deref()));
    }
}

/// What is said of a text that repeats itself, and of the key that samples where one does.
fn loop_words(looping: Looping, key: Option<&str>) -> String {
    let what = match looping.period {
        1 => "the text repeats one token".to_owned(),
        period => format!("the text repeats the same {period} tokens"),
    };
    let samples = key.map(|key| format!(": {key} samples from here")).unwrap_or_default();
    format!("{what}, so its losses say little of other text{samples}")
}

/// The run is over: no key samples from there on, so a message about the loop that is still shown is
/// said anew without it.
pub fn loop_ended(state: &mut State) {
    let looping = state.run.looping();
    if let (Some(toast), Some(looping)) = (&mut state.toast, looping)
        && toast.holds == Holds::Looping
    {
        toast.sentence = loop_words(looping, None);
    }
}

/// Tokens that one key goes on or back in a recording.
pub const JUMP: isize = 10;

/// Percentages of a recording's speed that keys go through.
const SPEEDS: [u32; 8] = [10, 25, 50, 100, 200, 400, 800, 1600];

/// Steers the playback; without a recording there is none.
pub fn replay(state: &mut State, order: ReplayOrder) -> Vec<Effect> {
    if !state.replay {
        let back = state.key(Command::StepBack);
        state
            .tell(format!("only a recording can be gone through: {back} goes a token back"), false);
        return Vec::new();
    }
    vec![Effect::Replay(order)]
}

/// Why nothing can be measured in this session, in a few words; `None` where it can.
pub fn measures_nothing(state: &State) -> Option<&'static str> {
    match &state.model {
        _ if state.replay => Some("not in a recording"),
        Some(model) if model.info.solo => Some("not with --solo: there is no dense side"),
        _ => None,
    }
}

/// That a recording has no model to do this with, in words that are the same everywhere.
pub fn no_model(to: &str) -> String {
    format!("a recording has no model to {to}: `kscope` with the model does that live")
}

/// What `seek` or `speed` with a value does to the playback, and in words.
pub fn parse(word: &str, value: &str) -> Option<(ReplayOrder, String)> {
    if word == "speed" {
        let times: f64 = value.trim_end_matches(['x', '×']).parse().ok()?;
        let times = Some(times).filter(|times| (0.01..=1000.0).contains(times))?;
        let order = ReplayOrder::Speed((times * 100.0).round() as u32);
        return Some((order, format!("play the recording at {times} times its speed")));
    }
    if let Some(share) = value.strip_suffix('%') {
        let share = share.parse().ok().filter(|share: &f64| (0.0..=100.0).contains(share))?;
        let order = ReplayOrder::Share((share * 10.0).round() as u16);
        return Some((order, format!("go to {share} % of the recording")));
    }
    let token = numbers::parse_tokens(value).filter(|&token| token > 0)?;
    let about = format!("go to token {} of the recording", numbers::count(token));
    Some((ReplayOrder::Seek(token), about))
}

/// Tokens a second that keys hold decode to; after the last one it is as fast as it can be.
const PACES: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Holds decode to so many tokens a second, or lets it be as fast as it can.
pub fn hold(state: &mut State, pace: Option<u32>) -> Effect {
    state.pace = pace;
    Effect::Engine(Order::Pace(pace))
}

/// Says how fast decode is and which keys change that.
pub fn tell_pace(state: &mut State) {
    let (faster, slower) = (state.key(Command::Faster), state.key(Command::Slower));
    let sentence = match state.pace {
        Some(1) => format!("decode is held to a token a second: `{faster}` is faster"),
        Some(pace) => format!(
            "decode is held to {pace} tokens a second: `{faster}` is faster, `{slower}` slower"
        ),
        None => format!("decode is as fast as it can be: `{slower}` is slower"),
    };
    state.tell(sentence, false);
}

/// Decodes, or plays a recording, at the next speed that keys go through.
pub fn speed(state: &mut State, faster: bool) -> Vec<Effect> {
    match state.replay {
        true => playback_speed(state, faster),
        false => decode_speed(state, faster),
    }
}

fn decode_speed(state: &mut State, faster: bool) -> Vec<Effect> {
    let next = match (state.pace, faster) {
        (None, true) => None,
        (None, false) => PACES.last().copied(),
        (Some(now), true) => PACES.into_iter().find(|&pace| pace > now),
        (Some(now), false) => PACES.into_iter().rev().find(|&pace| pace < now).or(Some(now)),
    };
    let effect = hold(state, next);
    tell_pace(state);
    vec![effect]
}

fn playback_speed(state: &mut State, faster: bool) -> Vec<Effect> {
    let now = state.playback.map_or(100, |playback| playback.speed);
    let next = match faster {
        true => SPEEDS.into_iter().find(|&speed| speed > now),
        false => SPEEDS.into_iter().rev().find(|&speed| speed < now),
    };
    replay(state, ReplayOrder::Speed(next.unwrap_or(now)))
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
            ignore_end: plan.ignore_end,
        };
        effects.push(Effect::Engine(Order::Start(Box::new(start))));
        effects
    }
}

#[cfg(test)]
mod tests;

//! What the engine's events change.

use crate::Error;
use crate::decode::comparison::{Mode, NO_ROOM};
use crate::decode::session::Finish;
use crate::decode::worker::event::{EARLIER_TURN, NO_ANSWER, Subject, Wish};
use crate::decode::worker::{Envelope, Event};
use crate::numbers::count;
use crate::tui::app::action::{Command, Effect};
use crate::tui::app::keys::KeyContext;
use crate::tui::app::model::ModelView;
use crate::tui::app::pairs::AtWork;
use crate::tui::app::run::{Phase, RunView};
use crate::tui::app::state::{Dirty, Holds, OtherMask, State};
use crate::tui::app::table::Metric;
use crate::tui::app::{steer, story};
use crate::tui::screen::bench::state::MaskBench;
use crate::tui::screen::perf::gauge;
use crate::tui::screen::tune::outcome;
use crate::tui::screen::tune::state::Tuning;

/// Takes an event. Events of an earlier run change nothing.
pub fn take(state: &mut State, envelope: Envelope) -> Vec<Effect> {
    let Envelope { generation, dropped, event, .. } = envelope;
    if state.replay && generation > state.run.generation {
        state.run = RunView::new(generation);
    }
    let is_of_engine = matches!(
        event,
        Event::Loading(_)
            | Event::Loaded(_)
            | Event::Retuned(_)
            | Event::Fed(_)
            | Event::Bandwidth(_)
            | Event::Panicked(_)
    );
    if generation != state.run.generation && !is_of_engine {
        return Vec::new();
    }
    state.dropped = dropped;
    state.dirty = state.dirty.max(Dirty::Soon);
    match event {
        Event::Loading(share) => state.phase = Phase::Loading(share),
        Event::Loaded(info) => return loaded(state, *info),
        Event::Prefill(share) => state.phase = Phase::Prefill(share),
        Event::Started(started) => {
            state.screens.head.forget();
            if state.replay {
                // Nothing is sent: the settings shown are those of the run that was recorded.
                state.plan.sampling = started.sampling.clone();
                state.plan.max_new = started.max_new;
            }
            state.run.started = Some(*started);
            state.phase = Phase::Running;
        }
        Event::Turn(turn) => {
            if let Some(why) = &turn.again {
                state.tell(format!("{why}; the whole conversation was read again"), false);
            }
            state.run.turns.push(*turn);
            state.run.reads_turn = false;
            state.screens.text.question = Default::default();
            (state.screens.ab.cursor, state.screens.ab.asked) = (None, None);
            state.phase = Phase::Running;
        }
        Event::Rules(rules) => {
            if let Some(tuning) = &mut state.screens.tune {
                tuning.take_rules(&rules);
            }
            if let Some(model) = &mut state.model {
                model.take_rules(&rules);
            }
        }
        Event::Token(token) => {
            state.run.take(*token);
            steer::tell_loop(state);
        }
        Event::Live(live) => {
            if let Some(model) = &mut state.model {
                model.take_live(*live);
            }
        }
        Event::Pair(pair) => state.run.pairs.take(*pair),
        Event::Retuned(retuned) => {
            if retuned.from.is_some() && generation == state.run.generation {
                state.run.cut_back();
                if let Some(model) = &state.model {
                    let was = AtWork { plan: model.plan().clone(), window: model.info.window };
                    let now = AtWork { plan: retuned.mask.plan.clone(), window: retuned.window };
                    state.run.pairs.retuned(was, &now);
                }
                state.run.retuned();
            }
            state.screens.ab.asked = None;
            state.screens.head.forget();
            outcome::retuned(state, *retuned);
            recount(state);
        }
        Event::Measured(measured) => match measured.subject {
            Subject::Trial(id) if MaskBench::owns(id) => {
                state.screens.bench.take(id, generation, *measured);
            }
            _ => return outcome::measured(state, generation, *measured),
        },
        Event::Refused { wish, sentence } => refused(state, wish, sentence),
        Event::Timed(timed) => {
            let share = timed.b_ms.p50 / timed.a_ms.p50;
            state.tell(format!("alone, B takes {share:.2} of A's time a token"), false);
            state.run.pairs.timed = Some(*timed);
        }
        Event::Fed(mode) => {
            if let Some(model) = &mut state.model {
                model.info.feed = mode;
            }
            if mode == Mode::Forced {
                state.run.cut_back();
            }
        }
        Event::Rewound(n) => {
            state.run.rewind(n);
            recount(state);
            state.screens.head.forget();
            (state.screens.ab.cursor, state.screens.ab.asked) = (None, None);
        }
        Event::Lost(lost) => state.run.pairs.lost = Some(*lost),
        Event::Attended(row) => state.screens.head.take(*row),
        Event::Head(detail) => state.run.head = Some(*detail),
        Event::Memory(memory) => {
            (state.run.memory, state.run.memory_at) = (Some(memory), state.run.cached);
        }
        Event::Bandwidth(measured) => gauge::take(state, *measured),
        Event::Paused => state.phase = Phase::Paused,
        Event::Resumed => {
            state.phase = Phase::Running;
            state.toast.take_if(|toast| toast.holds == Holds::Standing);
        }
        Event::Finished(finish) => {
            state.phase = Phase::Finished(finish);
            steer::loop_ended(state);
            let key = state.keys.key_of(KeyContext::Global, Command::GoOn);
            if let (Finish::EndToken, Some(key), false) = (finish, key, state.replay) {
                let n = count(state.run.generated());
                state.tell_while(
                    Holds::Over,
                    format!("the model ended the text after {n} tokens: {key} goes on past it"),
                );
            }
        }
        Event::WentOn { sampling, ignore_end } => {
            // What the next run begins with stays as it was set.
            state.run.went_on = Some((sampling, ignore_end));
        }
        Event::Failed { sentence, code } => return failed(state, sentence, code),
        Event::Panicked(message) => {
            state.tell("the engine ran into a bug; what it told so far stays on screen", true);
            state.phase = Phase::Failed(format!("engine: {message}"));
        }
    }
    Vec::new()
}

/// The engine refused something: where a key goes on all the same, it is named.
fn refused(state: &mut State, wish: Wish, sentence: String) {
    // A turn came between the question, which nobody typed, and the answer.
    if wish == Wish::Explain && sentence.contains(EARLIER_TURN) {
        state.screens.ab.asked = None;
        return;
    }
    let way_on = match &sentence {
        said if said.contains(NO_ROOM) || said.contains(NO_ANSWER) => {
            format!(": {}", steer::other_runs(state))
        }
        said if said.contains(EARLIER_TURN) => {
            format!(": {} begins the conversation again", state.key(Command::Rerun))
        }
        _ => String::new(),
    };
    let sentence = format!("{sentence}{way_on}");
    match wish {
        Wish::Ask => {
            state.run.reads_turn = false;
            state.tell(sentence, true);
        }
        Wish::Attend => state.screens.head.refuse(sentence),
        Wish::Bandwidth => gauge::refuse(state, sentence),
        _ => {
            if wish == Wish::Sweep {
                state.screens.bench.stop();
            }
            outcome::refused(state, wish, sentence);
        }
    }
}

/// The cache's bytes after it was rebuilt or cut: the formula's, until the next token tells them. What
/// the allocator had is of the cache before.
fn recount(state: &mut State) {
    let Some(model) = state.model.as_ref().filter(|_| state.run.cached > 0) else { return };
    state.run.kv = model.bytes_at(state.run.cached).0;
    state.run.memory = None;
}

fn loaded(state: &mut State, info: crate::decode::worker::event::ModelInfo) -> Vec<Effect> {
    let warning = info.warnings.first().cloned();
    let model = match ModelView::new(info) {
        Ok(model) => model,
        Err(error) => return vec![Effect::Fail(error)],
    };
    let shape = model.shape();
    let other = model.info.other.as_ref().filter(|other| other.plan.shape() == shape);
    state.other =
        other.map(|other| OtherMask { label: other.label.clone(), plan: other.plan.clone() });
    if state.replay {
        // Stepping back replays a recording from here.
        state.run = RunView::new(0);
    }
    if state.model.is_none() {
        state.metric = if model.is_masked() { Metric::Mask } else { Metric::KeyNorm };
        state.target_context = model.info.context;
    }
    state.at.layer = state.at.layer.min(shape.layers - 1);
    state.at.head = state.at.head.min(shape.kv_heads - 1);
    state.at.channel = state.at.channel.min(shape.head_dim - 1);
    state.screens.tune = Some(Tuning::new(&model));
    state.model = Some(model);
    // Every engine begins at full speed.
    state.pace = None;
    state.phase = Phase::Prefill(0.0);
    state.dirty = Dirty::Now;
    if let Some(warning) = warning {
        state.tell(warning, false);
    }
    match state.replay {
        true => Vec::new(),
        false if std::mem::take(&mut state.tells_story) => story::begin(state),
        false => state.rerun(),
    }
}

/// Before a model is loaded there is nothing to show, so the program ends. Later the screen stays.
fn failed(state: &mut State, sentence: String, code: u8) -> Vec<Effect> {
    if state.model.is_none() {
        return vec![Effect::Fail(Error::of_code(code, sentence))];
    }
    // It stays on screen, so no message says it as well.
    tracing::error!("{sentence}");
    state.toast = None;
    state.phase = Phase::Failed(sentence);
    Vec::new()
}

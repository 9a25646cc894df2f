//! The A/B screen: the cursor over tokens, how the sides are fed, and the questions to the engine
//! about a step.

use crate::decode::comparison::Mode;
use crate::decode::lost::Asked;
use crate::decode::worker::EngineOrder as Order;
use crate::tui::app::action::{Command, Effect};
use crate::tui::app::areas;
use crate::tui::app::pairs::ComparedSide;
use crate::tui::app::run::Phase;
use crate::tui::app::state::State;
use crate::tui::app::steer;
use crate::tui::app::text_lines::on_one_line;
use crate::tui::screen::ab::layout;
use crate::tui::screen::text::{ask_on, edit_prompt};
use crate::tui::screen::{Press, Wheel};

/// How many tokens half a page moves.
const HALF_PAGE: isize = 16;
/// Time between two questions to the engine while the cursor follows new tokens, in milliseconds.
const EVERY_MS: f64 = 1_000.0;

/// Runs a command of the screen.
pub fn update(state: &mut State, command: Command) -> Option<Vec<Effect>> {
    match command {
        Command::Less => query(state, -1),
        Command::More => query(state, 1),
        Command::Ask => ask_on(state),
        Command::EditPrompt => edit_prompt(state),
        Command::Left
        | Command::Right
        | Command::Up
        | Command::Down
        | Command::HalfUp
        | Command::HalfDown
        | Command::First
        | Command::Last
        | Command::FindNext
        | Command::FindPrev
        | Command::Swap
        | Command::Feed
        | Command::Time
        | Command::RewindHere => return Some(go(state, command)),
        _ => return None,
    }
    Some(Vec::new())
}

/// Commands that need a loaded model.
fn go(state: &mut State, command: Command) -> Vec<Effect> {
    if state.model.is_none() {
        return Vec::new();
    }
    match command {
        Command::Left => step(state, -1),
        Command::Right => step(state, 1),
        Command::Up => row(state, -1),
        Command::Down => row(state, 1),
        Command::HalfUp => step(state, -HALF_PAGE),
        Command::HalfDown => step(state, HALF_PAGE),
        Command::First => state.screens.ab.cursor = Some(1),
        Command::Last => state.screens.ab.cursor = None,
        Command::FindNext => parting(state, true),
        Command::FindPrev => parting(state, false),
        Command::Swap => state.screens.ab.swapped = !state.screens.ab.swapped,
        Command::Feed => return feed(state),
        Command::Time => return time(state),
        Command::RewindHere => {
            return rewind(state, state.screens.ab.cursor.unwrap_or(state.run.pairs.len()));
        }
        _ => {}
    }
    Vec::new()
}

/// The wheel moves from token to token.
pub fn wheel(_: &State, wheel: Wheel) -> Option<Command> {
    Some(if wheel.up { Command::Left } else { Command::Right })
}

/// A press puts the cursor on a token.
pub fn press(state: &mut State, press: Press) -> Vec<Effect> {
    let main = areas::areas(state).main;
    if let Some(n) = layout::ab_hit(state, main, press.x, press.y) {
        state.screens.ab.cursor = Some(n);
    }
    Vec::new()
}

/// The selected token in words.
pub fn explained(state: &State) -> Option<String> {
    let n = at(state);
    let pair = state.run.pairs.all().get(n.checked_sub(1)?)?;
    let choice = |voice: &Option<crate::decode::worker::event::Voice>| {
        let own = voice.as_ref()?.top.first()?;
        Some(format!("«{}» at {:.1} %", on_one_line(&own.text), own.p * 100.0))
    };
    let (a, b) = (choice(&pair.a)?, choice(&pair.b)?);
    let mask = if state.run.pairs.is_of_another(n) { "another mask" } else { "the mask" };
    let Some(step) = &pair.divergence else {
        return Some(format!(
            "Token {n}: the dense side A finds {a} likeliest, the side B under {mask} {b}. This token is not compared: it comes from the exact prefill, or the texts have parted."
        ));
    };
    Some(format!(
        "Token {n}: the dense side A finds {a} likeliest, the side B under {mask} {b}. Over all tokens of the vocabulary their probabilities are {} nats apart (KLD): 0 is the same, above .1 is much.",
        crate::numbers::nats(step.kld)
    ))
}

/// The selected token with both sides' choices, for `y`.
pub fn copied(state: &State) -> Option<String> {
    let n = at(state);
    let pair = state.run.pairs.all().get(n.checked_sub(1)?)?;
    let token = |voice: &Option<crate::decode::worker::event::Voice>| {
        let own = voice.as_ref().and_then(|voice| voice.top.first());
        own.map_or_else(|| "nothing".to_owned(), |own| format!("«{}»", own.text))
    };
    let kld =
        pair.divergence.as_ref().map_or_else(String::new, |step| format!(" KLD {}", step.kld));
    Some(format!("token {n}: likeliest A {} B {}{kld}", token(&pair.a), token(&pair.b)))
}

/// The selected token.
pub fn at(state: &State) -> usize {
    state.screens.ab.cursor.unwrap_or(state.run.pairs.len())
}

fn step(state: &mut State, by: isize) {
    let all = state.run.pairs.len();
    let next = at(state).saturating_add_signed(by).max(1);
    state.screens.ab.cursor =
        (next < all).then_some(next).or_else(|| (all > 0 && by <= 0).then_some(next.min(all)));
}

/// Moves to the token above or below the cursor in the left pane.
fn row(state: &mut State, by: i32) {
    let areas = layout::ab(state, areas::areas(state).main);
    let side = if state.screens.ab.swapped { ComparedSide::B } else { ComparedSide::A };
    let words = layout::words(state, side, layout::below_title(areas.left));
    let here = words.iter().rev().find(|word| word.n <= at(state)).map(|word| word.at);
    let Some((row, column)) = here else { return };
    let wanted = i32::from(row) + by;
    let found = words
        .iter()
        .filter(|word| i32::from(word.at.0) == wanted)
        .min_by_key(|word| word.at.1.abs_diff(column));
    match found.map(|word| word.n) {
        Some(n) => state.screens.ab.cursor = Some(n),
        // Outside the pane: move by a fixed number of tokens.
        None => step(state, by as isize * 8),
    }
}

fn parting(state: &mut State, forward: bool) {
    match state.run.pairs.next_parting(at(state), forward, state.feed()) {
        Some(n) => state.screens.ab.cursor = Some(n),
        None => state.tell(
            if forward {
                "no divergence after this token"
            } else {
                "no divergence before this token"
            },
            false,
        ),
    }
}

fn query(state: &mut State, by: isize) {
    let group = state.model.as_ref().map_or(1, |model| model.group());
    state.screens.ab.query = state.screens.ab.query.saturating_add_signed(by).min(group - 1);
}

/// Whether the engine can do this. If not, a message says why.
fn is_possible(state: &mut State) -> bool {
    let sentence = match &state.model {
        _ if state.replay => steer::no_model("feed or time"),
        None => return false,
        Some(model) if model.info.solo => {
            "the cache runs alone: start without --solo to compare".to_owned()
        }
        Some(_) => return true,
    };
    state.tell(sentence, false);
    false
}

fn feed(state: &mut State) -> Vec<Effect> {
    if !is_possible(state) {
        return Vec::new();
    }
    let next = match state.feed() {
        Mode::Forced => Mode::Free,
        Mode::Free => Mode::Forced,
    };
    vec![Effect::Engine(Order::Feed(next))]
}

fn time(state: &mut State) -> Vec<Effect> {
    if !is_possible(state) {
        return Vec::new();
    }
    state.tell("timing each side alone over the last tokens", false);
    vec![Effect::Engine(Order::Time)]
}

/// Goes back to the first `n` tokens.
pub fn rewind(state: &mut State, n: usize) -> Vec<Effect> {
    if !is_possible(state) || n == 0 {
        return Vec::new();
    }
    vec![Effect::Engine(Order::Rewind(n))]
}

/// Asks the engine what the step at the cursor lost, unless it was already asked.
pub fn ask(state: &mut State) -> Vec<Effect> {
    let Some(model) = &state.model else { return Vec::new() };
    let n = at(state);
    let group = model.group();
    let wanted = Asked {
        n,
        layer: state.at.layer,
        head: state.at.head * group + state.screens.ab.query.min(group - 1),
    };
    let follows = state.screens.ab.cursor.is_none() && state.phase == Phase::Running;
    let is_known = state.screens.ab.asked == Some(wanted);
    let is_early = follows
        && state.screens.ab.asked.is_some()
        && state.now_ms - state.screens.ab.asked_ms < EVERY_MS;
    if is_known
        || is_early
        || !state.run.is_step(n)
        || state.replay
        || model.info.solo
        || !state.run.pairs.together_before(n)
    {
        return Vec::new();
    }
    (state.screens.ab.asked, state.screens.ab.asked_ms) = (Some(wanted), state.now_ms);
    vec![Effect::Engine(Order::Explain(wanted))]
}

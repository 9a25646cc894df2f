//! The keys of the text screen, and its prompt editor.

use ratatui_textarea::WrapMode;

use crate::decode::session::Finish;
use crate::decode::worker::{Ask, EngineOrder, Prompt};
use crate::numbers::count as count_words;
use crate::tui::app::action::{Command, Effect};
use crate::tui::app::keys::KeyContext;
use crate::tui::app::run::Phase;
use crate::tui::app::state::{Holds, State};
use crate::tui::app::steer;
use crate::tui::screen::text::settings::{SETTINGS, change};
use crate::tui::screen::{Screen, Typed, Wheel};

/// Runs a command of the screen.
pub fn update(state: &mut State, command: Command) -> Option<Vec<Effect>> {
    let page = usize::from(state.size.1 / 2).max(1);
    let most = most_rows(state);
    let text = &mut state.screens.text;
    match command {
        Command::EditPrompt => edit_prompt(state),
        Command::NewPrompt if text.editing => text.empty(),
        Command::Ask => ask_on(state),
        Command::Submit if text.asking.is_some() => return Some(ask(state)),
        Command::Submit => return Some(submit(state)),
        Command::Back if text.asking.is_some() => {
            state.screen = text.asking.take().unwrap_or(Screen::Text);
        }
        Command::Back if text.editing => text.editing = false,
        Command::Up => text.setting = text.setting.saturating_sub(1),
        Command::Down => text.setting = (text.setting + 1).min(SETTINGS.len() - 1),
        Command::Less => change(state, -1),
        Command::More => change(state, 1),
        Command::HalfUp => text.scroll = (text.scroll + page).min(most),
        Command::HalfDown => text.scroll = text.scroll.saturating_sub(page),
        Command::Last => text.scroll = 0,
        // Layers and heads are not shown here, so the selection does not change.
        Command::NextLayer | Command::PrevLayer | Command::NextHead | Command::PrevHead => {}
        _ => return None,
    }
    Some(Vec::new())
}

/// Opens the editor with the prompt of the run on screen.
pub fn edit_prompt(state: &mut State) {
    let started = state.run.started.as_ref().map(|started| started.prompt.clone());
    let prompt = match &state.plan.prompt {
        Prompt::Text { text, .. } | Prompt::Facts { text } => Some(text.clone()),
        Prompt::Tokens(_) => started.filter(|text| !text.is_empty()),
    };
    state.screen = Screen::Text;
    let text = &mut state.screens.text;
    text.fill(&prompt.unwrap_or_default());
    text.editing = true;
}

/// Upper bound of the scroll position. The length of the wrapped text is not known here, but there
/// are never more rows than characters and line ends.
fn most_rows(state: &State) -> usize {
    state.run.pieces.iter().map(|piece| piece.text.len() + 1).sum()
}

/// The focused part while a prompt is typed.
pub fn focus(state: &State) -> Option<KeyContext> {
    let text = &state.screens.text;
    let question = text.asking.map(|_| KeyContext::Question);
    question.or_else(|| text.editing.then_some(KeyContext::Prompt))
}

/// Adds typed text to the prompt; pasted text opens the editor.
pub fn typed(state: &mut State, typed: Typed) {
    let text = &mut state.screens.text;
    if text.asking.is_some() {
        return typed.into_text(&mut text.question);
    }
    if matches!(typed, Typed::Paste(_)) && !text.editing {
        edit_prompt(state);
    }
    typed.into_text(&mut state.screens.text.editor);
}

/// The whole text, for `y`; while the prompt is typed there is no such key.
pub fn copied(state: &State) -> Option<String> {
    let text: String = state.run.pieces.iter().map(|piece| piece.text.as_str()).collect();
    (!text.is_empty()).then_some(text)
}

/// Asks for the number of tokens of the prompt in the editor, once for every text.
pub fn count(state: &mut State) -> Vec<Effect> {
    let text = &state.screens.text;
    if !text.editing || state.replay || state.model.is_none() {
        return Vec::new();
    }
    let typed = text.typed();
    if text.counted.as_ref().is_some_and(|(counted, _)| *counted == typed) {
        return Vec::new();
    }
    vec![Effect::CountPrompt(prompt(state, typed))]
}

/// Most tokens of a prompt: beside a dense side a token has to follow.
pub fn room(state: &State) -> usize {
    state.model.as_ref().map_or(usize::MAX, |model| {
        model.info.context.saturating_sub(usize::from(!model.info.solo))
    })
}

/// The prompt that the editor's text stands for.
fn prompt(state: &State, text: String) -> Prompt {
    // Token ids hold whatever template there is.
    let raw = !matches!(state.plan.prompt, Prompt::Text { raw: false, .. });
    Prompt::Text { text, raw }
}

/// The wheel scrolls the text.
pub fn wheel(_: &State, wheel: Wheel) -> Option<Command> {
    Some(if wheel.up { Command::HalfUp } else { Command::HalfDown })
}

/// Opens the editor of another turn, unless there is nothing to go on from.
pub fn ask_on(state: &mut State) {
    let sentence = match state.phase {
        _ if state.replay => steer::no_model("ask"),
        _ if state.run.started.is_none() => "there is no answer to go on from yet".to_owned(),
        Phase::Failed(_) => format!("the run failed: {}", steer::other_runs(state)),
        _ if state.run.reads_turn => {
            format!("the last turn is still being read: {} stops that", state.key(Command::Back))
        }
        Phase::Finished(Finish::Context) => steer::full_context(state),
        _ => {
            let from = state.screen;
            state.screen = Screen::Text;
            let text = &mut state.screens.text;
            text.question.set_wrap_mode(WrapMode::WordOrGlyph);
            (text.asking, text.editing, text.scroll) = (Some(from), false, 0);
            return;
        }
    };
    state.tell(sentence, false);
}

/// Sends another turn. Its text stays in the editor until the engine has read it.
fn ask(state: &mut State) -> Vec<Effect> {
    let text = state.screens.text.question.lines().join("\n");
    if text.trim().is_empty() {
        state.tell_while(Holds::Untyped, "the turn is empty");
        return Vec::new();
    }
    state.screen = state.screens.text.asking.take().unwrap_or(Screen::Text);
    state.run.asked += 1;
    state.run.reads_turn = true;
    state.phase = Phase::Prefill(0.0);
    let ask = Ask { number: state.run.asked, text };
    vec![Effect::Engine(EngineOrder::Ask(Box::new(ask)))]
}

/// Sends the text of the editor.
fn submit(state: &mut State) -> Vec<Effect> {
    let text = state.screens.text.typed();
    if text.trim().is_empty() {
        state.tell_while(Holds::Untyped, "the prompt is empty");
        return Vec::new();
    }
    if state.replay {
        state.tell(steer::no_model("send a prompt to"), false);
        return Vec::new();
    }
    // Refused here, before the run that is on screen is dropped.
    if let Some(tokens) = state.screens.text.tokens_of(&text) {
        let most = room(state);
        let refusal = match tokens {
            Ok(tokens) if *tokens > most => Some(format!(
                "the prompt has {} tokens, the context has room for {}: shorten it, or start with a larger --ctx",
                count_words(*tokens),
                count_words(most)
            )),
            Ok(_) => None,
            Err(sentence) => Some(sentence.clone()),
        };
        if let Some(sentence) = refusal {
            state.tell(sentence, true);
            return Vec::new();
        }
    }
    state.plan.prompt = prompt(state, text);
    state.screens.text.editing = false;
    state.screens.text.was_sent();
    state.rerun()
}

//! A question that is answered with yes or no before something is lost.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::tui::app::action::{Command, Effect};
use crate::tui::app::keys::KeyContext;
use crate::tui::app::lists;
use crate::tui::app::state::{Overlay, State};
use crate::tui::app::text_lines;
use crate::tui::color::Role;
use crate::tui::paint::{clear, put};

/// A question, and what yes does.
#[derive(Debug, Clone, PartialEq)]
pub struct Confirmation {
    /// The question in a sentence.
    pub sentence: String,
    /// What happens after yes.
    pub then: Vec<Effect>,
    /// What happens after no.
    pub otherwise: Vec<Effect>,
}

impl State {
    /// Asks before these effects are performed.
    pub fn ask_first(&mut self, sentence: impl Into<String>, then: Vec<Effect>) {
        let (sentence, otherwise) = (sentence.into(), Vec::new());
        self.overlay = Some(Overlay::Question(Confirmation { sentence, then, otherwise }));
    }
}

/// A command while a question is open.
pub fn answer(state: &mut State, command: Command) -> Vec<Effect> {
    let is_answer = matches!(command, Command::Yes | Command::No | Command::Back);
    if !is_answer {
        return Vec::new();
    }
    match state.overlay.take() {
        Some(Overlay::Question(question)) if command == Command::Yes => question.then,
        Some(Overlay::Question(question)) => question.otherwise,
        _ => Vec::new(),
    }
}

/// Draws the open question, if there is one.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(Overlay::Question(question)) = &state.overlay else { return };
    let theme = &state.theme;
    let width = area.width.min(76);
    let text = (question.sentence.as_str(), theme.style(Role::Text));
    let lines = text_lines::wrap(std::iter::once(text), usize::from(width - 4), 4_000);
    let lines = &lines[..lines.len().min(6)];
    let height = (lines.len() as u16 + 3).min(area.height);
    let frame = Rect {
        x: (area.width - width) / 2,
        y: area.height.saturating_sub(height) / 2,
        width,
        height,
    };
    clear(buffer, frame, theme.bar());
    let leaves = format!("{} leaves it", state.key_in(KeyContext::Confirm, Command::Back));
    lists::border(state, frame, "?", &leaves, buffer);
    for (line, y) in lines.iter().zip(1..) {
        put(buffer, frame, 2, y, line.clone());
    }
    let key = |command| state.keys.key_of(KeyContext::Confirm, command).unwrap_or_default();
    let keys = Line::from(vec![
        Span::styled(key(Command::Yes), theme.style(Role::Accent)),
        Span::styled(" yes   ", theme.style(Role::Dim)),
        Span::styled(key(Command::No), theme.style(Role::Accent)),
        Span::styled(" no", theme.style(Role::Dim)),
    ]);
    put(buffer, frame, 2, height.saturating_sub(2), keys);
}

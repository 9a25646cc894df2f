//! State of the text screen: the prompt editor, the selected setting, the scroll position.

use crate::tui::screen::Screen;
use ratatui_textarea::{CursorMove, TextArea, WrapMode};

/// State of the text screen.
#[derive(Debug, Clone, Default)]
pub struct TextState {
    /// The prompt editor.
    pub editor: TextArea<'static>,
    /// Whether the prompt is being typed.
    pub editing: bool,
    /// The text that the editor was filled with: what differs from it was typed and not sent.
    filled: String,
    /// The editor of another turn.
    pub question: TextArea<'static>,
    /// Whether another turn is being typed, and the screen to return to.
    pub asking: Option<Screen>,
    /// The selected sampling setting.
    pub setting: usize,
    /// The text whose tokens were counted last, and their number, or why they cannot be counted.
    pub counted: Option<(String, Result<usize, String>)>,
    /// Rows that the text is scrolled up from its end.
    pub scroll: usize,
}

impl TextState {
    /// The text in the editor.
    pub fn typed(&self) -> String {
        self.editor.lines().join("\n")
    }

    /// Whether there is any text in what is being typed, the prompt or a turn; nothing being typed is
    /// as if there were.
    pub fn is_typed_now(&self) -> bool {
        let lines = match (self.asking, self.editing) {
            (Some(_), _) => self.question.lines(),
            (None, true) => self.editor.lines(),
            (None, false) => return true,
        };
        lines.iter().any(|line| !line.trim().is_empty())
    }

    /// The number of tokens of a text, where it was counted last.
    pub fn tokens_of(&self, text: &str) -> Option<&Result<usize, String>> {
        self.counted.as_ref().filter(|(counted, _)| counted == text).map(|(_, tokens)| tokens)
    }

    /// An editor that holds `prompt`, with its cursor at the end.
    pub fn new(prompt: &str) -> Self {
        let mut editor = TextArea::from(prompt.lines());
        editor.set_wrap_mode(WrapMode::WordOrGlyph);
        editor.move_cursor(CursorMove::Bottom);
        editor.move_cursor(CursorMove::End);
        Self { editor, filled: prompt.to_owned(), ..Self::default() }
    }

    /// Fills the editor with the prompt of the run on screen, unless something is typed in it that
    /// was not sent.
    pub fn fill(&mut self, prompt: &str) {
        let is_typed = self.typed().trim_end() != self.filled.trim_end();
        if !is_typed && self.filled != prompt {
            let Self { editor, filled, .. } = Self::new(prompt);
            (self.editor, self.filled) = (editor, filled);
        }
    }

    /// What is in the editor was sent.
    pub fn was_sent(&mut self) {
        self.filled = self.typed();
    }

    /// An empty editor.
    pub fn empty(&mut self) {
        self.editor = Self::new("").editor;
    }
}

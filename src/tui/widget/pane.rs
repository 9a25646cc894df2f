//! Lines one below the other: titles, labelled values, bars.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::printable::wrapped;
use crate::tui::color::{Role, Theme};
use crate::tui::fitting::{best, fitted};
use crate::tui::paint::put;

/// A column of lines, filled from the top, that ignores lines which no longer fit.
pub struct Pane<'a> {
    /// The rest of the area.
    pub area: Rect,
    /// The buffer to draw into.
    pub buffer: &'a mut Buffer,
    theme: &'a Theme,
    is_first: bool,
}

/// Columns of the labels.
const LABEL: usize = 11;

impl<'a> Pane<'a> {
    /// An empty pane.
    pub fn new(area: Rect, theme: &'a Theme, buffer: &'a mut Buffer) -> Self {
        Self { area, buffer, theme, is_first: true }
    }

    /// Takes `rows` rows; `None` where they do not fit.
    pub fn take(&mut self, rows: u16) -> Option<Rect> {
        let taken = (rows <= self.area.height).then_some(Rect { height: rows, ..self.area })?;
        self.area.y += rows;
        self.area.height -= rows;
        Some(taken)
    }

    /// A title with a line to the right edge, separated from the rows above.
    pub fn title(&mut self, text: &str, note: &str) {
        if !std::mem::take(&mut self.is_first) && self.area.height > 3 {
            self.take(1);
        }
        let width = usize::from(self.area.width);
        // Of the note stays at least its first word, whole: whether a figure was measured or computed.
        let first = note.split([' ', ',']).next().unwrap_or_default().chars().count();
        let least = if first == 0 { 0 } else { (first + 2).min(width) };
        let text = fitted(text.to_owned(), width.saturating_sub(least));
        let room = width.saturating_sub(text.chars().count() + 2);
        let note = match note.chars().count() > room && first >= room {
            true => note.chars().take(first).collect(),
            false => fitted(note.to_owned(), room),
        };
        let used =
            text.chars().count() + note.chars().count() + if note.is_empty() { 1 } else { 2 };
        let rule = "─".repeat(width.saturating_sub(used));
        let mut spans = vec![Span::styled(text, self.theme.style(Role::Title)), Span::raw(" ")];
        spans.push(Span::styled(rule, self.theme.style(Role::Border)));
        if !note.is_empty() {
            spans.push(Span::raw(" "));
            spans.push(Span::styled(note, self.theme.style(Role::Dim)));
        }
        self.line(Line::from(spans));
    }

    /// One line.
    pub fn line<'b>(&mut self, line: impl Into<Line<'b>>) {
        if let Some(area) = self.take(1) {
            put(self.buffer, area, 0, 0, line);
        }
    }

    /// A line in the style of explanations.
    pub fn note(&mut self, text: impl Into<String>) {
        let style = self.theme.style(Role::Dim);
        let text = fitted(text.into(), usize::from(self.area.width));
        self.line(Line::styled(text, style));
    }

    /// Columns of the value beside a label.
    pub fn room(&self) -> usize {
        usize::from(self.area.width).saturating_sub(LABEL)
    }

    /// A label and its value.
    pub fn row(&mut self, label: &str, value: impl Into<String>) {
        let label = format!("{label:<LABEL$}");
        let room = usize::from(self.area.width).saturating_sub(label.chars().count());
        let value = fitted(value.into(), room);
        self.line(Line::from(vec![
            Span::styled(label, self.theme.style(Role::Dim)),
            Span::styled(value, self.theme.style(Role::Text)),
        ]));
    }

    /// A label and the longest of these values that fits.
    pub fn row_of(&mut self, label: &str, forms: impl IntoIterator<Item = String>) {
        let value = best(self.room(), forms);
        self.row(label, value);
    }

    /// A label and its value, over as many rows as the value takes.
    pub fn rows(&mut self, label: &str, value: &str) {
        let room = usize::from(self.area.width).saturating_sub(LABEL.max(label.chars().count()));
        for (index, line) in wrapped(value, room).into_iter().enumerate() {
            let blank = " ".repeat(label.chars().count());
            self.row(if index == 0 { label } else { &blank }, line);
        }
    }
}

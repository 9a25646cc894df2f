//! The generated text in lines, for the text screen and the side panel.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthChar;

use crate::decode::worker::event::Turn;
use crate::tui::app::state::State;
use crate::tui::color::Role;

/// Most characters of text that are wrapped: no screen shows more.
const SHOWN: usize = 24_000;

/// A token's text with its whitespace made visible.
pub fn visible(text: &str) -> String {
    let sign = |c: char| match c {
        ' ' => '·',
        '\n' => '↵',
        '\t' => '→',
        c if c.is_control() => '?',
        c => c,
    };
    text.chars().map(sign).collect()
}

/// A text on one line of a message: only what would break the line is made visible.
pub fn on_one_line(text: &str) -> String {
    let sign = |c: char| match c {
        '\n' => '↵',
        '\t' => '→',
        c if c.is_control() => '?',
        c => c,
    };
    text.chars().map(sign).collect()
}

/// The prompt and what was generated, as one text.
pub fn whole(state: &State) -> String {
    let prompt = state.run.started.as_ref().map_or("", |started| started.prompt.as_str());
    let pieces = state.run.pieces.iter().zip(1..);
    pieces.fold(prompt.to_owned(), |text, (piece, n)| {
        let turn = state.run.turn_at(n).map(turn_line).unwrap_or_default();
        text + &turn + &piece.text
    })
}

/// A turn on lines of its own.
fn turn_line(turn: &Turn) -> String {
    format!("\n› {}\n", turn.text)
}

/// The last lines of the text, for the side panel.
pub fn tail(state: &State, width: usize, rows: usize) -> Vec<Line<'static>> {
    let lines = wrapped(state, width);
    let skip = lines.len().saturating_sub(rows);
    lines.into_iter().skip(skip).collect()
}

/// The generated text in lines; unlikely tokens are highlighted, and special ones stand by name.
pub fn wrapped(state: &State, width: usize) -> Vec<Line<'static>> {
    let plain = state.theme.style(Role::Text);
    let unlikely = state.theme.style(Role::Warn);
    let asked = state.theme.style(Role::Accent);
    let turns: Vec<String> = state.run.turns.iter().map(turn_line).collect();
    let mut next = state.run.turns.iter().zip(&turns).peekable();
    let pieces = state.run.pieces.iter().zip(1..).flat_map(|(piece, n)| {
        let style = match &piece.special {
            Some(_) => state.theme.style(Role::Dim),
            None if piece.logprob < -4.0 => unlikely,
            None => plain,
        };
        let turn = next.next_if(|(turn, _)| turn.from < n).map(|(_, text)| (text.as_str(), asked));
        turn.into_iter().chain([(piece.shown(), style)])
    });
    wrap(pieces, width, SHOWN)
}

/// Wraps pieces of text at `width`, between words where possible, keeping at most the last `most`
/// bytes.
pub fn wrap<'a>(
    pieces: impl Iterator<Item = (&'a str, Style)>,
    width: usize,
    most: usize,
) -> Vec<Line<'static>> {
    let pieces: Vec<(&str, Style)> = pieces.collect();
    let mut kept = 0;
    let first = pieces.iter().rposition(|(text, _)| {
        kept += text.len();
        kept > most
    });
    let mut wrapper = Wrapper { width: width.max(1), lines: Vec::new(), line: Vec::new(), used: 0 };
    for (text, style) in &pieces[first.unwrap_or(0)..] {
        wrapper.add(text, *style);
    }
    wrapper.finish()
}

struct Wrapper {
    width: usize,
    lines: Vec<Line<'static>>,
    line: Vec<(char, Style)>,
    used: usize,
}

impl Wrapper {
    fn add(&mut self, text: &str, style: Style) {
        for c in text.chars() {
            let wide = c.width().unwrap_or(0);
            match c {
                '\n' => self.break_at(self.line.len()),
                '\t' => self.push(' ', style, 1),
                _ if wide == 0 => {}
                _ => self.push(c, style, wide),
            }
        }
    }

    fn push(&mut self, c: char, style: Style, wide: usize) {
        if self.used + wide > self.width {
            let space =
                self.line.iter().rposition(|(c, _)| *c == ' ').filter(|&at| at * 2 > self.width);
            self.break_at(space.map_or(self.line.len(), |at| at + 1));
        }
        self.line.push((c, style));
        self.used += wide;
    }

    /// Ends the line after `at` characters; the rest begins the next one.
    fn break_at(&mut self, at: usize) {
        let rest = self.line.split_off(at);
        let line = std::mem::replace(&mut self.line, rest);
        self.used = self.line.iter().map(|(c, _)| c.width().unwrap_or(0)).sum();
        self.lines.push(spans(&line));
    }

    fn finish(mut self) -> Vec<Line<'static>> {
        if !self.line.is_empty() {
            self.break_at(self.line.len());
        }
        self.lines
    }
}

/// Groups characters of equal style into spans.
fn spans(line: &[(char, Style)]) -> Line<'static> {
    let same = line.chunk_by(|a, b| a.1 == b.1);
    Line::from_iter(
        same.map(|part| Span::styled(part.iter().map(|(c, _)| c).collect::<String>(), part[0].1)),
    )
}

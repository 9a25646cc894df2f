//! The text as it is generated, the prompt and its editor, and the sampling of the next run.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use unicode_width::UnicodeWidthChar;

use crate::tui::color::Role;
use crate::tui::keys::Context;
use crate::tui::paint::{count, put};
use crate::tui::state::State;
use crate::tui::update::SETTINGS;
use crate::tui::view::pane::Pane;

/// Characters of text that are wrapped at most: no screen shows more.
const SHOWN: usize = 24_000;

/// Draws the screen.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let area = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let side = if area.width >= 90 { 36 } else { 30 };
    let main = Rect { width: area.width.saturating_sub(side + 2), ..area };
    let right = Rect { x: main.right() + 2, width: side, ..area };
    let editor_rows =
        if state.editing { (area.height / 2).clamp(4, 14) } else { 5.min(area.height / 3) };
    prompt(state, Rect { height: editor_rows, ..main }, buffer);
    let below = Rect { y: main.y + editor_rows, height: main.height - editor_rows, ..main };
    let mut pane = Pane::new(below, &state.theme, buffer);
    let note = if state.scroll > 0 { "scrolled: G follows" } else { "" };
    pane.title(&format!("text · {} tokens", count(state.run.generated())), note);
    let room = pane.area;
    let lines = wrapped(state, usize::from(room.width));
    let scroll = state.scroll.min(lines.len().saturating_sub(usize::from(room.height)));
    let end = lines.len() - scroll;
    let start = end.saturating_sub(usize::from(room.height));
    for line in lines.into_iter().take(end).skip(start) {
        pane.line(line);
    }
    settings(state, right, buffer);
}

fn prompt(state: &State, area: Rect, buffer: &mut Buffer) {
    let mut pane = Pane::new(area, &state.theme, buffer);
    if state.editing {
        let key = state
            .keys
            .key_of(Context::Prompt, crate::tui::action::Command::Submit)
            .unwrap_or_default();
        pane.title("prompt", &format!("{key} sends, esc leaves"));
        let mut editor = state.editor.clone();
        editor.set_style(state.theme.style(Role::Text));
        editor.set_cursor_line_style(Style::new());
        editor.set_cursor_style(Style::new().add_modifier(Modifier::REVERSED));
        (&editor).render(pane.area, pane.buffer);
        return;
    }
    let started = state.run.started.as_ref();
    let note = started
        .map_or_else(String::new, |started| format!("{} tokens", count(started.prompt_tokens)));
    pane.title("prompt", &note);
    let text = started.map_or("", |started| started.prompt.as_str());
    let text = if text.is_empty() && started.is_some() { "(token ids)" } else { text };
    let rows = usize::from(pane.area.height);
    let style = state.theme.style(Role::Dim);
    let lines = wrap(std::iter::once((text, style)), usize::from(pane.area.width), 4_000);
    // The end of a long prompt holds the question.
    let skip = lines.len().saturating_sub(rows);
    for line in lines.into_iter().skip(skip) {
        pane.line(line);
    }
}

fn settings(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let mut pane = Pane::new(area, theme, buffer);
    pane.title("next run", "");
    for (index, setting) in SETTINGS.into_iter().enumerate() {
        let (value, meaning) = setting.value(state);
        let style = if index == state.setting && !state.editing {
            theme.selected()
        } else {
            theme.style(Role::Text)
        };
        let text = format!(" {:<15}{value:>6} {meaning:<7}", setting.name());
        pane.line(Line::styled(text, style));
    }
    let started = state.run.started.as_ref();
    let changed = started
        .is_some_and(|s| s.sampling != state.plan.sampling || s.max_new != state.plan.max_new);
    if changed
        && let Some(key) = state.keys.key_of(Context::Text, crate::tui::action::Command::Rerun)
    {
        pane.line(Line::styled(format!("{key} runs with these"), theme.style(Role::Warn)));
    }
    pane.title("last tokens", "log-probability");
    let rows = usize::from(pane.area.height);
    let pieces = &state.run.pieces;
    for piece in pieces.iter().rev().take(rows) {
        let text: String = piece.text.chars().flat_map(char::escape_debug).take(16).collect();
        let surprise = if piece.logprob > -3.0 { Role::Dim } else { Role::Warn };
        let Some(line) = pane.take(1) else { return };
        put(pane.buffer, line, 1, 0, Line::styled(format!("{text:<18}"), theme.style(Role::Text)));
        put(
            pane.buffer,
            line,
            20,
            0,
            Line::styled(format!("{:>7.3}", piece.logprob), theme.style(surprise)),
        );
    }
}

/// The last lines of the text, for the side panel.
pub fn tail(state: &State, width: usize, rows: usize) -> Vec<Line<'static>> {
    let lines = wrapped(state, width);
    let skip = lines.len().saturating_sub(rows);
    lines.into_iter().skip(skip).collect()
}

/// The generated text in lines; unlikely tokens stand out.
fn wrapped(state: &State, width: usize) -> Vec<Line<'static>> {
    let plain = state.theme.style(Role::Text);
    let unlikely = state.theme.style(Role::Warn);
    let pieces = state.run.pieces.iter().map(|piece| {
        let style = if piece.logprob < -4.0 { unlikely } else { plain };
        (piece.text.as_str(), style)
    });
    wrap(pieces, width, SHOWN)
}

/// Wraps pieces of text at `width`, between words where it can, keeping at most the last `most`
/// bytes.
fn wrap<'a>(
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

/// Characters of equal style as one span.
fn spans(line: &[(char, Style)]) -> Line<'static> {
    let same = line.chunk_by(|a, b| a.1 == b.1);
    Line::from_iter(
        same.map(|part| Span::styled(part.iter().map(|(c, _)| c).collect::<String>(), part[0].1)),
    )
}

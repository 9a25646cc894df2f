//! The text as it is generated, the prompt and its editor, and the sampling of the next run.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::Widget;

use crate::numbers::{self, count};
use crate::tui::app::action::Command;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::state::State;
use crate::tui::app::text_lines::{visible, wrap, wrapped};
use crate::tui::color::Role;
use crate::tui::fitting::fitted;
use crate::tui::paint::{put, tame};
use crate::tui::screen::Screen;
use crate::tui::screen::text::layout;
use crate::tui::screen::text::settings::SETTINGS;
use crate::tui::screen::text::update;
use crate::tui::widget::pane::Pane;

/// Draws the screen.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let (main, right) = layout::parts(state, area);
    let asking = state.screens.text.asking.is_some();
    let editor_rows = if asking {
        (area.height / 3).clamp(3, 8)
    } else if state.screens.text.editing {
        (area.height / 2).clamp(4, 14)
    } else {
        prompt_rows(state, main)
    };
    prompt(state, Rect { height: editor_rows, ..main }, buffer);
    let below = Rect { y: main.y + editor_rows, height: main.height - editor_rows, ..main };
    let mut pane = Pane::new(below, &state.theme, buffer);
    let note = if state.screens.text.scroll > 0 { "scrolled: G follows" } else { "" };
    pane.title(&format!("text · {} tokens", count(state.run.generated())), note);
    let room = pane.area;
    let lines = wrapped(state, usize::from(room.width));
    let scroll =
        state.screens.text.scroll.min(lines.len().saturating_sub(usize::from(room.height)));
    let end = lines.len() - scroll;
    let start = end.saturating_sub(usize::from(room.height));
    for line in lines.into_iter().take(end).skip(start) {
        pane.line(line);
    }
    settings(state, right, buffer);
}

/// Rows of the prompt with its title: what the text leaves, as far as the prompt needs it.
fn prompt_rows(state: &State, area: Rect) -> u16 {
    let least = 5.min(area.height / 3);
    let width = usize::from(area.width);
    let rows = |lines: usize| u16::try_from(lines + 1).unwrap_or(u16::MAX);
    let left = area.height.saturating_sub(rows(wrapped(state, width).len()));
    left.min(rows(prompt_lines(state, width).len())).max(least)
}

/// The prompt in lines.
fn prompt_lines(state: &State, width: usize) -> Vec<Line<'static>> {
    /// Most bytes of it that are shown.
    const MOST: usize = 24_000;
    let started = state.run.started.as_ref();
    let text = started.map_or("", |started| started.prompt.as_str());
    let text = if text.is_empty() && started.is_some() { "(token ids)" } else { text };
    wrap(std::iter::once((text, state.theme.style(Role::Dim))), width, MOST)
}

fn prompt(state: &State, area: Rect, buffer: &mut Buffer) {
    let mut pane = Pane::new(area, &state.theme, buffer);
    let asking = state.screens.text.asking.is_some();
    if asking || state.screens.text.editing {
        let (context, title, editor) = match asking {
            true => (KeyContext::Question, "another turn", &state.screens.text.question),
            false => (KeyContext::Prompt, "prompt", &state.screens.text.editor),
        };
        let key = state.key_in(context, Command::Submit);
        let leaves = state.key_in(context, Command::Back);
        let most = update::room(state);
        let counted = state.screens.text.tokens_of(&state.screens.text.typed());
        let tokens = match counted.filter(|_| !asking) {
            Some(Ok(tokens)) if *tokens > most => {
                format!("too long: {} of {} tokens · ", count(*tokens), count(most))
            }
            Some(Ok(tokens)) => format!("{} of {} tokens · ", count(*tokens), count(most)),
            Some(Err(_)) | None => String::new(),
        };
        pane.title(title, &format!("{tokens}{key} sends, {leaves} leaves"));
        let mut editor = editor.clone();
        editor.set_style(state.theme.style(Role::Text));
        editor.set_cursor_line_style(Style::new());
        editor.set_cursor_style(Style::new().add_modifier(Modifier::REVERSED));
        (&editor).render(pane.area, pane.buffer);
        tame(pane.buffer, pane.area);
        return;
    }
    let started = state.run.started.as_ref();
    let note = started
        .map_or_else(String::new, |started| format!("{} tokens", count(started.prompt_tokens)));
    pane.title("prompt", &note);
    let rows = usize::from(pane.area.height);
    let lines = prompt_lines(state, usize::from(pane.area.width));
    // The end is shown, because a long prompt has its question there.
    let skip = lines.len().saturating_sub(rows);
    for line in lines.into_iter().skip(skip) {
        pane.line(line);
    }
}

fn settings(state: &State, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    let mut pane = Pane::new(area, theme, buffer);
    pane.title(if state.replay { "recorded with" } else { "next run" }, "");
    for (index, setting) in SETTINGS.into_iter().enumerate() {
        let (value, meaning) = setting.value(state);
        let style = if index == state.screens.text.setting && !state.screens.text.editing {
            theme.selected()
        } else {
            theme.style(Role::Text)
        };
        let (name, now) = (setting.name(), setting.in_this_run(state));
        pane.line(Line::styled(format!(" {name:<15}{value:>6} {meaning:<7}"), style));
        if let Some(now) = now {
            // A key has led this run out of a loop, or past an end; the next begins as it is set.
            let text = format!(" {:<15}{now:>6}", "  this run");
            pane.line(Line::styled(text, theme.style(Role::Warn)));
        }
    }
    let started = state.run.started.as_ref();
    let changed = started
        .is_some_and(|s| s.sampling != state.plan.sampling || s.max_new != state.plan.max_new);
    if changed
        && !state.replay
        && let Some(key) = state.keys.key_of(KeyContext::Screen(Screen::Text), Command::Rerun)
    {
        pane.line(Line::styled(format!("{key} runs with these"), theme.style(Role::Warn)));
    }
    pane.title("last tokens", "log-probability");
    let rows = usize::from(pane.area.height);
    let pieces = &state.run.pieces;
    for piece in pieces.iter().rev().take(rows) {
        let text = fitted(visible(piece.shown()), 17);
        let surprise = if piece.logprob > -3.0 { Role::Dim } else { Role::Warn };
        let Some(line) = pane.take(1) else { return };
        put(pane.buffer, line, 1, 0, Line::styled(format!("{text:<18}"), theme.style(Role::Text)));
        put(
            pane.buffer,
            line,
            20,
            0,
            Line::styled(
                format!("{:>7}", numbers::plain(f64::from(piece.logprob), 3)),
                theme.style(surprise),
            ),
        );
    }
}

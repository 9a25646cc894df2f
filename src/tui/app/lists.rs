//! Lists over the screen: help, palette, find.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::tui::app::find::Query;
use crate::tui::app::palette::{Does, Entry, entries, expected};
use crate::tui::app::state::{Overlay, State};
use crate::tui::app::strips::window;
use crate::tui::app::{suffered, text_lines};
use crate::tui::color::Role;
use crate::tui::paint::{clear, put};

/// Rows for what the selected entry does.
const BELOW: u16 = 3;

/// Draws the open list, if there is one.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(overlay) = &state.overlay else { return };
    let (title, hint, list) = match overlay {
        Overlay::Help(list) => ("help", "type to search · ⏎ runs".to_owned(), list),
        Overlay::Palette(list) => {
            let hint = "l14 h3 · theme cividis · export svg map.svg · context 32768";
            ("command", hint.to_owned(), list)
        }
        Overlay::Find(list) => {
            ("find heads", "dropped · full · kept<32 · kept>16 · l3 · h1".to_owned(), list)
        }
        Overlay::Settings(list) => {
            ("settings", "type to search · the file is read again when it changes".to_owned(), list)
        }
        Overlay::Suffered(list) => ("tokens that suffered", suffered::about(state), list),
        Overlay::Path(prompt) => {
            let hint = "tab completes · ⏎ takes a file, opens a folder";
            (prompt.purpose.title(), hint.to_owned(), &prompt.list)
        }
        Overlay::Question(_) => return,
    };
    // Its rows hold text, which takes more columns than a command.
    let most = if matches!(overlay, Overlay::Suffered(_)) { 140 } else { 92 };
    let frame = Rect {
        x: area.width.saturating_sub(most) / 2,
        y: 2,
        width: area.width.min(most),
        height: area.height.saturating_sub(4).clamp(6, 30).min(area.height.saturating_sub(2)),
    };
    clear(buffer, frame, state.theme.bar());
    border(state, frame, title, &hint, buffer);
    let inner = Rect {
        x: frame.x + 2,
        y: frame.y + 1,
        width: frame.width.saturating_sub(4),
        height: frame.height.saturating_sub(2),
    };
    let typed = list.input.value();
    put(
        buffer,
        inner,
        0,
        0,
        Line::from(vec![
            Span::styled("› ", state.theme.style(Role::Accent)),
            Span::raw(typed.to_owned()),
        ]),
    );
    let cursor = inner.x + 2 + list.input.visual_cursor() as u16;
    if cursor < inner.right() {
        let style = ratatui::style::Style::new().add_modifier(ratatui::style::Modifier::REVERSED);
        buffer[(cursor, inner.y)].set_style(style);
    }
    let entries = entries(state);
    // What the selected entry does stands below in whole, because its row may be cut.
    let below = if inner.height >= 8 { BELOW } else { 0 };
    let rows = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1 + below), ..inner };
    if entries.is_empty() {
        let takes = match overlay {
            Overlay::Palette(_) => expected(state, typed),
            _ => None,
        };
        let text = match overlay {
            _ if takes.is_some() => takes.as_deref().unwrap_or_default(),
            Overlay::Find(_) if typed.is_empty() => "which heads?",
            Overlay::Find(_) if Query::parse(typed).is_none() => "not understood",
            Overlay::Suffered(_) if typed.is_empty() => suffered::nothing(state),
            _ => "nothing fits",
        };
        put(buffer, rows, 2, 0, Line::styled(text, state.theme.style(Role::Dim)));
    }
    let selected = list.selected.min(entries.len().saturating_sub(1));
    if below > 0
        && let Some(entry) = entries.get(selected)
    {
        let text = format!("{}: {}", entry.title, entry.about);
        let style = state.theme.style(Role::Text);
        let lines = text_lines::wrap(
            std::iter::once((text.as_str(), style)),
            usize::from(rows.width),
            4_000,
        );
        for (line, y) in lines.into_iter().take(usize::from(below)).zip(rows.bottom()..) {
            put(buffer, Rect { y, height: 1, ..rows }, 0, 0, line);
        }
    }
    let shown = window(selected, usize::from(rows.height), entries.len());
    for (line, index) in shown.enumerate() {
        let Some(entry) = entries.get(index) else { break };
        row(
            state,
            entry,
            index == selected,
            Rect { y: rows.y + line as u16, height: 1, ..rows },
            buffer,
        );
    }
}

fn row(state: &State, entry: &Entry, selected: bool, area: Rect, buffer: &mut Buffer) {
    let theme = &state.theme;
    if selected {
        clear(buffer, area, theme.selected());
    }
    let context = match entry.does {
        Does::Command(context, _) => context.name(),
        _ if matches!(state.overlay, Some(Overlay::Settings(_))) => "",
        Does::Nothing => "word",
        Does::Token(_) => "token",
        _ => "",
    };
    let style = |role| if selected { theme.selected() } else { theme.style(role) };
    if let Does::Path(..) = entry.does {
        // Of a path its end says most.
        let about = entry.about.chars().count().min(usize::from(area.width) / 2) as u16;
        let room = usize::from(area.width.saturating_sub(about + 2));
        let skip = entry.title.chars().count().saturating_sub(room);
        let path: String = entry.title.chars().skip(skip).collect();
        put(buffer, area, 0, 0, Line::styled(path, style(Role::Text)));
        let about_at = area.width.saturating_sub(about);
        put(buffer, area, about_at, 0, Line::styled(entry.about.clone(), style(Role::Dim)));
        return;
    }
    put(buffer, area, 0, 0, Line::styled(format!("{:<8}", context), style(Role::Dim)));
    put(buffer, area, 8, 0, Line::styled(format!("{:<15}", entry.keys), style(Role::Accent)));
    let title = entry.title.clone();
    let title_width = title.chars().count() as u16;
    let wide = area.width >= 70;
    if matches!(entry.does, Does::Token(_)) {
        put(buffer, area, 16, 0, Line::styled(title, style(Role::Text)));
        put(buffer, area, 25, 0, Line::styled(entry.about.clone(), style(Role::Dim)));
    } else if wide {
        put(buffer, area, 24, 0, Line::styled(title.clone(), style(Role::Text)));
        let about = 44.max(26 + title_width);
        put(buffer, area, about, 0, Line::styled(entry.about.clone(), style(Role::Dim)));
    } else {
        let text = if entry.keys.is_empty() { title } else { entry.about.clone() };
        put(buffer, area, 24, 0, Line::styled(text, style(Role::Text)));
    }
}

/// Draws the frame of a box over the screen, with words in its upper and lower edge.
pub fn border(state: &State, frame: Rect, title: &str, hint: &str, buffer: &mut Buffer) {
    let style = state.theme.style(Role::Border);
    let (left, right, top, bottom) =
        (frame.left(), frame.right() - 1, frame.top(), frame.bottom() - 1);
    for x in left..=right {
        for y in [top, bottom] {
            buffer[(x, y)].set_symbol("─").set_style(style);
        }
    }
    for y in top..=bottom {
        for x in [left, right] {
            buffer[(x, y)].set_symbol("│").set_style(style);
        }
    }
    for (x, y, corner) in
        [(left, top, "╭"), (right, top, "╮"), (left, bottom, "╰"), (right, bottom, "╯")]
    {
        buffer[(x, y)].set_symbol(corner).set_style(style);
    }
    put(buffer, frame, 2, 0, Line::styled(format!(" {title} "), state.theme.style(Role::Title)));
    let room = Rect { width: frame.width.saturating_sub(2), ..frame };
    put(
        buffer,
        room,
        2,
        frame.height - 1,
        Line::styled(format!(" {hint} "), state.theme.style(Role::Dim)),
    );
}

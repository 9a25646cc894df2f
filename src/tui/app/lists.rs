//! Lists over the screen: help, palette, find.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::printable::wrapped;
use crate::tui::app::action::Command;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::palette::{Does, Entry, entries, why_empty};
use crate::tui::app::state::{Overlay, State};
use crate::tui::app::{suffered, text_lines};
use crate::tui::color::Role;
use crate::tui::fitting::{fitted, tail};
use crate::tui::paint::{clear, put};

/// Rows for what the selected entry does.
const BELOW: u16 = 3;

/// Draws the open list, if there is one.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(overlay) = &state.overlay else { return };
    let (title, hint, list) = match overlay {
        Overlay::Help(list) => {
            let runs = state.key_in(KeyContext::List, Command::Open);
            ("help", format!("type to search · {runs} runs"), list)
        }
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
            let [completes, takes] = [Command::Complete, Command::Open]
                .map(|command| state.key_in(KeyContext::List, command));
            let hint = format!("{completes} completes · {takes} takes a file, opens a folder");
            (prompt.purpose.title(), hint, &prompt.list)
        }
        Overlay::Question(_) => return,
    };
    // Its rows hold text, which takes more columns than a command.
    let most = if matches!(overlay, Overlay::Suffered(_)) { 140 } else { 112 };
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
    // Of a long text its end is in sight.
    let shown = tail(typed, usize::from(inner.width.saturating_sub(3)));
    let behind = Span::raw(typed).width().saturating_sub(list.input.visual_cursor());
    let cursor = inner.x + 2 + Span::raw(shown.as_str()).width().saturating_sub(behind) as u16;
    let prompt = Span::styled("› ", state.theme.style(Role::Accent));
    // An offered name that typing replaces looks selected.
    let is_offered = matches!(overlay, Overlay::Path(prompt) if prompt.is_offered);
    let style = if is_offered { state.theme.selected() } else { Style::new() };
    put(buffer, inner, 0, 0, Line::from(vec![prompt, Span::styled(shown, style)]));
    if cursor < inner.right() {
        let style = Style::new().add_modifier(ratatui::style::Modifier::REVERSED);
        buffer[(cursor, inner.y)].set_style(style);
    }
    let entries = entries(state);
    // Of rows that may be cut the selected one stands below in whole.
    let is_cut = matches!(overlay, Overlay::Suffered(_) | Overlay::Path(_));
    let below = if is_cut && inner.height >= 8 { BELOW } else { 0 };
    let rows = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1 + below), ..inner };
    if entries.is_empty() {
        let text = why_empty(state, overlay, typed);
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
    let heights: Vec<u16> = entries.iter().map(|entry| height(entry, rows.width)).collect();
    let first = first_shown(&heights, selected, rows.height);
    let mut y = rows.y;
    for (index, (entry, &height)) in entries.iter().zip(&heights).enumerate().skip(first) {
        let height = height.min(rows.bottom() - y);
        if height == 0 {
            break;
        }
        row(state, entry, index == selected, Rect { y, height, ..rows }, buffer);
        y += height;
    }
}

/// The first row on screen: the selected one is about in the middle, and no rows at the end stay
/// blank while there are others before.
fn first_shown(heights: &[u16], selected: usize, room: u16) -> usize {
    let sum = |heights: &[u16]| heights.iter().map(|&height| u32::from(height)).sum::<u32>();
    let mut first = selected;
    while first > 0 && sum(&heights[first - 1..=selected]) <= u32::from(room / 2) {
        first -= 1;
    }
    while first > 0 && sum(&heights[first - 1..]) <= u32::from(room) {
        first -= 1;
    }
    first
}

/// Columns from which on a row has its name beside its keys, and where the name stands.
const WIDE: u16 = 70;
const NAME_AT: u16 = 24;
/// Where its keys stand: behind the longest name of a context and a blank.
const KEYS_AT: u16 = 9;

/// Where the KLD of a token stands, and what is said of it.
const TOKEN: (u16, u16) = (8, 17);

/// Where the words of a row begin, and its words in lines.
fn words(entry: &Entry, width: u16) -> (u16, Vec<String>) {
    let name = entry.title.chars().count() as u16;
    let (at, text) = match entry.does {
        Does::Path(..) | Does::Token(_) => return (0, vec![String::new()]),
        _ if width >= WIDE => (44.max(NAME_AT + 2 + name), entry.about.clone()),
        _ => (NAME_AT, format!("{}: {}", entry.title, entry.about)),
    };
    (at, wrapped(&text, usize::from(width.saturating_sub(at))))
}

/// Rows of an entry.
fn height(entry: &Entry, width: u16) -> u16 {
    words(entry, width).1.len() as u16
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
        _ => "",
    };
    let style = |role| if selected { theme.selected() } else { theme.style(role) };
    if let Does::Path(..) = entry.does {
        // Of a long path its end says most; it leaves its words half of the row.
        let path = entry.title.chars().count() as u16 + 2;
        let room = (area.width / 2).max(area.width.saturating_sub(path));
        let about = fitted(entry.about.clone(), usize::from(room));
        let about_at = area.width.saturating_sub(about.chars().count() as u16);
        let path = tail(&entry.title, usize::from(about_at.saturating_sub(2)));
        put(buffer, area, 0, 0, Line::styled(path, style(Role::Text)));
        put(buffer, area, about_at, 0, Line::styled(about, style(Role::Dim)));
        return;
    }
    if matches!(entry.does, Does::Token(_)) {
        put(buffer, area, 0, 0, Line::styled(entry.keys.clone(), style(Role::Accent)));
        put(buffer, area, TOKEN.0, 0, Line::styled(entry.title.clone(), style(Role::Text)));
        let about =
            suffered::in_columns(&entry.about, usize::from(area.width.saturating_sub(TOKEN.1)));
        put(buffer, area, TOKEN.1, 0, Line::styled(about, style(Role::Dim)));
        return;
    }
    put(buffer, area, 0, 0, Line::styled(context, style(Role::Dim)));
    let keys = Rect { width: area.width.min(NAME_AT - 1), ..area };
    put(buffer, keys, KEYS_AT, 0, Line::styled(entry.keys.clone(), style(Role::Accent)));
    let title = entry.title.clone();
    let wide = area.width >= WIDE;
    if wide {
        put(buffer, area, NAME_AT, 0, Line::styled(title, style(Role::Text)));
    }
    let (at, lines) = words(entry, area.width);
    for (line, y) in lines.into_iter().zip(0..area.height) {
        let role = if wide { Role::Dim } else { Role::Text };
        put(buffer, area, at, y, Line::styled(line, style(role)));
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

#[cfg(test)]
mod tests {
    use ratatui::text::Span;

    use super::*;
    use crate::tui::app::action::Command;
    use crate::tui::color::ColorDepth;
    use crate::tui::testing::{SMALL, act, draw, letters, session, text};

    /// A row of the help once read `questionEnter`.
    #[test]
    fn names_of_contexts_and_keys_stand_apart_and_whole() {
        for context in KeyContext::all() {
            assert!(Span::raw(context.name()).width() < usize::from(KEYS_AT), "{}", context.name());
        }
        let mut state = session(SMALL, ColorDepth::None);
        for row in state.keys.rows() {
            let keys: Vec<String> = row.keys.iter().map(ToString::to_string).collect();
            let wide = Span::raw(keys.join(" ")).width();
            assert!(wide < usize::from(NAME_AT - KEYS_AT), "{}", keys.join(" "));
        }
        state.size = (120, 40);
        act(&mut state, Command::Help);
        letters(&mut state, "send the turn");
        let shown = text(&draw(&state));
        assert!(shown.contains("question ⏎"), "{shown}");
    }
}

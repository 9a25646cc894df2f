//! The line that shows where a recording is, and takes a press of the mouse.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::numbers::count;
use crate::tui::app::action::{Effect, Playback, ReplayOrder};
use crate::tui::app::run::Phase;
use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::tui::paint::put;

/// Columns before the bar: whether it plays, and how fast.
const BEFORE: u16 = 10;

/// The words behind the bar.
fn words(playback: &Playback) -> String {
    let Playback { token, tokens, at_ms, .. } = playback;
    let time = |ms: f64| {
        let seconds = (ms / 1e3) as u64;
        format!("{}:{:02}", seconds / 60, seconds % 60)
    };
    format!(
        " token {} of {} · {} of {} ",
        count(*token),
        count(*tokens),
        time(at_ms.0),
        time(at_ms.1)
    )
}

/// Where the bar is on the line.
fn bar(playback: &Playback, line: Rect) -> Rect {
    let behind = words(playback).chars().count() as u16;
    let width = line.width.saturating_sub(BEFORE + behind).max(1);
    Rect { x: line.x + BEFORE, width, ..line }
}

/// Draws the line.
pub fn render(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(playback) = &state.playback else { return };
    let theme = &state.theme;
    let bar = bar(playback, area);
    let sign = if matches!(state.phase, Phase::Paused) { "▮▮" } else { "▶ " };
    let speed = format!("{}×", f64::from(playback.speed) / 100.0);
    let before = Line::styled(format!(" {sign} {speed}"), theme.style(Role::Accent));
    put(buffer, area, 0, 0, before);
    let share = playback.at_ms.0 / playback.at_ms.1.max(1.0);
    let at = (share.clamp(0.0, 1.0) * f64::from(bar.width - 1)).round() as u16;
    for x in 0..bar.width {
        let (glyph, role) = match x.cmp(&at) {
            std::cmp::Ordering::Less => ("━", Role::Accent),
            std::cmp::Ordering::Equal => ("●", Role::Accent),
            std::cmp::Ordering::Greater => ("─", Role::Border),
        };
        buffer[(bar.x + x, bar.y)].set_symbol(glyph).set_style(theme.style(role));
    }
    let words = Line::styled(words(playback), theme.style(Role::Text));
    put(buffer, area, bar.right() - area.x, 0, words);
}

/// A press goes there.
pub fn press(state: &State, line: Rect, x: u16) -> Vec<Effect> {
    let Some(playback) = &state.playback else { return Vec::new() };
    let bar = bar(playback, line);
    let share = f64::from(x.saturating_sub(bar.x)) / f64::from((bar.width - 1).max(1));
    vec![Effect::Replay(ReplayOrder::Share((share.min(1.0) * 1e3).round() as u16))]
}

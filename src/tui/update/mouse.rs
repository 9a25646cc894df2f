//! The mouse: click selects, double click drills, the wheel moves, Ctrl-wheel zooms.

use ratatui::crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use crate::tui::action::{Command, Effect};
use crate::tui::geometry;
use crate::tui::state::{Dirty, Place, Screen, State};
use crate::tui::update::{learn, navigate, run, tune_mouse};

/// Two presses within this time, in milliseconds, on one cell are a double click.
const DOUBLE_MS: f64 = 400.0;

/// Takes a mouse event; moves without a button change nothing.
pub fn take(state: &mut State, event: MouseEvent) -> Vec<Effect> {
    let zooms = event.modifiers.contains(KeyModifiers::CONTROL) && state.screen == Screen::Map;
    match event.kind {
        MouseEventKind::ScrollUp | MouseEventKind::ScrollDown => {
            state.dirty = Dirty::Now;
            let up = event.kind == MouseEventKind::ScrollUp;
            if state.screen == Screen::Tune && state.overlay.is_none() {
                return tune_mouse::wheel(state, event.column, event.row, up);
            }
            run(
                state,
                match (zooms && state.overlay.is_none(), state.screen, up) {
                    (true, _, true) => Command::ZoomIn,
                    (true, _, false) => Command::ZoomOut,
                    (false, Screen::Text, true) if state.overlay.is_none() => Command::HalfUp,
                    (false, Screen::Text, false) if state.overlay.is_none() => Command::HalfDown,
                    (_, Screen::Ab, true) if state.overlay.is_none() => Command::Left,
                    (_, Screen::Ab, false) if state.overlay.is_none() => Command::Right,
                    (_, Screen::Head, true) if state.overlay.is_none() => Command::Left,
                    (_, Screen::Head, false) if state.overlay.is_none() => Command::Right,
                    (_, _, true) => Command::Up,
                    (_, _, false) => Command::Down,
                },
            )
        }
        MouseEventKind::Down(MouseButton::Left) => {
            state.dirty = Dirty::Now;
            press(state, event.column, event.row)
        }
        _ => Vec::new(),
    }
}

fn press(state: &mut State, x: u16, y: u16) -> Vec<Effect> {
    let is_double = state
        .last_click
        .is_some_and(|(at, px, py)| state.now_ms - at < DOUBLE_MS && (px, py) == (x, y));
    state.last_click = (!is_double).then_some((state.now_ms, x, y));
    if state.overlay.is_some() {
        return Vec::new();
    }
    let areas = geometry::areas(state);
    if areas.tabs.contains((x, y).into()) {
        return geometry::tab_at(state, x)
            .map_or_else(Vec::new, |screen| run(state, screen.command()));
    }
    let before = state.at;
    match state.screen {
        Screen::Map => {
            let Some((layer, head, channel)) = geometry::map_hit(state, x, y) else {
                return Vec::new();
            };
            state.at = Place { layer, head, channel };
            if is_double {
                navigate::open(state);
            }
        }
        Screen::Head => {
            let Some(shape) = state.model.as_ref().map(|model| model.shape()) else {
                return Vec::new();
            };
            if let Some(pair) = geometry::head_chart(state, areas.main, shape).pair_at(x, y) {
                state.at.channel =
                    pair + if state.at.channel >= shape.pairs() { shape.pairs() } else { 0 };
            }
        }
        Screen::Learn => learn::press(state, x, y, is_double),
        Screen::Ab => {
            if let Some(n) = geometry::ab_hit(state, areas.main, x, y) {
                state.ab.cursor = Some(n);
            }
        }
        Screen::Tune => return tune_mouse::press(state, x, y, is_double),
        Screen::Perf | Screen::Text => {}
    }
    navigate::watch(state, before)
}

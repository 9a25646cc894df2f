//! The mouse: a press on a tab shows its screen; everything else goes to the current screen.

use ratatui::crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use crate::tui::app::action::{Command, Effect};
use crate::tui::app::dispatch::run;
use crate::tui::app::state::{Dirty, State};
use crate::tui::app::{areas, splits, tabs, timeline};
use crate::tui::screen::{Press, Wheel};

/// Two presses on one cell within this time, in milliseconds, are a double click.
const DOUBLE_MS: f64 = 400.0;

/// Takes a mouse event.
pub fn take(state: &mut State, event: MouseEvent) -> Vec<Effect> {
    match event.kind {
        MouseEventKind::ScrollUp | MouseEventKind::ScrollDown => {
            state.dirty = Dirty::Now;
            let wheel = Wheel {
                x: event.column,
                y: event.row,
                up: event.kind == MouseEventKind::ScrollUp,
                ctrl: event.modifiers.contains(KeyModifiers::CONTROL),
            };
            let command = match state.overlay {
                Some(_) if wheel.up => Some(Command::Up),
                Some(_) => Some(Command::Down),
                None => (state.screen.parts().wheel)(state, wheel),
            };
            command.map_or_else(Vec::new, |command| run(state, command))
        }
        MouseEventKind::Down(MouseButton::Left) => {
            state.dirty = Dirty::Now;
            press(state, event.column, event.row)
        }
        MouseEventKind::Drag(MouseButton::Left) => {
            if splits::drag(state, event.column, event.row) {
                state.dirty = Dirty::Now;
            }
            Vec::new()
        }
        MouseEventKind::Up(MouseButton::Left) => splits::release(state),
        MouseEventKind::Moved => {
            let (x, y) = (event.column, event.row);
            let place = match state.overlay {
                Some(_) => None,
                None => (state.screen.parts().hover)(state, x, y),
            };
            // Only another place is drawn anew: the pointer passes many cells.
            if place != state.hover {
                (state.hover, state.dirty) = (place, Dirty::Now);
            }
            Vec::new()
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
    if areas::areas(state).tabs.contains((x, y).into()) {
        return tabs::tab_at(state, x)
            .map_or_else(Vec::new, |screen| run(state, Command::Show(screen)));
    }
    if let Some(line) = areas::areas(state).timeline.filter(|line| line.contains((x, y).into())) {
        return timeline::press(state, line, x);
    }
    if splits::grab(state, x, y) {
        return Vec::new();
    }
    (state.screen.parts().press)(state, Press { x, y, is_double })
}

//! Positions of the tabs.

use crate::tui::app::action::Command;
use crate::tui::app::keys::KeyContext;
use crate::tui::app::state::State;
use crate::tui::screen::Screen;

/// From this width on, there is a blank column between tabs.
const WIDE: u16 = 100;

/// Below this width, only the current tab has its title.
const NARROW: u16 = 76;

/// Column, text and screen of each tab.
pub fn tab_places(state: &State) -> Vec<(u16, String, Screen)> {
    let gap = u16::from(state.size.0 >= WIDE);
    let mut x = 1;
    let mut places = Vec::new();
    for screen in Screen::ALL {
        let key = state.keys.key_of(KeyContext::Global, Command::Show(screen)).unwrap_or_default();
        let title = match state.size.0 < NARROW && screen != state.screen {
            true => format!(" {key} "),
            false => format!(" {key} {} ", screen.parts().title),
        };
        let width = title.chars().count() as u16;
        places.push((x, title, screen));
        x += width + gap;
    }
    places
}

/// The tab at a column.
pub fn tab_at(state: &State, x: u16) -> Option<Screen> {
    let places = tab_places(state);
    let found = places
        .into_iter()
        .find(|(from, title, _)| (*from..*from + title.chars().count() as u16).contains(&x));
    found.map(|(_, _, screen)| screen)
}

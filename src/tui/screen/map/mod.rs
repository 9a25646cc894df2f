//! The map of all layers and heads, and one layer of it.

mod layer;
pub mod layout;
pub mod pixels;
mod side;
pub mod state;
mod table;
#[cfg(test)]
mod tests;
mod update;
pub mod view;

use crate::tui::app::explain;
use crate::tui::export;
use crate::tui::export::channels;
use crate::tui::screen::ScreenParts;

/// The screen.
pub const SCREEN: ScreenParts = ScreenParts {
    title: "Map",
    key: "1",
    about: "map of all layers and heads",
    table: table::TABLE,
    update: update::update,
    typing: None,
    wheel: update::wheel,
    press: update::press,
    hover: layout::hovered,
    splits: |_, _| Vec::new(),
    after: None,
    render: view::render,
    side: Some(side::render),
    crumbs: Some(view::crumbs),
    explain: explain::channel,
    copy: export::value,
    sheet: channels::of_all,
    printed: None,
    file_stem: None,
};

//! Another mask or plan while the model decodes.

pub mod by_hand;
pub mod edit;
pub mod layout;
mod mouse;
pub mod outcome;
mod sheet;
pub mod state;
mod table;
#[cfg(test)]
mod tests;
mod update;
mod view;

use crate::tui::screen::ScreenParts;

/// The screen.
pub const SCREEN: ScreenParts = ScreenParts {
    title: "Tune",
    key: "4",
    about: "another mask or plan while the model talks",
    table: table::TABLE,
    update: update::update,
    typing: None,
    wheel: mouse::wheel,
    press: mouse::press,
    hover: mouse::hovered,
    splits: layout::splits,
    after: None,
    render: view::render,
    side: None,
    crumbs: None,
    explain: edit::explained,
    copy: edit::copied,
    sheet: sheet::sheet,
    printed: Some(sheet::printed),
    file_stem: None,
};

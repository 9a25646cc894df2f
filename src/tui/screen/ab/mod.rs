//! Dense against masked, token by token.

mod figures;
pub mod layout;
pub mod lost;
mod sheet;
pub mod state;
mod table;
#[cfg(test)]
mod tests;
pub mod update;
mod view;

use crate::tui::screen::ScreenParts;

/// The screen.
pub const SCREEN: ScreenParts = ScreenParts {
    title: "A/B",
    key: "3",
    about: "dense against masked or planned, token by token",
    table: table::TABLE,
    update: update::update,
    typing: None,
    wheel: update::wheel,
    press: update::press,
    hover: |_, _, _| None,
    splits: layout::splits,
    after: Some(update::ask),
    render: view::render,
    side: None,
    crumbs: None,
    explain: update::explained,
    copy: update::copied,
    sheet: sheet::sheet,
    printed: None,
    file_stem: None,
};

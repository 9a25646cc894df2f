//! The bench of masks: any number of masks and plans side by side, measured over the same tokens.

mod candidates;
mod columns;
mod layout;
mod notes;
mod pins;
mod plot;
mod recall;
mod rows;
mod sheet;
pub mod state;
mod table;
#[cfg(test)]
mod tests;
mod update;
mod view;

pub use columns::titles;

use crate::tui::screen::{ScreenParts, Typing};

/// The screen.
pub const SCREEN: ScreenParts = ScreenParts {
    title: "Bench",
    key: "0",
    about: "masks and plans side by side, over the same tokens",
    table: table::TABLE,
    update: update::update,
    typing: Some(Typing { focus: update::focus, take: update::typed }),
    wheel: layout::wheel,
    press: layout::press,
    hover: |_, _, _| None,
    splits: layout::splits,
    after: None,
    render: view::render,
    side: None,
    crumbs: None,
    copy: sheet::copied,
    explain: sheet::explained,
    sheet: sheet::sheet,
    printed: Some(sheet::printed),
    file_stem: None,
};

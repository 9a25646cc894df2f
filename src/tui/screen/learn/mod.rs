//! Learning a mask.

pub mod form;
pub mod layout;
mod outline;
mod sheet;
pub mod state;
mod table;
#[cfg(test)]
mod tests;
pub mod update;
mod view;

use crate::tui::screen::{ScreenParts, Typing};

/// The screen.
pub const SCREEN: ScreenParts = ScreenParts {
    title: "Learn",
    key: "6",
    about: "learn a mask: progress, loss, importance, verdict",
    table: table::TABLE,
    update: update::update,
    typing: Some(Typing { focus: update::focus, take: update::typed }),
    wheel: update::wheel,
    press: update::press,
    hover: |_, _, _| None,
    splits: layout::splits,
    after: Some(update::after),
    render: view::render,
    side: None,
    crumbs: None,
    explain: sheet::explained,
    copy: sheet::copied,
    sheet: sheet::sheet,
    printed: None,
    file_stem: None,
};

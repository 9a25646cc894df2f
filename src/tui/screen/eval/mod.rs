//! Evaluation: tasks and texts beside dense decode, while the tables fill in.

pub mod layout;
mod outline;
mod results;
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
    title: "Eval",
    key: "9",
    about: "evaluate: recall by length and depth, losses on texts, what is lost",
    table: table::TABLE,
    update: update::update,
    typing: Some(Typing { focus: update::focus, take: update::typed }),
    wheel: update::wheel,
    press: update::press,
    hover: |_, _, _| None,
    splits: layout::splits,
    after: None,
    render: view::render,
    side: None,
    crumbs: None,
    explain: sheet::explained,
    copy: sheet::copied,
    sheet: sheet::sheet,
    printed: None,
    file_stem: None,
};

//! The capacity plan: what fits, how fast it is, what it costs.

mod cost;
mod knobs;
mod layout;
mod outcome;
mod sheet;
pub mod state;
mod table;
#[cfg(test)]
mod tests;
mod typed;
mod update;
mod view;

use crate::tui::screen::{ScreenParts, Typing};

/// The screen.
pub const SCREEN: ScreenParts = ScreenParts {
    title: "Plan",
    key: "8",
    about: "what fits, at what speed and cost",
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
    explain: sheet::explained,
    copy: sheet::copied,
    sheet: sheet::sheet,
    printed: None,
    file_stem: None,
};

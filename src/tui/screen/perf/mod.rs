//! Memory and speed.

pub mod gauge;
mod layout;
mod sheet;
mod table;
#[cfg(test)]
mod tests;
mod update;
mod view;

use crate::tui::screen::ScreenParts;

/// The screen.
pub const SCREEN: ScreenParts = ScreenParts {
    title: "Perf",
    key: "5",
    about: "memory and speed",
    table: table::TABLE,
    update: update::update,
    typing: None,
    wheel: |_, _| None,
    press: |_, _| Vec::new(),
    hover: |_, _, _| None,
    splits: layout::splits,
    after: Some(gauge::ask),
    render: view::render,
    side: None,
    crumbs: None,
    explain: sheet::explained,
    copy: |_| None,
    sheet: sheet::sheet,
    printed: None,
    file_stem: None,
};

//! One head in detail.

pub mod attention;
pub mod layout;
mod side;
pub mod state;
mod table;
#[cfg(test)]
mod tests;
mod update;
pub mod view;

use crate::tui::export;
use crate::tui::export::channels;
use crate::tui::screen::ScreenParts;

/// The screen.
pub const SCREEN: ScreenParts = ScreenParts {
    title: "Head",
    key: "2",
    about: "one head: pairs, threshold, attention mass",
    table: table::TABLE,
    update: update::update,
    typing: None,
    wheel: update::wheel,
    press: update::press,
    hover: layout::hovered,
    splits: |_, _| Vec::new(),
    after: Some(update::ask),
    render: view::render,
    side: Some(side::render),
    crumbs: Some(view::crumbs),
    explain: attention::explained,
    copy: export::value,
    sheet: channels::of_head,
    printed: None,
    file_stem: Some(view::file_stem),
};

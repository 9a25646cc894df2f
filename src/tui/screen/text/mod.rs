//! The text, the prompt, and the sampling of the next run.

mod layout;
pub mod settings;
mod sheet;
pub mod state;
mod table;
#[cfg(test)]
mod tests;
mod update;
mod view;

pub use update::{ask_on, edit_prompt};

use crate::tui::screen::{ScreenParts, Typing};

/// The screen.
pub const SCREEN: ScreenParts = ScreenParts {
    title: "Text",
    key: "7",
    about: "text, prompt and sampling",
    table: table::TABLE,
    update: update::update,
    typing: Some(Typing { focus: update::focus, take: update::typed }),
    wheel: update::wheel,
    press: |_, _| Vec::new(),
    hover: |_, _, _| None,
    splits: layout::splits,
    after: Some(update::count),
    render: view::render,
    side: None,
    crumbs: None,
    explain: sheet::explained,
    copy: update::copied,
    sheet: sheet::sheet,
    printed: None,
    file_stem: None,
};

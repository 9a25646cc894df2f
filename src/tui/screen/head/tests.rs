//! The head screen.

use crate::tui::app::action::Command;
use crate::tui::screen::Screen;
use crate::tui::testing::{SMALL, act, frames, head_detail, send};

#[test]
fn a_head() {
    for (name, dump) in frames("head", SMALL, |state| {
        act(state, Command::NextLayer);
        act(state, Command::Show(Screen::Head));
        send(state, head_detail(SMALL, 1, 0));
    }) {
        insta::assert_snapshot!(name, dump);
    }
}

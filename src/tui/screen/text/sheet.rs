//! The generated tokens as a table.

use serde_json::json;

use crate::tui::app::model::ModelView;
use crate::tui::app::run::TextPiece;
use crate::tui::app::state::State;
use crate::tui::export::Sheet;
use crate::tui::screen::text::settings::SETTINGS;

/// The selected setting in words.
pub fn explained(state: &State) -> Option<String> {
    let setting = SETTINGS[state.screens.text.setting.min(SETTINGS.len() - 1)];
    let (value, meaning) = setting.value(state);
    let shown = format!("{value} {meaning}");
    let (name, shown) = (setting.name(), shown.trim_end());
    Some(format!("{name} is {shown}: {}. It counts from the next run on.", setting.about()))
}

/// One row per generated token.
pub fn sheet(state: &State, _: &ModelView) -> Sheet {
    let row =
        |(n, piece): (usize, &TextPiece)| vec![json!(n), json!(piece.text), json!(piece.logprob)];
    Sheet {
        columns: vec!["n", "text", "logprob"],
        rows: state.run.pieces.iter().enumerate().map(row).collect(),
    }
}

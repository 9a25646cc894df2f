//! The generated tokens as a table.

use serde_json::json;

use crate::tui::app::model::ModelView;
use crate::tui::app::run::TextPiece;
use crate::tui::app::state::State;
use crate::tui::export::Sheet;

/// One row per generated token.
pub fn sheet(state: &State, _: &ModelView) -> Sheet {
    let row =
        |(n, piece): (usize, &TextPiece)| vec![json!(n), json!(piece.text), json!(piece.logprob)];
    Sheet {
        columns: vec!["n", "text", "logprob"],
        rows: state.run.pieces.iter().enumerate().map(row).collect(),
    }
}

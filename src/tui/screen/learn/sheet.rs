//! The updates of the current learning run as a table.

use serde_json::json;

use crate::learn::train::Update;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::export::Sheet;

/// One row per update of the current learning run.
pub fn sheet(state: &State, _: &ModelView) -> Sheet {
    let columns = vec!["stage", "step", "distill", "reg", "mean_factor", "kept"];
    let row = |update: &Update| {
        let numbers =
            [update.distill, update.reg, update.mean, update.kept].map(|number| json!(number));
        [json!(update.stage), json!(update.step)].into_iter().chain(numbers).collect()
    };
    Sheet { columns, rows: state.screens.learn.updates.iter().map(row).collect() }
}

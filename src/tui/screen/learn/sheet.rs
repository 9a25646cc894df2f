//! The updates of the current learning run as a table.

use serde_json::json;

use crate::learn::train::Update;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::export::Sheet;
use crate::tui::paint::roughly;

/// The selected field with its value.
pub fn copied(state: &State) -> Option<String> {
    let learning = &state.screens.learn;
    Some(format!("{} {}", learning.field.name(), learning.form.value(learning.field).0))
}

/// The selected field in words.
pub fn explained(state: &State) -> Option<String> {
    let learning = &state.screens.learn;
    let (field, (value, meaning)) = (learning.field, learning.form.value(learning.field));
    let shown = format!("{value} {meaning}");
    let time = learning.estimate.as_ref().map_or(String::new(), |(estimate, _)| {
        format!(" A run of this form takes about {} here.", roughly(estimate.total()))
    });
    Some(format!("{} is {}: {}.{time}", field.name(), shown.trim_end(), field.about()))
}

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

//! The rows of an evaluation as a table.

use serde_json::{Value, json};

use crate::numbers::count;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::export::Sheet;

/// The selected field with its value.
pub fn copied(state: &State) -> Option<String> {
    let eval = &state.screens.eval;
    Some(format!("{} {}", eval.field.name(), eval.form.value(eval.field)))
}

/// The selected field in words.
pub fn explained(state: &State) -> Option<String> {
    let eval = &state.screens.eval;
    let model = state.model.as_ref().map_or("", |model| model.info.name.as_str());
    let (name, value) = (eval.field.name(), eval.form.value_for(eval.field, model));
    let done = eval.figures.as_ref().map_or(String::new(), |figures| {
        format!(" The tables beside it are over {} samples.", count(figures.control.n))
    });
    Some(format!("{name} is {value}: {}.{done}", eval.field.about()))
}

/// One row per suite, task, length and mask, the control first.
pub fn sheet(state: &State, _: &ModelView) -> Sheet {
    let columns = vec![
        "suite",
        "task",
        "ctx",
        "mask",
        "n",
        "score",
        "dense_score",
        "lost",
        "won",
        "p",
        "informative",
        "kld",
    ];
    let figures = state.screens.eval.figures.as_ref();
    let row = |row: &crate::eval::run::Row| {
        let values = serde_json::to_value(row).unwrap_or_default();
        let own = |column: &&str| values.get(*column).cloned().unwrap_or(Value::Null);
        let kld = row.kl.as_ref().map_or(Value::Null, |kl| json!(kl.kld.mean));
        columns[..columns.len() - 1].iter().map(own).chain([kld]).collect()
    };
    let rows = figures.map_or_else(Vec::new, |figures| figures.rows.iter().map(row).collect());
    Sheet { columns, rows }
}

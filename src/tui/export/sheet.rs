//! A screen's data as a table, written as CSV or JSON.

use serde_json::{Value, json};

use crate::printable::{Breaks, printable, printable_json};
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::{Error, Result};

/// A table: column names and rows of values.
pub struct Sheet {
    /// Names of the columns.
    pub columns: Vec<&'static str>,
    /// A value per column.
    pub rows: Vec<Vec<Value>>,
}

/// The table as comma-separated values (RFC 4180). What a terminal would obey is written out.
pub fn csv(sheet: &Sheet) -> Vec<u8> {
    let mut text = sheet.columns.join(",");
    text.push('\n');
    for row in &sheet.rows {
        for (index, value) in row.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            match value {
                Value::Null => {}
                Value::String(value) => {
                    let value = printable(value, Breaks::Kept);
                    if value.contains(['"', ',', '\n']) {
                        text.push_str(&format!("\"{}\"", value.replace('"', "\"\"")));
                    } else {
                        text.push_str(&value);
                    }
                }
                other => text.push_str(&other.to_string()),
            }
        }
        text.push('\n');
    }
    text.into_bytes()
}

/// The table as JSON, one object per row, with the model it belongs to.
pub fn json(state: &State, model: &ModelView) -> Result<Vec<u8>> {
    let sheet = (state.screen.parts().sheet)(state, model);
    let rows: Vec<Value> = (sheet.rows.into_iter())
        .map(|row| {
            Value::Object(sheet.columns.iter().map(|name| (*name).to_owned()).zip(row).collect())
        })
        .collect();
    let whole = json!({
        "screen": state.screen.parts().title.to_lowercase(),
        "model": model.info.name,
        "mask": model.info.mask.as_ref().map(|mask| &mask.label),
        "window": model.info.window,
        "kv_dtype": model.info.kv_dtype,
        "tokens_in_cache": state.run.cached,
        "kv_bytes": state.run.kv.total(),
        "rows": rows,
    });
    let json = serde_json::to_string_pretty(&whole)
        .map_err(|cause| Error::run(format!("writing JSON: {cause}")))?;
    Ok(printable_json(&json).into_owned().into_bytes())
}

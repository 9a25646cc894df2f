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

/// The table in Markdown: text on the left, numbers on the right.
pub fn markdown(sheet: &Sheet) -> Vec<u8> {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let escaped = |text: String| text.replace('\\', "\\\\").replace('|', "\\|");
    let mut text = line(sheet.columns.iter().map(|name| (*name).to_owned()).collect());
    let rule = |column| if is_text(sheet, column) { "---" } else { "---:" }.to_owned();
    text.push_str(&line((0..sheet.columns.len()).map(rule).collect()));
    for row in &sheet.rows {
        text.push_str(&line(row.iter().map(|value| escaped(cell(value))).collect()));
    }
    text.into_bytes()
}

/// The table in LaTeX, with the rules of `booktabs`.
pub fn latex(sheet: &Sheet) -> Vec<u8> {
    let line = |cells: Vec<String>| format!("{} \\\\\n", cells.join(" & "));
    let columns: String =
        (0..sheet.columns.len()).map(|at| if is_text(sheet, at) { 'l' } else { 'r' }).collect();
    let mut text = format!("\\begin{{tabular}}{{{columns}}}\n\\toprule\n");
    text.push_str(&line(sheet.columns.iter().map(|name| for_latex(name)).collect()));
    text.push_str("\\midrule\n");
    for row in &sheet.rows {
        text.push_str(&line(row.iter().map(|value| for_latex(&cell(value))).collect()));
    }
    text.push_str("\\bottomrule\n\\end{tabular}\n");
    text.into_bytes()
}

/// Whether a column holds anything that is no number.
fn is_text(sheet: &Sheet, column: usize) -> bool {
    let mut values = sheet.rows.iter().filter_map(|row| row.get(column));
    values.any(|value| !value.is_number() && !value.is_null())
}

/// A value on one line; numbers have six digits that count.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text, Breaks::Shown).into_owned(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) if float == 0.0 || (1e-4..1e9).contains(&float.abs()) => {
                let digits = 5 - float.abs().max(1e-9).log10().floor() as i32;
                let text = format!("{float:.*}", digits.clamp(0, 12) as usize);
                match text.contains('.') {
                    true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                    false => text,
                }
            }
            Some(float) => format!("{float:.5e}"),
            None => number.to_string(),
        },
        other => printable(&other.to_string(), Breaks::Shown).into_owned(),
    }
}

/// Text with the characters escaped that LaTeX obeys.
fn for_latex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', c]),
            _ => escaped.push(c),
        }
    }
    escaped
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

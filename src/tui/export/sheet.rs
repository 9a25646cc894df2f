//! A screen's data as a table, written as CSV or JSON, or in part for a page.

use serde_json::{Value, json};

use crate::numbers;
use crate::printable::{Breaks, printable, printable_json};
use crate::schema;
use crate::tui::app::model::ModelView;
use crate::tui::app::state::State;
use crate::tui::paint::number;
use crate::{Error, Result};

/// A table: column names and rows of values.
pub struct Sheet {
    /// Names of the columns.
    pub columns: Vec<&'static str>,
    /// A value per column.
    pub rows: Vec<Vec<Value>>,
}

impl Sheet {
    /// The place of a column.
    fn at(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| *column == name)
    }
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

/// What a table for a page has of a sheet, which may have more columns than fit one.
pub struct PrintedTable {
    /// Its columns. Those that are empty in every row are left out.
    pub columns: Vec<PrintedColumn>,
    /// What the figures are of, in a sentence.
    pub note: String,
}

/// A column of a table for a page.
pub struct PrintedColumn {
    /// The column of the sheet.
    pub of: &'static str,
    /// Its title.
    pub title: &'static str,
    /// How its values are written.
    pub shown: ShownAs,
    /// A column of the sheet, and the sign before the values of the rows where that is true.
    pub mark: Option<(&'static str, &'static str)>,
}

impl PrintedColumn {
    /// A column of the sheet with its title.
    pub fn new(of: &'static str, title: &'static str, shown: ShownAs) -> Self {
        Self { of, title, shown, mark: None }
    }

    /// With this sign where that column of the sheet is true.
    pub fn marked(self, where_true: &'static str, sign: &'static str) -> Self {
        Self { mark: Some((where_true, sign)), ..self }
    }

    /// The cell of a row.
    fn cell(&self, sheet: &Sheet, at: usize, row: &[Value]) -> String {
        let is_true = |of: &str| sheet.at(of).is_some_and(|at| row[at] == Value::Bool(true));
        let sign = self.mark.filter(|(of, _)| is_true(of)).map_or("", |(_, sign)| sign);
        format!("{sign}{}", self.shown.cell(&row[at]))
    }
}

/// How a value is written on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownAs {
    /// As it is.
    Plain,
    /// A number of bytes with its unit.
    Bytes,
    /// A share, 0..=1, in per cent.
    Percent,
    /// A number in per cent.
    Score,
    /// A figure with the digits that screens show.
    Figure,
    /// A difference of figures, with its sign.
    Change,
    /// A ratio with two decimals.
    Ratio,
}

impl ShownAs {
    fn cell(self, value: &Value) -> String {
        match (self, value.as_f64()) {
            (Self::Bytes, Some(bytes)) => numbers::bytes(bytes as u64),
            (Self::Percent, Some(share)) => numbers::percent(share, 1),
            (Self::Score, Some(score)) => format!("{score:.1} %"),
            (Self::Figure, Some(figure)) => number(figure as f32),
            (Self::Change, Some(more)) if more > 0.0 => format!("+{}", number(more as f32)),
            (Self::Change, Some(less)) => number(less as f32),
            (Self::Ratio, Some(ratio)) => format!("{ratio:.2}"),
            _ => cell(value),
        }
    }
}

/// A table as text, for a page.
pub struct Page {
    titles: Vec<String>,
    /// Whether each column holds anything that is no number.
    is_text: Vec<bool>,
    rows: Vec<Vec<String>>,
    note: String,
}

impl Page {
    /// The columns of a sheet that are printed, or all of them.
    pub fn of(sheet: &Sheet, printed: Option<&PrintedTable>) -> Self {
        let plain = |of: &&'static str| PrintedColumn::new(of, of, ShownAs::Plain);
        let all: Vec<PrintedColumn> = sheet.columns.iter().map(plain).collect();
        let is_filled = |at: usize| sheet.rows.iter().any(|row| !row[at].is_null());
        let chosen: Vec<(usize, &PrintedColumn)> = match printed {
            None => all.iter().enumerate().collect(),
            Some(table) => (table.columns.iter())
                .filter_map(|column| Some((sheet.at(column.of)?, column)))
                .filter(|(at, _)| is_filled(*at) || sheet.rows.is_empty())
                .collect(),
        };
        let cells = |row: &Vec<Value>| {
            chosen.iter().map(|(at, column)| column.cell(sheet, *at, row)).collect()
        };
        Self {
            titles: chosen.iter().map(|(_, column)| column.title.to_owned()).collect(),
            is_text: chosen.iter().map(|(at, _)| is_text(sheet, *at)).collect(),
            rows: sheet.rows.iter().map(cells).collect(),
            note: printed.map_or_else(String::new, |table| table.note.clone()),
        }
    }
}

/// The table in Markdown: text on the left, numbers on the right, and its note below.
pub fn markdown(page: &Page) -> Vec<u8> {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let escaped = |text: &String| text.replace('\\', "\\\\").replace('|', "\\|");
    let mut text = line(page.titles.iter().map(escaped).collect());
    let rule = |is_text: &bool| if *is_text { "---" } else { "---:" }.to_owned();
    text.push_str(&line(page.is_text.iter().map(rule).collect()));
    for row in &page.rows {
        text.push_str(&line(row.iter().map(escaped).collect()));
    }
    if !page.note.is_empty() {
        text.push_str(&format!("\n{}\n", page.note));
    }
    text.into_bytes()
}

/// The table in LaTeX, with the rules of `booktabs`; its note is a comment above.
pub fn latex(page: &Page) -> Vec<u8> {
    let line = |cells: Vec<String>| format!("{} \\\\\n", cells.join(" & "));
    let columns: String =
        page.is_text.iter().map(|is_text| if *is_text { 'l' } else { 'r' }).collect();
    let mut text = match page.note.is_empty() {
        true => String::new(),
        false => format!("% {}\n", page.note),
    };
    text.push_str(&format!("\\begin{{tabular}}{{{columns}}}\n\\toprule\n"));
    text.push_str(&line(page.titles.iter().map(|title| for_latex(title)).collect()));
    text.push_str("\\midrule\n");
    for row in &page.rows {
        text.push_str(&line(row.iter().map(|text| for_latex(text)).collect()));
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
            '±' => escaped.push_str("$\\pm$"),
            'Δ' => escaped.push_str("$\\Delta$"),
            '×' => escaped.push_str("$\\times$"),
            '≈' => escaped.push_str("$\\approx$"),
            '–' => escaped.push_str("--"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', c]),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// The table as JSON, one object per row, with the model it belongs to, and the name and version of
/// its schema as all JSON outputs have them.
pub fn json(state: &State, model: &ModelView) -> Result<Vec<u8>> {
    let sheet = (state.screen.parts().sheet)(state, model);
    let rows: Vec<Value> = (sheet.rows.into_iter())
        .map(|row| {
            Value::Object(sheet.columns.iter().map(|name| (*name).to_owned()).zip(row).collect())
        })
        .collect();
    let whole = json!({
        "schema": schema::name_of(&format!("screen {}", state.screen.name())),
        "schema_version": schema::SCHEMA_VERSION,
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

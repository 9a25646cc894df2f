//! Stage-1 text: one row per layer, one column per KV head and channel, separated by tabs.

use super::array::Array;
use crate::error::shortened;
use crate::{Error, Result};

/// Reads the text; the result has two axes.
pub fn parse(bytes: &[u8], name: &str) -> Result<Array> {
    let wrong = |sentence: String| Error::input(format!("{name}: {sentence}"));
    let text = std::str::from_utf8(bytes).map_err(|error| {
        wrong(format!(
            "expected text with tabs, found bytes that are not UTF-8 at offset {}",
            error.valid_up_to()
        ))
    })?;
    let (mut layers, mut columns, mut values) = (0, 0, Vec::new());
    for (row, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let before = values.len();
        for (column, field) in line.trim_end_matches(['\t', ' ', '\r']).split('\t').enumerate() {
            let value = field.trim().parse::<f32>().ok().filter(|value| value.is_finite());
            let value = value.ok_or_else(|| {
                wrong(format!(
                    "row {}, column {}: expected a finite number, found {:?}",
                    row + 1,
                    column + 1,
                    shortened(field)
                ))
            })?;
            values.push(value);
        }
        let found = values.len() - before;
        if layers > 0 && found != columns {
            return Err(wrong(format!(
                "row {}: expected {columns} columns as in the rows before, found {found}",
                row + 1
            )));
        }
        (layers, columns) = (layers + 1, found);
    }
    if layers == 0 {
        return Err(wrong("expected one row of numbers per layer, found no rows".into()));
    }
    Ok(Array { axes: vec![layers, columns], values })
}

/// Whether the first field of a file is a number, as every row of such a text begins.
pub(super) fn begins(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    let end = start.iter().position(u8::is_ascii_whitespace).unwrap_or(start.len());
    let field = start.get(..end).and_then(|field| std::str::from_utf8(field).ok());
    field.is_some_and(|field| field.parse::<f32>().is_ok())
}

/// Writes an array, every axis after the first in one row; each number is the shortest text that
/// reads back as the same f32.
pub(super) fn encode(array: &Array) -> Vec<u8> {
    let columns = array.axes.iter().skip(1).product();
    let mut text = String::new();
    for row in array.values.chunks(columns) {
        for (column, value) in row.iter().enumerate() {
            if column > 0 {
                text.push('\t');
            }
            text.push_str(&value.to_string());
        }
        text.push('\n');
    }
    text.into_bytes()
}

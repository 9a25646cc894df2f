//! `tojson` as transformers has it: Python's `json.dumps` with `ensure_ascii=False`.

use std::fmt::Write;

use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// How JSON is laid out.
struct Layout {
    ascii: bool,
    /// One item a line, with this before each level.
    indent: Option<String>,
    item: String,
    key: String,
    sorted: bool,
}

/// The filter. Arguments by position or name: `ensure_ascii`, `indent`, `separators`, `sort_keys`.
pub fn tojson(value: &Value, by_position: Rest<Value>, by_name: Kwargs) -> Result<String, Error> {
    let argument = |at: usize, name: &str| -> Result<Option<Value>, Error> {
        let named: Option<Value> = by_name.get(name)?;
        Ok(by_position.get(at).cloned().or(named).filter(|value| !value.is_undefined()))
    };
    let flag = |at, name: &str| argument(at, name).map(|value| value.is_some_and(|v| v.is_true()));
    let indent = match argument(1, "indent")?.filter(|value| !value.is_none()) {
        None => None,
        Some(text) if text.kind() == ValueKind::String => Some(text.to_string()),
        Some(count) => {
            let count = if count.kind() == ValueKind::Bool {
                i64::from(count.is_true())
            } else {
                count.as_i64().ok_or_else(|| wrong("indent must be a number or a text"))?
            };
            Some(" ".repeat(count.clamp(0, 1000) as usize))
        }
    };
    let (item, key) = match argument(2, "separators")?.filter(|value| !value.is_none()) {
        Some(pair) => {
            let pair: Vec<Value> = pair.try_iter()?.collect();
            let [item, key] = &pair[..] else { return Err(wrong("separators must be two texts")) };
            (item.to_string(), key.to_string())
        }
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let layout = Layout {
        ascii: flag(0, "ensure_ascii")?,
        indent,
        item,
        key,
        sorted: flag(3, "sort_keys")?,
    };
    by_name.assert_all_used()?;
    let mut out = String::new();
    write(&mut out, value, &layout, 0)?;
    Ok(out)
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("tojson: {what}"))
}

fn write(out: &mut String, value: &Value, layout: &Layout, depth: usize) -> Result<(), Error> {
    // Python refuses to go deeper too.
    if depth > 900 {
        return Err(wrong("the value is nested too deeply"));
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&number(value)),
        ValueKind::String => text(out, value.as_str().unwrap_or_default(), layout.ascii),
        ValueKind::Seq => {
            let items: Vec<Value> = value.try_iter()?.collect();
            block(out, ['[', ']'], items.len(), layout, depth, |out, at| {
                write(out, &items[at], layout, depth + 1)
            })?;
        }
        ValueKind::Map => {
            let mut pairs = Vec::new();
            for key in value.try_iter()? {
                let item = value.get_item(&key)?;
                pairs.push((key, item));
            }
            if layout.sorted {
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
            }
            block(out, ['{', '}'], pairs.len(), layout, depth, |out, at| {
                let (name, item) = &pairs[at];
                let name = match name.kind() {
                    ValueKind::String => name.to_string(),
                    ValueKind::None => "null".to_owned(),
                    ValueKind::Bool => if name.is_true() { "true" } else { "false" }.to_owned(),
                    ValueKind::Number => number(name),
                    _ => return Err(wrong("keys must be texts, numbers, true, false or none")),
                };
                text(out, &name, layout.ascii);
                out.push_str(&layout.key);
                write(out, item, layout, depth + 1)
            })?;
        }
        other => return Err(wrong(&format!("a value of type {other} is not JSON serializable"))),
    }
    Ok(())
}

/// A list or dictionary around its items.
fn block(
    out: &mut String,
    [open, close]: [char; 2],
    items: usize,
    layout: &Layout,
    depth: usize,
    mut item: impl FnMut(&mut String, usize) -> Result<(), Error>,
) -> Result<(), Error> {
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = &layout.indent {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(indent));
        }
    };
    out.push(open);
    for at in 0..items {
        if at > 0 {
            out.push_str(&layout.item);
        }
        line(out, depth + 1);
        item(out, at)?;
    }
    if items > 0 {
        line(out, depth);
    }
    out.push(close);
    Ok(())
}

fn text(out: &mut String, text: &str, ascii: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || (ascii && c > '~') => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A number as Python's `repr` has it.
fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_nan() => "NaN".to_owned(),
        Ok(number) if number.is_infinite() => {
            if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        }
        // Rust's debug form changes to exponents where Python does, and writes them without a sign
        // and without a leading zero.
        Ok(number) => {
            let plain = format!("{number:?}");
            match plain.split_once('e') {
                None => plain,
                Some((digits, exponent)) => {
                    let exponent: i32 = exponent.parse().unwrap_or(0);
                    let digits = digits.strip_suffix(".0").unwrap_or(digits);
                    let sign = if exponent < 0 { '-' } else { '+' };
                    format!("{digits}e{sign}{:02}", exponent.abs())
                }
            }
        }
        Err(_) => value.to_string(),
    }
}

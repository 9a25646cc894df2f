//! `tojson` as transformers has it: Python's `json.dumps` with `ensure_ascii=False`.

use std::fmt::Write;

use minijinja::Error;
use minijinja::value::{Value, ValueKind};

use super::budget::spend;
use super::given::{GivenArguments, wrong};
use super::{filters, print, values};

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
pub fn tojson(args: &[Value]) -> Result<Value, Error> {
    let (value, given) = (&args[0], GivenArguments::of(&args[1..])?);
    let indent = match given.get(1, "indent")? {
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
    let (item, key) = match given.get(2, "separators")? {
        Some(pair) => {
            let pair: Vec<Value> = pair.try_iter()?.collect();
            let [item, key] = &pair[..] else { return Err(wrong("separators must be two texts")) };
            (item.to_string(), key.to_string())
        }
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let layout = Layout {
        ascii: given.flag(0, "ensure_ascii", false)?,
        indent,
        item,
        key,
        sorted: given.flag(3, "sort_keys", false)?,
    };
    given.end(4)?;
    let mut out = String::new();
    write(&mut out, value, &layout, 0)?;
    Ok(Value::from(out))
}

fn write(out: &mut String, value: &Value, layout: &Layout, depth: usize) -> Result<(), Error> {
    spend(value.as_str().map_or(0, str::len))?;
    // Python refuses to go deeper too.
    if depth > 900 {
        return Err(wrong("the value is nested too deeply"));
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&number(value)),
        ValueKind::String => text(out, value.as_str().unwrap_or_default(), layout.ascii),
        ValueKind::Seq if values::is_tuple(value) || values::is_list(value) => {
            let items: Vec<Value> = value.try_iter()?.collect();
            block(out, ['[', ']'], items.len(), layout, depth, |out, at| {
                write(out, &items[at], layout, depth + 1)
            })?;
        }
        ValueKind::Map if !print::is_namespace(value) && !print::is_loop(value) => {
            let mut pairs = Vec::new();
            for key in value.try_iter()? {
                let item = value.get_item(&key)?;
                pairs.push((key, item));
            }
            if layout.sorted {
                filters::sort_by_key(&mut pairs, |pair| &pair.0)?;
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
        _ => return Err(wrong(format!("{} is not JSON serializable", values::name_of(value)))),
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

/// A number as Python's `repr` has it, but for infinity and NaN.
fn number(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        _ if value.is_integer() => value.to_string(),
        Ok(number) if number.is_nan() => "NaN".to_owned(),
        Ok(number) if number.is_infinite() => {
            if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        }
        Ok(number) => print::float(number),
        Err(_) => value.to_string(),
    }
}

//! Values as Python prints them: `str` and `repr`.

use std::fmt::Write;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

use super::budget::spend;
use super::values::{Range, View, ViewKind, is_tuple};

/// The deepest nesting that is printed; Python stops near it too.
const DEEPEST: usize = 900;

/// `str(value)`; an undefined value is an empty text.
pub fn text(value: &Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Ok(String::new());
    }
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => repr(value),
    }
}

/// `repr(value)`.
pub fn repr(value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    write(&mut out, value, 0)?;
    Ok(out)
}

fn write(out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
    spend(value.as_str().map_or(0, str::len))?;
    if depth > DEEPEST {
        return Err(wrong("the value is nested too deeply to print"));
    }
    if let Some(view) = value.downcast_object_ref::<View>() {
        let name = match view.kind {
            ViewKind::Items => "dict_items",
            ViewKind::Keys => "dict_keys",
            ViewKind::Values => "dict_values",
        };
        out.push_str(name);
        out.push('(');
        list(out, ['[', ']'], &view.contents()?, depth)?;
        out.push(')');
        return Ok(());
    }
    if let Some(range) = value.downcast_object_ref::<Range>() {
        let step = if range.step == 1 { String::new() } else { format!(", {}", range.step) };
        let _ = write!(out, "range({}, {}{step})", range.start, range.stop);
        return Ok(());
    }
    if is_loop(value) {
        let (at, length) = (value.get_attr("index")?, value.get_attr("length")?);
        let _ = write!(out, "<LoopContext {at}/{length}>");
        return Ok(());
    }
    if is_macro(value) {
        let _ = write!(out, "<Macro {}>", quoted(&value.get_attr("name")?.to_string()));
        return Ok(());
    }
    match value.kind() {
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => match f64::try_from(value.clone()) {
            Ok(number) if !value.is_integer() => out.push_str(&float(number)),
            _ => {
                let _ = write!(out, "{value}");
            }
        },
        ValueKind::String => {
            let text = quoted(value.as_str().unwrap_or_default());
            let _ =
                if value.is_safe() { write!(out, "Markup({text})") } else { write!(out, "{text}") };
        }
        ValueKind::Seq => {
            let items: Vec<Value> = value.try_iter()?.collect();
            match (is_tuple(value), &items[..]) {
                (true, [one]) => {
                    out.push('(');
                    write(out, one, depth + 1)?;
                    out.push_str(",)");
                }
                (true, _) => list(out, ['(', ')'], &items, depth)?,
                (false, _) => list(out, ['[', ']'], &items, depth)?,
            }
        }
        ValueKind::Map => {
            let is_namespace = is_namespace(value);
            if is_namespace && value.len() > Some(1) {
                return Err(wrong("a namespace does not keep the order to print it in"));
            }
            out.push_str(if is_namespace { "<Namespace {" } else { "{" });
            for (at, key) in value.try_iter()?.enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write(out, &key, depth + 1)?;
                out.push_str(": ");
                write(out, &value.get_item(&key)?, depth + 1)?;
            }
            out.push_str(if is_namespace { "}>" } else { "}" });
        }
        // All else has an address in Python, which nobody can know.
        _ => return Err(wrong("a function, method or generator prints its memory address")),
    }
    Ok(())
}

fn list(
    out: &mut String,
    [open, close]: [char; 2],
    items: &[Value],
    depth: usize,
) -> Result<(), Error> {
    out.push(open);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        write(out, item, depth + 1)?;
    }
    out.push(close);
    Ok(())
}

/// Whether this is a macro.
pub fn is_macro(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("::Macro"))
}

/// Whether this is the `loop` of a loop.
pub fn is_loop(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("::Loop"))
}

/// Whether this is what `namespace()` made.
pub fn is_namespace(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("::Namespace"))
}

/// A number as Python writes it: Rust's debug form changes to exponents where Python does, and
/// writes them without a sign and without a leading zero.
pub fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
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

/// A text in quotes.
pub fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
    out
}

/// Whether Python prints a character as it is.
pub fn is_printable(c: char) -> bool {
    // After another character a combining mark is not escaped for being one.
    (' '..='~').contains(&c) || !c.is_ascii() && !format!("a{c}").escape_debug().any(|c| c == '\\')
}

/// `ascii(value)`.
pub fn ascii(value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    for c in repr(value)?.chars() {
        let code = u32::from(c);
        let _ = match code {
            0..=0x7f => write!(out, "{c}"),
            0x80..=0xff => write!(out, "\\x{code:02x}"),
            0x100..=0xffff => write!(out, "\\u{code:04x}"),
            _ => write!(out, "\\U{code:08x}"),
        };
    }
    Ok(out)
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.to_owned())
}

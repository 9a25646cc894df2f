//! Filters that make numbers.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, State};

use crate::model::tokenizer::template::given::{GivenArguments, wrong};
use crate::model::tokenizer::template::methods::is_space;

/// Digits without blanks around and single underscores between.
fn plain(text: &str) -> Option<String> {
    let text = text.trim_matches(is_space);
    let is_wrong = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    (text.is_ascii() && !is_wrong).then(|| text.replace('_', "").to_ascii_lowercase())
}

fn parse_int(text: &str, base: u32) -> Option<i128> {
    let plain = plain(text)?;
    let digits = plain.strip_prefix(['-', '+']).unwrap_or(&plain);
    let sign = if plain.starts_with('-') { "-" } else { "" };
    let (mut base, mut digits) = (base, digits);
    for (prefix, own) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(rest) = digits.strip_prefix(prefix).filter(|_| base == own || base == 0) {
            (digits, base) = (rest, own);
        }
    }
    let base = if base == 0 { 10 } else { base };
    let is_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_base = (2..=36).contains(&base);
    if !(is_digits && is_base) {
        return None;
    }
    i128::from_str_radix(&format!("{sign}{digits}"), base).ok()
}

fn parse_float(text: &str) -> Option<f64> {
    let plain = plain(text)?;
    let unsigned = plain.strip_prefix(['-', '+']).unwrap_or(&plain);
    let is_word = ["inf", "infinity", "nan"].contains(&unsigned);
    let is_number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if is_word || is_number { plain.parse().ok() } else { None }
}

fn whole(number: f64) -> Result<Value, Error> {
    if !number.is_finite() {
        return Err(wrong("infinity and NaN have no whole part"));
    }
    if number.abs() >= 1e38 {
        return Err(wrong("the number needs more than 128 bits"));
    }
    let number = number.trunc() as i128;
    Ok(i64::try_from(number).map_or_else(|_| Value::from(number), Value::from))
}

pub fn int(args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let other = given.any(0, "default")?.unwrap_or_else(|| Value::from(0));
    let base = given.number(1, "base")?.unwrap_or(10);
    given.end(2)?;
    let value = &args[0];
    if let Some(text) = value.as_str() {
        if !text.is_ascii() {
            return Err(wrong("digits that are not ASCII are not supported"));
        }
        if let Some(number) = parse_int(text, u32::try_from(base).unwrap_or(1)) {
            return Ok(i64::try_from(number).map_or_else(|_| Value::from(number), Value::from));
        }
        return match parse_float(text).filter(|number| number.is_finite()) {
            Some(number) => whole(number),
            None => Ok(other),
        };
    }
    match value.kind() {
        ValueKind::Bool => Ok(Value::from(i64::from(value.is_true()))),
        ValueKind::Number if value.is_integer() => Ok(value.clone()),
        ValueKind::Number => match f64::try_from(value.clone()) {
            Ok(number) if number.is_finite() => whole(number),
            _ => Ok(other),
        },
        ValueKind::Undefined => Ok(other),
        _ => Ok(other),
    }
}

pub fn float(args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let other = given.any(0, "default")?.unwrap_or_else(|| Value::from(0.0));
    given.end(1)?;
    let value = &args[0];
    if let Some(text) = value.as_str() {
        if !text.is_ascii() {
            return Err(wrong("digits that are not ASCII are not supported"));
        }
        return Ok(parse_float(text).map_or(other, Value::from));
    }
    match value.kind() {
        ValueKind::Bool => Ok(Value::from(f64::from(u8::from(value.is_true())))),
        ValueKind::Number => f64::try_from(value.clone()).map(Value::from),
        _ => Ok(other),
    }
}

pub fn file_size(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    Value::from_function(minijinja_contrib::filters::filesizeformat).call(state, args)
}

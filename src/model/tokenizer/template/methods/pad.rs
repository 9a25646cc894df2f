//! Methods that add blanks.

use minijinja::Error;
use minijinja::value::Value;

use super::split::lines;
use crate::model::tokenizer::template::given::{GivenArguments, wrong};

/// Longest text that padding makes.
const LONGEST: usize = 1 << 20;

pub fn justified(text: &str, given: &GivenArguments, side: Padding) -> Result<Value, Error> {
    let width = given.number(0, "width")?.ok_or_else(|| wrong("`width` is missing"))?;
    let fill = given.text(1, "fillchar")?.unwrap_or_else(|| " ".to_owned());
    padded(text, width, &fill, side).map(Value::from)
}

pub fn zero_filled(text: &str, given: &GivenArguments) -> Result<Value, Error> {
    let width = given.number(0, "width")?.ok_or_else(|| wrong("`width` is missing"))?;
    let sign = if text.starts_with(['+', '-']) { 1 } else { 0 };
    let width = width.saturating_sub(sign as i64);
    let digits = padded(&text[sign..], width, "0", Padding::Left)?;
    Ok(Value::from(format!("{}{digits}", &text[..sign])))
}

/// Tabs as blanks.
pub fn expanded(text: &str, given: &GivenArguments) -> Result<Value, Error> {
    let size = given.number(0, "tabsize")?.unwrap_or(8).max(0);
    if size > 1000 {
        return Err(wrong("a tab of more than 1000 blanks is not supported"));
    }
    let (size, mut out, mut column) = (size as usize, String::new(), 0);
    for c in text.chars() {
        match c {
            '\t' if size > 0 => {
                let gap = size - column % size;
                out.push_str(&" ".repeat(gap));
                column += gap;
            }
            '\t' => {}
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    Ok(Value::from(out))
}

/// `indent`: every line but the first.
pub fn indented(text: &str, before: &str, first: bool, blank: bool) -> Result<String, Error> {
    // A line end at the end opens one more line.
    let whole = format!("{text}\n");
    let lines = lines(&whole, false);
    if before.len().saturating_mul(lines.len()) > LONGEST {
        return Err(wrong("indent: the text gets too long"));
    }
    let indented = lines.iter().enumerate().map(|(at, line)| {
        let is_indented = if at == 0 { first } else { blank || !line.is_empty() };
        format!("{}{line}", if is_indented { before } else { "" })
    });
    Ok(indented.collect::<Vec<_>>().join("\n"))
}

/// Where padding goes.
#[derive(Clone, Copy)]
pub enum Padding {
    /// Before the text.
    Left,
    /// After it.
    Right,
    /// Around it.
    Both,
}

/// A text padded to a width.
pub fn padded(text: &str, width: i64, fill: &str, side: Padding) -> Result<String, Error> {
    if fill.chars().count() != 1 {
        return Err(wrong("the fill character must be exactly one character long"));
    }
    let length = text.chars().count();
    let missing = usize::try_from(width).unwrap_or(0).saturating_sub(length);
    if missing > LONGEST {
        return Err(wrong(format!("a width of {width} is too much")));
    }
    // As Python shares it: the odd one goes left where the width is odd.
    let left = match side {
        Padding::Left => missing,
        Padding::Right => 0,
        Padding::Both => missing / 2 + (missing & 1 & (width as usize & 1)),
    };
    Ok(format!("{}{text}{}", fill.repeat(left), fill.repeat(missing - left)))
}

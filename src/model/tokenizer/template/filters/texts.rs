//! Filters of texts.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, State};

use crate::model::tokenizer::template::budget::spend;
use crate::model::tokenizer::template::given::{GivenArguments, wrong};
use crate::model::tokenizer::template::methods::{self, Padding};
use crate::model::tokenizer::template::{format as layout, print, values};

/// The value as a text; whether it is an escaped one.
fn soft(value: &Value) -> Result<(String, bool), Error> {
    Ok((print::text(value)?, value.is_safe()))
}

/// The value, which must be a text.
pub fn only_text(value: &Value) -> Result<&str, Error> {
    value.as_str().ok_or_else(|| wrong(format!("needs a text, not {}", values::name_of(value))))
}

/// A text that is escaped if the one it is made of was.
fn like(text: String, safe: bool) -> Value {
    if safe { Value::from_safe_string(text) } else { Value::from(text) }
}

fn changed(args: &[Value], change: impl Fn(&str) -> String) -> Result<Value, Error> {
    GivenArguments::of(&args[1..])?.end(0)?;
    let (text, safe) = soft(&args[0])?;
    Ok(like(change(&text), safe))
}

pub fn upper(args: &[Value]) -> Result<Value, Error> {
    changed(args, str::to_uppercase)
}

pub fn lower(args: &[Value]) -> Result<Value, Error> {
    changed(args, str::to_lowercase)
}

pub fn capitalize(args: &[Value]) -> Result<Value, Error> {
    changed(args, methods::capitalized)
}

/// Words begin after blanks, dashes and opening brackets.
pub fn title(args: &[Value]) -> Result<Value, Error> {
    changed(args, |text| {
        let mut out = String::with_capacity(text.len());
        let is_gap = |c: char| methods::is_space(c) || "-({[<".contains(c);
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let end = rest.find(|other| is_gap(other) != is_gap(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let mut chars = word.chars();
            out.extend(chars.next().into_iter().flat_map(char::to_uppercase));
            out.push_str(&chars.as_str().to_lowercase());
            rest = after;
        }
        out
    })
}

pub fn string(args: &[Value]) -> Result<Value, Error> {
    changed(args, str::to_owned)
}

pub fn trim(args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let chars = given.text(0, "chars")?;
    given.end(1)?;
    let (text, safe) = soft(&args[0])?;
    Ok(like(methods::stripped(&text, chars.as_deref(), true, true).to_owned(), safe))
}

pub fn center(args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let width = given.number(0, "width")?.unwrap_or(80);
    given.end(1)?;
    let (text, safe) = soft(&args[0])?;
    Ok(like(methods::padded(&text, width, " ", Padding::Both)?, safe))
}

pub fn replace(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let old = print::text(&given.needed(0, "old")?)?;
    let new = print::text(&given.needed(1, "new")?)?;
    let count = given.number(2, "count")?;
    given.end(3)?;
    let (text, _) = soft(&args[0])?;
    methods::replaced(state, &text, &old, &new, count).map(Value::from)
}

pub fn indent(args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let before = match given.get(0, "width")? {
        None => " ".repeat(4),
        Some(width) => match width.as_i64() {
            Some(width) => " ".repeat(width.clamp(0, 1 << 20) as usize),
            None => print::text(&width)?,
        },
    };
    let (first, blank) = (given.flag(1, "first", false)?, given.flag(2, "blank", false)?);
    given.end(3)?;
    let text = only_text(&args[0])?;
    Ok(like(methods::indented(text, &before, first, blank)?, args[0].is_safe()))
}

pub fn truncate(args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let length = given.number(0, "length")?.unwrap_or(255);
    let kill = given.flag(1, "killwords", false)?;
    let end = given.text(2, "end")?.unwrap_or_else(|| "...".to_owned());
    let leeway = given.number(3, "leeway")?.unwrap_or(5);
    given.end(4)?;
    let of_end = end.chars().count() as i64;
    if length < of_end {
        return Err(wrong(format!("expected a length of {of_end} or more, found {length}")));
    }
    if leeway < 0 {
        return Err(wrong(format!("expected a leeway of 0 or more, found {leeway}")));
    }
    let (text, safe) = (only_text(&args[0])?.to_owned(), args[0].is_safe());
    if text.chars().count() as i64 <= length.saturating_add(leeway) {
        return Ok(like(text, safe));
    }
    let cut: String = text.chars().take((length - of_end) as usize).collect();
    let cut = if kill { &cut[..] } else { cut.rsplit_once(' ').map_or(&cut[..], |(head, _)| head) };
    Ok(like(format!("{cut}{end}"), safe))
}

pub fn word_count(args: &[Value]) -> Result<Value, Error> {
    GivenArguments::of(&args[1..])?.end(0)?;
    let (text, _) = soft(&args[0])?;
    let is_gap = |c: char| !c.is_alphanumeric() && c != '_';
    Ok(Value::from(text.split(is_gap).filter(|word| !word.is_empty()).count()))
}

pub fn strip_tags(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    GivenArguments::of(&args[1..])?.end(0)?;
    let (text, _) = soft(&args[0])?;
    let strip = Value::from_function(minijinja_contrib::filters::striptags);
    strip.call(state, &[Value::from(text)])
}

pub fn join(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let between = given.any(0, "d")?.map_or(Ok(String::new()), |d| print::text(&d))?;
    let attribute = given.get(1, "attribute")?;
    given.end(2)?;
    let mut out = String::new();
    for (at, item) in values::items(&args[0])?.iter().enumerate() {
        if at > 0 {
            state.consume_fuel(between.len() as u64 / 64)?;
            out.push_str(&between);
        }
        let item = match &attribute {
            Some(path) => print::text(&super::order::at_path(item, path)?)?,
            None => print::text(item)?,
        };
        state.consume_fuel(item.len() as u64 / 64)?;
        out.push_str(&item);
    }
    Ok(Value::from(out))
}

pub fn format(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let named: Vec<String> = given.names().map(str::to_owned).collect();
    if args[0].is_safe() {
        return Err(wrong("an escaped text is not supported"));
    }
    let text = print::text(&args[0])?;
    let value = match (given.all(), &named[..]) {
        ([_, ..], [_, ..]) => return Err(wrong("takes values by position or by name, not both")),
        (values, []) => Value::from(minijinja::value::Tuple::from(values.to_vec())),
        ([], names) => {
            let pair = |name: &String| Ok((name.clone(), given.needed(usize::MAX, name)?));
            Value::from_pairs(names.iter().map(pair).collect::<Result<Vec<_>, Error>>()?)
        }
    };
    layout::percent(state, &text, &value).map(Value::from)
}

/// The text with `&`, `<`, `>` and quotes as entities.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&#34;")
}

pub fn escape(args: &[Value]) -> Result<Value, Error> {
    if args[0].is_safe() { Ok(args[0].clone()) } else { force_escape(args) }
}

pub fn force_escape(args: &[Value]) -> Result<Value, Error> {
    GivenArguments::of(&args[1..])?.end(0)?;
    Ok(Value::from_safe_string(escaped(&print::text(&args[0])?)))
}

pub fn safe(args: &[Value]) -> Result<Value, Error> {
    GivenArguments::of(&args[1..])?.end(0)?;
    Ok(Value::from_safe_string(print::text(&args[0])?))
}

/// `repr` with sorted dictionaries, where it is a line of 80 at most.
pub fn pprint(args: &[Value]) -> Result<Value, Error> {
    GivenArguments::of(&args[1..])?.end(0)?;
    let text = print::repr(&sorted(&args[0])?)?;
    if text.chars().count() > 80 {
        return Err(wrong("more than one line is not supported"));
    }
    Ok(Value::from(text))
}

fn sorted(value: &Value) -> Result<Value, Error> {
    spend(0)?;
    match value.kind() {
        ValueKind::Map => {
            let mut pairs = Vec::new();
            for key in value.try_iter()? {
                pairs.push((key.clone(), sorted(&value.get_item(&key)?)?));
            }
            super::order::sort_by_key(&mut pairs, |pair| &pair.0)?;
            Ok(Value::from_pairs(pairs))
        }
        ValueKind::Seq if values::is_list(value) => value
            .try_iter()?
            .map(|item| sorted(&item))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::from),
        _ => Ok(value.clone()),
    }
}

/// A text, or pairs as a query.
pub fn url_encode(args: &[Value]) -> Result<Value, Error> {
    GivenArguments::of(&args[1..])?.end(0)?;
    let encoded = |value: &Value, kept: &str| -> Result<String, Error> {
        let mut out = String::new();
        for byte in print::text(value)?.bytes() {
            let c = char::from(byte);
            if c.is_ascii_alphanumeric() || "_.-~".contains(c) || kept.contains(c) {
                out.push(c);
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
        Ok(out)
    };
    let value = &args[0];
    let is_pairs = value.kind() == ValueKind::Map;
    if value.as_str().is_some() || values::items(value).is_err() {
        return encoded(value, "/").map(Value::from);
    }
    let mut parts = Vec::new();
    for item in values::items(value)? {
        let (key, item) = if is_pairs {
            (item.clone(), value.get_item(&item)?)
        } else {
            match &values::items(&item)?[..] {
                [key, item] => (key.clone(), item.clone()),
                _ => return Err(wrong("expected pairs")),
            }
        };
        let plus = |text: String| text.replace("%20", "+");
        parts.push(format!("{}={}", plus(encoded(&key, "")?), plus(encoded(&item, "")?)));
    }
    Ok(Value::from(parts.join("&")))
}

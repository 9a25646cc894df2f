//! Methods that look for a part of a text.

use minijinja::value::Value;
use minijinja::{Error, State};

use crate::model::tokenizer::template::given::{GivenArguments, wrong};
use crate::model::tokenizer::template::values::{is_tuple, items, name_of};

pub fn count(text: &str, given: &GivenArguments) -> Result<Value, Error> {
    let what = given.needed_text(0, "sub")?;
    let Some((_, within)) = range(text, given)? else { return Ok(Value::from(0)) };
    Ok(Value::from(if what.is_empty() {
        within.chars().count() + 1
    } else {
        within.matches(&what[..]).count()
    }))
}

fn place(text: &str, given: &GivenArguments, from_end: bool) -> Result<Option<i64>, Error> {
    let what = given.needed_text(0, "sub")?;
    let Some((offset, within)) = range(text, given)? else { return Ok(None) };
    let found = if from_end { within.rfind(&what) } else { within.find(&what) };
    Ok(found.map(|at| offset + within[..at].chars().count() as i64))
}

pub fn find(text: &str, given: &GivenArguments, from_end: bool) -> Result<Value, Error> {
    Ok(Value::from(place(text, given, from_end)?.unwrap_or(-1)))
}

pub fn index(text: &str, given: &GivenArguments, from_end: bool) -> Result<Value, Error> {
    place(text, given, from_end)?.map(Value::from).ok_or_else(|| wrong("substring not found"))
}

/// `startswith` and `endswith`.
pub fn has_edge(text: &str, given: &GivenArguments, is_start: bool) -> Result<Value, Error> {
    let what = given.needed(0, "prefix")?;
    let within = range(text, given)?;
    let fits = |what: &Value| -> Result<bool, Error> {
        let what = what.as_str().ok_or_else(|| {
            wrong(format!("expected a text or a tuple of texts, found {}", name_of(what)))
        })?;
        Ok(within.is_some_and(|(_, within)| {
            if is_start { within.starts_with(what) } else { within.ends_with(what) }
        }))
    };
    if !is_tuple(&what) {
        return fits(&what).map(Value::from);
    }
    let mut any = false;
    for one in what.try_iter()? {
        any |= fits(&one)?;
    }
    Ok(Value::from(any))
}

pub fn replace(
    state: &mut State<'_, '_>,
    text: &str,
    given: &GivenArguments,
) -> Result<Value, Error> {
    let (old, new) = (given.needed_text(0, "old")?, given.needed_text(1, "new")?);
    let count = given.number(2, "count")?;
    replaced(state, text, &old, &new, count).map(Value::from)
}

/// A text with `new` for `old`, as often as `count` says where it is not negative.
pub fn replaced(
    state: &State<'_, '_>,
    text: &str,
    old: &str,
    new: &str,
    count: Option<i64>,
) -> Result<String, Error> {
    let count = count.filter(|&count| count >= 0).map_or(usize::MAX, |count| count as usize);
    let most = (text.len() / old.len().max(1) + 1).min(count);
    let longer = most.saturating_mul(new.len().saturating_sub(old.len()));
    state.consume_fuel(longer as u64 / 64)?;
    Ok(text.replacen(old, new, count))
}

pub fn join(state: &mut State<'_, '_>, text: &str, given: &GivenArguments) -> Result<Value, Error> {
    let list = given.needed(0, "iterable")?;
    let mut out = String::new();
    for (at, item) in items(&list)?.iter().enumerate() {
        if at > 0 {
            state.consume_fuel(text.len() as u64 / 64)?;
            out.push_str(text);
        }
        match item.as_str() {
            Some(item) => {
                state.consume_fuel(item.len() as u64 / 64)?;
                out.push_str(item);
            }
            None => {
                let kind = name_of(item);
                return Err(wrong(format!("expected texts, found {kind} as item {at}")));
            }
        }
    }
    Ok(Value::from(out))
}

/// The part of a text that the arguments `start` and `end` name, and the characters before it.
fn range<'a>(text: &'a str, given: &GivenArguments) -> Result<Option<(i64, &'a str)>, Error> {
    let (start, end) = (given.number(1, "start")?, given.number(2, "end")?);
    if start.is_none() && end.is_none() {
        return Ok(Some((0, text)));
    }
    let length = text.chars().count() as i64;
    let place = |at: i64| if at < 0 { (length + at).max(0) } else { at };
    let (start, end) = (place(start.unwrap_or(0)), place(end.unwrap_or(length)));
    let byte = |at: i64| text.char_indices().nth(at as usize).map_or(text.len(), |(byte, _)| byte);
    // An empty text is not even found where the end lies before the start.
    Ok((start <= end && start <= length).then(|| (start, &text[byte(start)..byte(end)])))
}

//! Methods that take a text apart.

use minijinja::Error;
use minijinja::value::{Tuple, Value};

use super::classes::is_space;
use crate::model::tokenizer::template::given::{GivenArguments, wrong};

fn texts<'a>(items: impl IntoIterator<Item = &'a str>) -> Value {
    items.into_iter().map(Value::from).collect()
}

pub fn partition(text: &str, given: &GivenArguments, from_end: bool) -> Result<Value, Error> {
    let separator = given.needed_text(0, "sep")?;
    if separator.is_empty() {
        return Err(wrong("empty separator"));
    }
    let found = if from_end { text.rfind(&separator) } else { text.find(&separator) };
    let parts = match found {
        Some(at) => {
            let end = at + separator.len();
            [&text[..at], &text[at..end], &text[end..]]
        }
        None if from_end => ["", "", text],
        None => [text, "", ""],
    };
    Ok(Value::from(Tuple::from(parts.map(Value::from).to_vec())))
}

/// A text without a beginning or an end.
pub fn without(text: &str, given: &GivenArguments, is_prefix: bool) -> Result<Value, Error> {
    let part = given.needed_text(0, if is_prefix { "prefix" } else { "suffix" })?;
    let cut = if is_prefix { text.strip_prefix(&part[..]) } else { text.strip_suffix(&part[..]) };
    Ok(Value::from(cut.unwrap_or(text)))
}

pub fn strip(text: &str, given: &GivenArguments, start: bool, end: bool) -> Result<Value, Error> {
    let chars = given.text(0, "chars")?;
    Ok(Value::from(stripped(text, chars.as_deref(), start, end)))
}

/// A text without characters at its start or end; without blanks where none are named.
pub fn stripped<'a>(text: &'a str, chars: Option<&str>, start: bool, end: bool) -> &'a str {
    let is_cut = |c: char| chars.map_or(is_space(c), |chars| chars.contains(c));
    let text = if start { text.trim_start_matches(is_cut) } else { text };
    if end { text.trim_end_matches(is_cut) } else { text }
}

pub fn split(text: &str, given: &GivenArguments, from_end: bool) -> Result<Value, Error> {
    let most = given.number(1, "maxsplit")?.filter(|&most| most >= 0);
    let most = most.map_or(usize::MAX, |most| most as usize);
    Ok(match given.text(0, "sep")? {
        Some(separator) if separator.is_empty() => return Err(wrong("empty separator")),
        Some(separator) if from_end => {
            let mut parts: Vec<&str> =
                text.rsplitn(most.saturating_add(1), &separator[..]).collect();
            parts.reverse();
            texts(parts)
        }
        Some(separator) => texts(text.splitn(most.saturating_add(1), &separator[..])),
        None if from_end => texts(last_words(text, most)),
        None => texts(words(text, most)),
    })
}

pub fn split_lines(text: &str, given: &GivenArguments) -> Result<Value, Error> {
    Ok(texts(lines(text, given.flag(0, "keepends", false)?)))
}

/// Words between white space; what is left after `most` splits is the last, as it is.
fn words(text: &str, most: usize) -> Vec<&str> {
    let mut rest = text.trim_start_matches(is_space);
    let mut found = Vec::new();
    while !rest.is_empty() {
        if found.len() == most {
            found.push(rest);
            break;
        }
        let end = rest.find(is_space).unwrap_or(rest.len());
        found.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(is_space);
    }
    found
}

/// As `words`, split from the end.
fn last_words(text: &str, most: usize) -> Vec<&str> {
    let mut rest = text.trim_end_matches(is_space);
    let mut found = Vec::new();
    while !rest.is_empty() {
        if found.len() == most {
            found.push(rest);
            break;
        }
        let start = rest
            .char_indices()
            .rev()
            .find(|&(_, c)| is_space(c))
            .map_or(0, |(at, c)| at + c.len_utf8());
        found.push(&rest[start..]);
        rest = rest[..start].trim_end_matches(is_space);
    }
    found.reverse();
    found
}

/// Lines, at every line end that Python knows.
pub fn lines(text: &str, keep: bool) -> Vec<&str> {
    let is_end = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some(at) = rest.find(is_end) else {
            found.push(rest);
            break;
        };
        let end = if rest[at..].starts_with("\r\n") {
            at + 2
        } else {
            at + rest[at..].chars().next().map_or(0, char::len_utf8)
        };
        found.push(&rest[..if keep { end } else { at }]);
        rest = &rest[end..];
    }
    found
}

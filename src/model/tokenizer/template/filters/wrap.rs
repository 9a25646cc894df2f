//! `wordwrap`, which is Python's `textwrap`.

use minijinja::Error;
use minijinja::value::Value;

use super::texts::only_text;
use crate::model::tokenizer::template::budget::spend;
use crate::model::tokenizer::template::given::{GivenArguments, wrong};
use crate::model::tokenizer::template::methods::lines;

pub fn wordwrap(args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let width = given.number(0, "width")?.unwrap_or(79);
    let breaks_words = given.flag(1, "break_long_words", true)?;
    let between = given.text(2, "wrapstring")?.unwrap_or_else(|| "\n".to_owned());
    let breaks_hyphens = given.flag(3, "break_on_hyphens", true)?;
    given.end(4)?;
    let Some(width) = usize::try_from(width).ok().filter(|&width| width > 0) else {
        return Err(wrong(format!("expected a width of 1 or more, found {width}")));
    };
    let text = only_text(&args[0])?;
    let mut found = Vec::new();
    for line in lines(text, false) {
        let chars: Vec<char> = line.chars().collect();
        let lines = wrapped(chunks(&chars, breaks_hyphens), width, breaks_words, breaks_hyphens);
        spend(between.len().saturating_mul(lines.len()))?;
        found.push(lines.join(&between));
    }
    spend(between.len().saturating_mul(found.len()))?;
    Ok(Value::from(found.join(&between)))
}

fn is_gap(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// A letter for the hyphen rules.
fn is_letter(c: Option<&char>) -> bool {
    c.is_some_and(|&c| c.is_alphabetic())
}

fn is_word(c: Option<&char>) -> bool {
    c.is_some_and(|&c| c.is_alphanumeric() || c == '_')
}

fn is_word_or_mark(c: Option<&char>) -> bool {
    is_word(c) || c.is_some_and(|c| "!\"'&.,?".contains(*c))
}

/// A line as words and the gaps between them; words end after a hyphen too.
fn chunks(line: &[char], breaks_hyphens: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < line.len() {
        let mut end = start + 1;
        if is_gap(line[start]) {
            while end < line.len() && is_gap(line[end]) {
                end += 1;
            }
        } else if let Some(length) = dashes(line, start).filter(|_| breaks_hyphens) {
            end = start + length;
        } else {
            while end < line.len()
                && !is_gap(line[end])
                && !(breaks_hyphens && ends(line, start, end))
            {
                end += 1;
            }
        }
        found.push(line[start..end].iter().collect());
        start = end;
    }
    found
}

/// The length of dashes between words that begin here.
fn dashes(line: &[char], at: usize) -> Option<usize> {
    let length = line[at..].iter().take_while(|&&c| c == '-').count();
    let before = at.checked_sub(1).and_then(|before| line.get(before));
    (length >= 2 && is_word_or_mark(before) && is_word(line.get(at + length))).then_some(length)
}

/// Whether a word that began at `start` ends before `at`: after a hyphen between letters, or before
/// dashes.
fn ends(line: &[char], start: usize, at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|place| line.get(place));
    let is_hyphen = |c: Option<&char>| c == Some(&'-');
    let letters = is_letter(before(2)) && is_letter(before(3));
    let spelled = is_letter(before(4)) && is_hyphen(before(3)) && is_word_or_mark(before(2));
    let next = is_letter(line.get(at))
        && (is_letter(line.get(at + 1))
            || is_hyphen(line.get(at + 1)) && is_letter(line.get(at + 2)));
    let after_hyphen = at - start >= 2 && is_hyphen(before(1)) && (letters || spelled) && next;
    after_hyphen || is_word_or_mark(before(1)) && dashes(line, at).is_some()
}

/// Chunks as lines of a width.
fn wrapped(
    chunks: Vec<String>,
    width: usize,
    breaks_words: bool,
    breaks_hyphens: bool,
) -> Vec<String> {
    let length = |text: &str| text.chars().count();
    let is_blank = |text: &str| text.trim().is_empty();
    let mut rest: std::collections::VecDeque<String> = chunks.into();
    let mut lines: Vec<String> = Vec::new();
    while !rest.is_empty() {
        let mut line: Vec<String> = Vec::new();
        let mut used = 0;
        if !lines.is_empty() && rest.front().is_some_and(|chunk| is_blank(chunk)) {
            rest.pop_front();
        }
        while let Some(chunk) = rest.pop_front_if(|chunk| used + length(chunk) <= width) {
            used += length(&chunk);
            line.push(chunk);
        }
        if let Some(long) = rest.pop_front_if(|chunk| length(chunk) > width) {
            let room = width - used;
            if breaks_words {
                let chars: Vec<char> = long.chars().collect();
                let hyphen = chars[..room.min(chars.len())].iter().rposition(|&c| c == '-');
                let hyphen = hyphen.filter(|&at| {
                    breaks_hyphens && at > 0 && chars[..at].iter().any(|&c| c != '-')
                });
                let end = hyphen.map_or(room, |at| at + 1);
                line.push(chars[..end].iter().collect());
                rest.push_front(chars[end..].iter().collect());
            } else if line.is_empty() {
                line.push(long);
            } else {
                rest.push_front(long);
            }
        }
        if line.last().is_some_and(|chunk| is_blank(chunk)) {
            line.pop();
        }
        if !line.is_empty() {
            lines.push(line.concat());
        }
    }
    lines
}

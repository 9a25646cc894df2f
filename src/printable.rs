//! Text of files, models and prompts on its way to a terminal: what a terminal would obey, it shows
//! instead.

use std::borrow::Cow;
use std::fmt::Write;

/// Line breaks and tabs of a longer text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaks {
    /// Stay what they are.
    Kept,
    /// Are shown as well: the text is part of one line.
    Shown,
}

/// The text with every control character written out: `\x1b` for an escape, `\u{202e}` for one that
/// turns the direction of writing.
pub fn printable(text: &str, breaks: Breaks) -> Cow<'_, str> {
    let is_shown = |c: char| match c {
        '\n' | '\t' => breaks == Breaks::Shown,
        c => is_obeyed(c),
    };
    if !text.contains(is_shown) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !is_shown(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x100 => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    Cow::Owned(out)
}

/// Most characters of a message: more than the longest path and what is wrong with it.
const LONGEST_MESSAGE: usize = 1200;

/// A message as one line of a terminal: printable, line breaks and all, and where it is long by what
/// a file or an argument holds, with `…` for its middle. Both ends stay: what is wrong comes first,
/// and what was expected often last.
pub fn message(text: &str) -> String {
    let shown = printable(text.trim_end(), Breaks::Shown);
    let count = shown.chars().count();
    if count <= LONGEST_MESSAGE {
        return shown.into_owned();
    }
    const END: usize = LONGEST_MESSAGE / 3;
    let start = shown.chars().take(LONGEST_MESSAGE - END - 1);
    start.chain(['…']).chain(shown.chars().skip(count - END)).collect()
}

/// The text as content or attribute of HTML and SVG: printable, and without markup of its own.
pub fn without_markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable(text, Breaks::Shown).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The text as content of Markdown: printable, with a backslash before what Markdown or the HTML in it
/// would obey.
pub fn without_marks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable(text, Breaks::Shown).chars() {
        if "\\`*[]<&|~".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// JSON with what JSON itself leaves as it is, but a terminal would obey, in JSON's own escapes:
/// the same value.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    let is_shown = |c: char| c != '\n' && is_obeyed(c);
    if !json.contains(is_shown) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_shown(c) {
            // All of them are in the first plane.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Whether a terminal acts on a character: the controls of ASCII and of Latin 1, line and paragraph
/// separators, and the marks that change the direction of writing.
pub fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Lines of at most `width` characters, broken at blanks; a longer word stands alone.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is one");
        let used = last.chars().count();
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if used > 0 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{Breaks, LONGEST_MESSAGE, message, printable, printable_json, wrapped};

    #[test]
    fn what_a_terminal_obeys_is_written_out() {
        for (text, kept, shown) in [
            ("plain grüße 日本 🙂", "plain grüße 日本 🙂", "plain grüße 日本 🙂"),
            ("a\nb\tc", "a\nb\tc", "a\\nb\\tc"),
            ("\u{1b}[2J", "\\x1b[2J", "\\x1b[2J"),
            ("\u{1b}]52;c;AA\u{7}", "\\x1b]52;c;AA\\x07", "\\x1b]52;c;AA\\x07"),
            ("\u{9b}31m\u{7f}\0\r\n", "\\x9b31m\\x7f\\x00\\r\n", "\\x9b31m\\x7f\\x00\\r\\n"),
            (
                "\u{202e}x\u{2069}\u{2028}",
                "\\u{202e}x\\u{2069}\\u{2028}",
                "\\u{202e}x\\u{2069}\\u{2028}",
            ),
            // Joiners and variation selectors are part of a character.
            ("👩\u{200d}👧 ❤\u{fe0f}", "👩\u{200d}👧 ❤\u{fe0f}", "👩\u{200d}👧 ❤\u{fe0f}"),
        ] {
            assert_eq!(printable(text, Breaks::Kept), kept);
            assert_eq!(printable(text, Breaks::Shown), shown);
        }
    }

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        assert_eq!(message("a\nb\u{1b}[2J\n"), "a\\nb\\x1b[2J");
        let long =
            message(&format!("x.json: `{}` is no name, expected text\u{7}", "é".repeat(300_000)));
        assert_eq!(long.chars().count(), LONGEST_MESSAGE);
        assert!(long.starts_with("x.json: `é") && long.contains('…'), "{long}");
        assert!(long.ends_with("é` is no name, expected text\\x07"), "{long}");
        let fits = "y".repeat(LONGEST_MESSAGE);
        assert_eq!(message(&fits), fits);
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({"a\u{9b}": "\u{1b}\u{7f}\u{85}\u{202e}\n\\u"});
        let json = serde_json::to_string_pretty(&value).unwrap();
        let printed = printable_json(&json);
        assert!(!printed.chars().any(|c| c.is_control() && c != '\n'), "{printed:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), value);
    }

    #[test]
    fn sentences_are_wrapped_and_long_words_stand_alone() {
        assert_eq!(wrapped("a cache of 16 GiB", 8), ["a cache", "of 16", "GiB"]);
        assert_eq!(wrapped("unbreakable it is", 4), ["unbreakable", "it", "is"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}

//! What kind of character it is.

use minijinja::Error;
use minijinja::value::Value;

use crate::model::tokenizer::template::given::wrong;

/// Whether all characters are of a kind, and there is one.
pub fn every(text: &str, is: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(is)
}

/// White space of Python: Unicode's, and four separators of ASCII.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// A letter for Python: no mark and no number of letters.
pub fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || !c.is_ascii() && c.is_alphabetic() && !c.is_numeric() && !is_mark(c)
}

/// Vowel signs, which Unicode calls alphabetic and Python does not.
fn is_mark(c: char) -> bool {
    // A mark that joins what is before it is escaped where it is alone; others have case or not.
    c.escape_debug().count() > 1 || MARKS.iter().any(|&(low, high)| (low..=high).contains(&c))
}

/// Spacing vowel signs of the scripts of India.
const MARKS: &[(char, char)] = &[
    ('\u{903}', '\u{903}'),
    ('\u{93e}', '\u{940}'),
    ('\u{949}', '\u{94c}'),
    ('\u{982}', '\u{983}'),
    ('\u{9be}', '\u{9cc}'),
    ('\u{a3e}', '\u{a40}'),
    ('\u{abe}', '\u{acc}'),
    ('\u{bbe}', '\u{bcc}'),
    ('\u{c3e}', '\u{c4c}'),
    ('\u{cbe}', '\u{ccc}'),
    ('\u{d3e}', '\u{d4c}'),
];

/// Decimal digits of any script: those that come in runs of ten are numeric and no fraction, Roman
/// or circled number.
pub fn is_decimal(c: char) -> bool {
    c.is_ascii_digit()
        || (c.is_numeric()
            && !c.is_alphabetic()
            && DIGITS.iter().any(|&zero| (zero..zero + 10).contains(&u32::from(c))))
}

/// Superscripts and circled digits, which Python's `isdigit` takes and `isdecimal` does not.
fn is_digit_like(c: char) -> bool {
    matches!(c, '²' | '³' | '¹' | '⁰' | '⁴'..='⁹' | '₀'..='₉' | '①'..='⑨' | '⑴'..='⑼' | '⒈'..='⒐')
}

/// The zeros of the scripts in common use.
const DIGITS: &[u32] = &[
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6,
    0xe50, 0xed0, 0xf20, 0x1040, 0x17e0, 0x1810, 0xff10,
];

/// A digit of any kind.
pub fn is_digit(c: char) -> bool {
    is_decimal(c) || is_digit_like(c)
}

/// Numbers of any kind. Errors: ideographs, some of which are numbers for Python.
pub fn is_numeric(text: &str) -> Result<Value, Error> {
    let is_ideograph = |c: char| ('\u{3400}'..='\u{9fff}').contains(&c) || c >= '\u{f900}';
    if text.chars().any(|c| is_ideograph(c) && !c.is_numeric()) {
        return Err(wrong("of ideographs is not supported"));
    }
    Ok(Value::from(every(text, char::is_numeric)))
}

pub fn is_identifier(text: &str) -> bool {
    every(text, |c| c.is_alphanumeric() || c == '_') && !text.starts_with(char::is_numeric)
}

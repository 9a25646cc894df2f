//! Escapes in the texts of a template.

use minijinja::Error;
use minijinja::machinery::Span;

use super::statements::refused;

/// Refuses numbers that begin with a zero, as Python does.
pub fn check_number(source: &str, span: Span) -> Result<(), Error> {
    let range = span.start_offset as usize..span.end_offset as usize;
    let written = source.get(range).unwrap_or_default();
    let is_digits = written.bytes().all(|byte| byte.is_ascii_digit());
    if is_digits && written.starts_with('0') && written.bytes().any(|byte| byte != b'0') {
        return Err(refused(&format!("`{written}` begins with a zero"), span));
    }
    Ok(())
}

/// Refuses escapes that Python knows and minijinja does not.
pub fn check(source: &str, span: Span) -> Result<(), Error> {
    let range = span.start_offset as usize..span.end_offset as usize;
    let mut rest = source.get(range).unwrap_or_default();
    while let Some((_, after)) = rest.split_once('\\') {
        let mut chars = after.chars();
        let next = chars.next();
        if let Some(c @ ('a' | 'v' | 'N' | 'U' | '\n')) = next {
            let what = format!("the escape `\\{}` in a text is not supported", c.escape_default());
            return Err(refused(&what, span));
        }
        rest = chars.as_str();
    }
    Ok(())
}

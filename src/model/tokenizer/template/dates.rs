//! `strftime_now`: the date and time of now as Python's `strftime` writes it over glibc.

use chrono::format::{Item, StrftimeItems};
use minijinja::Error;

use super::given::wrong;

/// Letters after `%` that mean a number, here as there.
const NUMBERS: &str = "CdgGHIjklmMSsuUVwWyYe";

/// Letters that mean a word or several of these.
const WORDS: &str = "aAbBhcDFnprRtTxXP%";

/// The date and time of now, here, in the format of Python's `strftime`. glibc's flags count: `-`
/// pads with nothing, `_` with spaces, `0` with zeros, `^` makes letters large, `#` changes their
/// case.
pub(super) fn strftime_now(format: &str) -> Result<String, Error> {
    written(format, chrono::Local::now().naive_local())
}

fn written(format: &str, time: chrono::NaiveDateTime) -> Result<String, Error> {
    let refused = || wrong(format!("strftime_now: the format `{format}` is not supported"));
    let mut out = String::with_capacity(format.len());
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let mut kind = letters.next().ok_or_else(refused)?;
        let mut flag = None;
        if "-_0^#".contains(kind) {
            flag = Some(kind);
            kind = letters.next().ok_or_else(refused)?;
        }
        let of_time = |spelled: &str| {
            let items: Vec<Item<'_>> = StrftimeItems::new(spelled).collect();
            match items.contains(&Item::Error) {
                true => Err(refused()),
                false => Ok(time.format_with_items(items.into_iter()).to_string()),
            }
        };
        match (kind, flag) {
            // Python replaces this before glibc sees it, and counts microseconds.
            ('f', None) => out.push_str(&of_time("%6f")?),
            // The time of `datetime.now()` has no zone.
            ('z' | 'Z', None) => {}
            (kind, Some(pad @ ('-' | '_' | '0'))) if NUMBERS.contains(kind) => {
                out.push_str(&of_time(&format!("%{pad}{kind}"))?);
            }
            (kind, None | Some('^' | '#')) if NUMBERS.contains(kind) => {
                out.push_str(&of_time(&format!("%{kind}"))?);
            }
            (kind, None) if WORDS.contains(kind) => out.push_str(&of_time(&format!("%{kind}"))?),
            ('p', Some('#')) => out.push_str(&of_time("%p")?.to_lowercase()),
            (kind @ ('a' | 'A' | 'b' | 'B' | 'h' | 'p'), Some('^' | '#')) => {
                out.push_str(&of_time(&format!("%{kind}"))?.to_uppercase());
            }
            // What a word is padded to is the word.
            (kind @ ('a' | 'A' | 'b' | 'B' | 'h' | 'p'), Some('-' | '_' | '0')) => {
                out.push_str(&of_time(&format!("%{kind}"))?);
            }
            _ => return Err(refused()),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Python's `datetime.strftime` has them.
    #[test]
    fn a_date_is_written_as_python_writes_it() {
        let day = chrono::NaiveDate::from_ymd_opt(2006, 1, 8).unwrap();
        let time = day.and_hms_micro_opt(15, 4, 9, 25).unwrap();
        for (format, expected) in [
            ("%C", "20"),
            ("%-C", "20"),
            ("%g", "06"),
            ("%-d", "8"),
            ("%_d", " 8"),
            ("%0e", "08"),
            ("%e", " 8"),
            ("%-e", "8"),
            ("%-H", "15"),
            ("%-I", "3"),
            ("%_I", " 3"),
            ("%k", "15"),
            ("%-l", "3"),
            ("%l", " 3"),
            ("%-j", "8"),
            ("%_j", "  8"),
            ("%-m", "1"),
            ("%-M", "4"),
            ("%_S", " 9"),
            ("%-S", "9"),
            ("%-u", "7"),
            ("%-U", "2"),
            ("%_U", " 2"),
            ("%V", "01"),
            ("%-V", "1"),
            ("%-W", "1"),
            ("%y", "06"),
            ("%-y", "6"),
            ("%_y", " 6"),
            ("%Y", "2006"),
            ("%-Y", "2006"),
            ("%_Y", "2006"),
            ("%G", "2006"),
            ("%^a", "SUN"),
            ("%#a", "SUN"),
            ("%^A", "SUNDAY"),
            ("%^b", "JAN"),
            ("%#B", "JANUARY"),
            ("%^h", "JAN"),
            ("%p", "PM"),
            ("%#p", "pm"),
            ("%^p", "PM"),
            ("%P", "pm"),
            ("%-B", "January"),
            ("%_a", "Sun"),
            ("%0A", "Sunday"),
            ("%f", "000025"),
            ("[%z%Z]", "[]"),
            ("%D", "01/08/06"),
            ("%F", "2006-01-08"),
            ("%T", "15:04:09"),
            ("%R", "15:04"),
            ("%r", "03:04:09 PM"),
            ("%c", "Sun Jan  8 15:04:09 2006"),
            ("%x", "01/08/06"),
            ("%X", "15:04:09"),
            ("%%", "%"),
            ("%n", "\n"),
            ("%t", "\t"),
            ("%^d", "08"),
            ("%#m", "01"),
            ("%w", "0"),
            ("%-w", "0"),
            ("%-k", "15"),
            ("%0k", "15"),
            ("%0l", "03"),
        ] {
            assert_eq!(written(format, time).unwrap(), expected, "{format}");
        }
    }
}

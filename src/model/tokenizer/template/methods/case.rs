//! Capital and small letters.

/// The first character of a word as a title has it.
fn titled(c: char) -> String {
    let code = u32::from(c);
    let one = |code: u32| char::from_u32(code).map(String::from).unwrap_or_default();
    match code {
        0x1c4..=0x1c6 => "\u{1c5}".to_owned(),
        0x1c7..=0x1c9 => "\u{1c8}".to_owned(),
        0x1ca..=0x1cc => "\u{1cb}".to_owned(),
        0x1f1..=0x1f3 => "\u{1f2}".to_owned(),
        // Georgian has capitals, and titles do not use them.
        0x10d0..=0x10ff => c.to_string(),
        0x1f80..=0x1faf => one(code | 8),
        0x1fb3 | 0x1fc3 | 0x1ff3 => one(code + 9),
        0x1fbc | 0x1fcc | 0x1ffc => c.to_string(),
        // The rest is large or a mark.
        0x149 => "\u{2bc}N".to_owned(),
        0x1fb2 | 0x1fc2 | 0x1ff2 => one(code + 8) + "\u{345}",
        0x1fb4 => "\u{386}\u{345}".to_owned(),
        0x1fc4 => "\u{389}\u{345}".to_owned(),
        0x1ff4 => "\u{38f}\u{345}".to_owned(),
        0x1fb7 => "\u{391}\u{342}\u{345}".to_owned(),
        0x1fc7 => "\u{397}\u{342}\u{345}".to_owned(),
        0x1ff7 => "\u{3a9}\u{342}\u{345}".to_owned(),
        _ => {
            let mut upper = c.to_uppercase();
            let first = upper.next().map(String::from).unwrap_or_default();
            first + &upper.collect::<String>().to_lowercase()
        }
    }
}

pub fn capitalized(text: &str) -> String {
    word(text)
}

/// A word, the first letter large.
fn word(word: &str) -> String {
    let Some(first) = word.chars().next() else { return String::new() };
    // In small letters as a whole: the last of a word can differ.
    let small = word.to_lowercase();
    let of_first: String = first.to_lowercase().collect();
    let rest = small.strip_prefix(&of_first[..]).unwrap_or_default();
    titled(first) + rest
}

/// A word begins after whatever has no case.
pub fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_cased(c) != is_cased(first)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        out.push_str(&if is_cased(first) { word(run) } else { run.to_owned() });
        rest = after;
    }
    out
}

/// Whether a letter is large, small or a title's.
fn is_cased(c: char) -> bool {
    c.is_lowercase() || c.is_uppercase() || is_titled(c)
}

fn is_titled(c: char) -> bool {
    matches!(c, '\u{1c5}' | '\u{1c8}' | '\u{1cb}' | '\u{1f2}' | '\u{1f88}'..='\u{1f8f}'
        | '\u{1f98}'..='\u{1f9f}' | '\u{1fa8}'..='\u{1faf}' | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}')
}

pub fn is_title(text: &str) -> bool {
    let (mut inside, mut any) = (false, false);
    for c in text.chars() {
        let is_large = c.is_uppercase() || is_titled(c);
        if is_large && inside || c.is_lowercase() && !inside {
            return false;
        }
        inside = is_cased(c);
        any |= inside;
    }
    any
}

pub fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(|c| c.is_uppercase() || is_titled(c))
}

pub fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(|c| c.is_lowercase() || is_titled(c))
}

pub fn swapped(text: &str) -> String {
    let swap = |c: char| -> String {
        if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
    };
    text.chars().map(swap).collect()
}

/// For comparing without case: small letters of capitals, so that what has no capital of its own
/// is spelled out.
pub fn folded(text: &str) -> String {
    text.chars()
        .flat_map(|c| -> Vec<char> {
            match c {
                '\u{1e9e}' => vec!['s', 's'],
                '\u{131}' => vec![c],
                c => {
                    let upper = c.to_uppercase();
                    upper.flat_map(char::to_lowercase).collect()
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Python's `str.capitalize` has them.
    #[test]
    fn the_first_character_is_a_title_s_and_not_a_capital() {
        for (text, expected) in [
            ("\u{149}A", "\u{2bc}Na"),
            ("\u{1fb2}", "\u{1fba}\u{345}"),
            ("\u{1fc4}", "\u{389}\u{345}"),
            ("\u{1ff7}x", "\u{3a9}\u{342}\u{345}x"),
            ("\u{1fb3}", "\u{1fbc}"),
            ("\u{df}a", "Ssa"),
            ("\u{1c6}Z", "\u{1c5}z"),
            ("\u{fb03}", "Ffi"),
            ("\u{10d0}", "\u{10d0}"),
        ] {
            assert_eq!(capitalized(text), expected, "{text}");
            assert_eq!(title(text), expected, "{text}");
        }
    }
}

//! Methods of Python's texts, lists and dictionaries that templates call.

use minijinja::value::{Kwargs, Rest, Tuple, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat::unknown_method_callback;

/// Longest text that padding makes.
const LONGEST: usize = 1 << 20;

/// A method that minijinja does not know.
pub fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if method == "format" && value.as_str().is_some_and(|text| !is_modest(text, args)) {
        return Err(wrong("format: a width or precision is too much"));
    }
    let known = match (value.kind(), value.as_str()) {
        (ValueKind::String, Some(text)) => of_text(text, method, args)?,
        (ValueKind::Seq, _) => of_list(value, method, args)?,
        (ValueKind::Map, _) => of_dictionary(value, method, args)?,
        (ValueKind::Number, _) => of_number(value, method),
        _ => None,
    };
    match known {
        Some(result) => Ok(result),
        None => unknown_method_callback(state, value, method, args),
    }
}

/// Whether the widths and precisions of `str.format` stay below a million.
fn is_modest(format: &str, args: &[Value]) -> bool {
    let is_long = |run: &str| run.trim_start_matches('0').len() > 6;
    let is_written = format.split(|c: char| !c.is_ascii_digit()).any(is_long);
    // `{:{width}}` takes the width from an argument.
    let is_nested = format.split('{').any(|part| part.ends_with(':'));
    let is_given =
        args.iter().any(|arg| arg.as_i64().is_some_and(|n| n.abs() > 999_999) || arg.is_kwargs());
    !(is_written || is_nested && is_given)
}

/// Arguments by position or name.
struct Given {
    by_position: Vec<Value>,
    by_name: Kwargs,
}

impl Given {
    fn of(args: &[Value]) -> Result<Self, Error> {
        let (by_position, by_name): (Rest<Value>, Kwargs) = from_args(args)?;
        Ok(Self { by_position: by_position.to_vec(), by_name })
    }

    /// What was given, unless it is none.
    fn get(&self, at: usize, name: &str) -> Result<Option<Value>, Error> {
        let named: Option<Value> = self.by_name.get(name)?;
        let value = self.by_position.get(at).cloned().or(named);
        Ok(value.filter(|value| !value.is_none() && !value.is_undefined()))
    }

    fn text(&self, at: usize, name: &str) -> Result<Option<String>, Error> {
        match self.get(at, name)? {
            None => Ok(None),
            Some(value) => match value.as_str() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(wrong(&format!("`{name}` must be a text, not {}", value.kind()))),
            },
        }
    }

    fn needed_text(&self, at: usize, name: &str) -> Result<String, Error> {
        self.text(at, name)?.ok_or_else(|| wrong(&format!("`{name}` is missing")))
    }

    fn number(&self, at: usize, name: &str) -> Result<Option<i64>, Error> {
        match self.get(at, name)? {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(wrong(&format!("`{name}` must be a whole number"))),
            },
        }
    }
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.to_owned())
}

fn tuple(items: impl IntoIterator<Item = Value>) -> Value {
    Value::from(Tuple::from(items.into_iter().collect::<Vec<_>>()))
}

fn texts<'a>(items: impl IntoIterator<Item = &'a str>) -> Value {
    items.into_iter().map(Value::from).collect()
}

fn of_text(text: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let given = Given::of(args)?;
    Ok(Some(match method {
        "partition" | "rpartition" => {
            let separator = separator(&given)?;
            let found =
                if method == "partition" { text.find(&separator) } else { text.rfind(&separator) };
            let parts = match found {
                Some(at) => {
                    [&text[..at], &text[at..at + separator.len()], &text[at + separator.len()..]]
                }
                None if method == "partition" => [text, "", ""],
                None => ["", "", text],
            };
            tuple(parts.map(Value::from))
        }
        "removeprefix" => {
            let prefix = given.needed_text(0, "prefix")?;
            Value::from(text.strip_prefix(&prefix[..]).unwrap_or(text))
        }
        "removesuffix" => {
            let suffix = given.needed_text(0, "suffix")?;
            Value::from(text.strip_suffix(&suffix[..]).unwrap_or(text))
        }
        "zfill" => {
            let width = given.number(0, "width")?.unwrap_or(0);
            let sign = if text.starts_with(['+', '-']) { 1 } else { 0 };
            let digits =
                padded(&text[sign..], width.saturating_sub(sign as i64), "0", Padding::Left)?;
            Value::from(format!("{}{digits}", &text[..sign]))
        }
        "ljust" | "rjust" | "center" => {
            let width = given.number(0, "width")?.unwrap_or(0);
            let fill = given.text(1, "fillchar")?.unwrap_or_else(|| " ".to_owned());
            let side = match method {
                "ljust" => Padding::Right,
                "rjust" => Padding::Left,
                _ => Padding::Both,
            };
            Value::from(padded(text, width, &fill, side)?)
        }
        "strip" | "lstrip" | "rstrip" => {
            let chars = given.text(0, "chars")?;
            let is_cut = |c: char| match &chars {
                Some(chars) => chars.contains(c),
                None => is_space(c),
            };
            let text = if method == "rstrip" { text } else { text.trim_start_matches(is_cut) };
            Value::from(if method == "lstrip" { text } else { text.trim_end_matches(is_cut) })
        }
        "split" | "rsplit" => {
            let most = given.number(1, "maxsplit")?.filter(|&most| most >= 0);
            let most = most.map_or(usize::MAX, |most| most as usize);
            match given.text(0, "sep")? {
                Some(separator) if separator.is_empty() => return Err(wrong("empty separator")),
                Some(separator) if method == "split" => {
                    texts(text.splitn(most.saturating_add(1), &separator[..]))
                }
                Some(separator) => {
                    let mut parts: Vec<&str> =
                        text.rsplitn(most.saturating_add(1), &separator[..]).collect();
                    parts.reverse();
                    texts(parts)
                }
                None if method == "split" => texts(words(text, most)),
                None => texts(last_words(text, most)),
            }
        }
        "splitlines" => {
            let keep = given.get(0, "keepends")?.is_some_and(|keep| keep.is_true());
            texts(lines(text, keep))
        }
        "swapcase" => Value::from(
            text.chars()
                .flat_map(|c| -> Vec<char> {
                    if c.is_uppercase() {
                        c.to_lowercase().collect()
                    } else {
                        c.to_uppercase().collect()
                    }
                })
                .collect::<String>(),
        ),
        "casefold" => Value::from(text.to_lowercase().replace('ß', "ss")),
        "title" => Value::from(title(text)),
        "isdecimal" => Value::from(every(text, |c| c.is_ascii_digit() || is_digit(c))),
        "isdigit" => Value::from(every(text, |c| is_digit(c) || is_digit_like(c))),
        "isprintable" => Value::from(!text.chars().any(char::is_control)),
        "isidentifier" => Value::from(
            every(text, |c| c.is_alphanumeric() || c == '_')
                && !text.starts_with(|c: char| c.is_numeric()),
        ),
        "istitle" => Value::from(title(text) == text && text.chars().any(char::is_alphabetic)),
        "find" | "rfind" | "index" | "rindex" | "count" => {
            let what = given.needed_text(0, "sub")?;
            let (offset, within) = range(text, &given)?;
            if method == "count" {
                return Ok(Some(Value::from(if what.is_empty() {
                    within.chars().count() + 1
                } else {
                    within.matches(&what[..]).count()
                })));
            }
            let found =
                if method.starts_with('r') { within.rfind(&what) } else { within.find(&what) };
            match found {
                Some(at) => Value::from(offset + within[..at].chars().count() as i64),
                None if method.ends_with("find") => Value::from(-1),
                None => return Err(wrong("substring not found")),
            }
        }
        "startswith" | "endswith" => {
            let what = given.get(0, "prefix")?.ok_or_else(|| wrong("a text is missing"))?;
            let (_, within) = range(text, &given)?;
            let fits = |what: &Value| -> Result<bool, Error> {
                let what = what.as_str().ok_or_else(|| {
                    wrong(&format!(
                        "{method} takes a text or a tuple of texts, not {}",
                        what.kind()
                    ))
                })?;
                Ok(if method == "startswith" {
                    within.starts_with(what)
                } else {
                    within.ends_with(what)
                })
            };
            Value::from(if what.kind() == ValueKind::String {
                fits(&what)?
            } else {
                let mut any = false;
                for one in what.try_iter()? {
                    any |= fits(&one)?;
                }
                any
            })
        }
        "expandtabs" => {
            let size = given.number(0, "tabsize")?.unwrap_or(8).clamp(0, 64) as usize;
            let (mut out, mut column) = (String::new(), 0);
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
            Value::from(out)
        }
        _ => return Ok(None),
    }))
}

fn separator(given: &Given) -> Result<String, Error> {
    let separator = given.needed_text(0, "sep")?;
    if separator.is_empty() { Err(wrong("empty separator")) } else { Ok(separator) }
}

/// The part of a text that the arguments `start` and `end` name, and the characters before it.
fn range<'a>(text: &'a str, given: &Given) -> Result<(i64, &'a str), Error> {
    let (start, end) = (given.number(1, "start")?, given.number(2, "end")?);
    if start.is_none() && end.is_none() {
        return Ok((0, text));
    }
    let length = text.chars().count() as i64;
    let place = |at: i64| if at < 0 { (length + at).max(0) } else { at.min(length) };
    let (start, end) = (place(start.unwrap_or(0)), place(end.unwrap_or(length)));
    let byte = |at: i64| text.char_indices().nth(at as usize).map_or(text.len(), |(byte, _)| byte);
    Ok((start, if start < end { &text[byte(start)..byte(end)] } else { "" }))
}

fn every(text: &str, is: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(is)
}

/// White space of Python: Unicode's, and four separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Decimal digits of any script: those that come in runs of ten are numeric and no fraction, Roman
/// or circled number.
fn is_digit(c: char) -> bool {
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

/// A word begins after whatever is no letter.
fn title(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
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

/// Lines, at every line end that Python knows.
fn lines(text: &str, keep: bool) -> Vec<&str> {
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
        return Err(wrong(&format!("a width of {width} is too much")));
    }
    // As Python shares it: the odd one goes left where the width is odd.
    let left = match side {
        Padding::Left => missing,
        Padding::Right => 0,
        Padding::Both => missing / 2 + (missing & 1 & (width as usize & 1)),
    };
    Ok(format!("{}{text}{}", fill.repeat(left), fill.repeat(missing - left)))
}

fn of_list(list: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    match method {
        "index" => {
            let (what,): (&Value,) = from_args(args)?;
            match list.try_iter()?.position(|item| item == *what) {
                Some(at) => Ok(Some(Value::from(at))),
                None => Err(wrong(&format!("{what} is not in list"))),
            }
        }
        "copy" => Ok(Some(list.try_iter()?.collect())),
        _ => Ok(None),
    }
}

fn of_dictionary(map: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    match method {
        "copy" => {
            let () = from_args(args)?;
            let keys = map.try_iter()?;
            let pairs = keys.map(|key| Ok((key.clone(), map.get_item(&key)?)));
            Ok(Some(Value::from_pairs(pairs.collect::<Result<Vec<_>, Error>>()?)))
        }
        _ => Ok(None),
    }
}

fn of_number(number: &Value, method: &str) -> Option<Value> {
    match method {
        "is_integer" => {
            let whole = f64::try_from(number.clone()).is_ok_and(|number| number.fract() == 0.0);
            Some(Value::from(number.is_integer() || whole))
        }
        "bit_length" => {
            let number = number.as_i64()?.unsigned_abs();
            Some(Value::from(u64::BITS - number.leading_zeros()))
        }
        _ => None,
    }
}

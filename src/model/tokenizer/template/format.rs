//! `%` and `str.format`: Python's fields, each one laid out by minijinja.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Value, ValueKind};
use minijinja::{Error, State};

use super::budget::spend;
use super::given::{GivenArguments, wrong};
use super::print;
use super::values::is_tuple;

/// The widest field.
const WIDEST: i64 = 1 << 20;

/// `text % value`.
pub fn percent(state: &State<'_, '_>, text: &str, value: &Value) -> Result<String, Error> {
    let list: Vec<Value> =
        if is_tuple(value) { value.try_iter()?.collect() } else { vec![value.clone()] };
    let mut values = list.into_iter();
    let mut next = || values.next().ok_or_else(|| wrong("`%`: not enough values"));
    let is_map = value.kind() == ValueKind::Map;
    let (mut out, mut rest, mut is_named) = (String::new(), text, false);
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let (name, after) = match after.strip_prefix('(') {
            Some(inside) => {
                let (name, after) =
                    inside.split_once(')').ok_or_else(|| wrong("`%`: `(` is not closed"))?;
                (Some(name), after)
            }
            None => (None, after),
        };
        let end = after
            .find(|c: char| !"#0- +*.123456789hlL".contains(c))
            .ok_or_else(|| wrong("`%`: the format is not complete"))?;
        let mut spec = after[..end].replace(['h', 'l', 'L'], "");
        let kind = after[end..].chars().next().unwrap_or_default();
        rest = &after[end + kind.len_utf8()..];
        if kind == '%' {
            out.push('%');
            continue;
        }
        while spec.contains('*') {
            let width = next()?.as_i64().ok_or_else(|| wrong("`%`: `*` needs a whole number"))?;
            spec = spec.replacen('*', &width.to_string(), 1);
        }
        let given = match name {
            Some(name) if is_map => {
                is_named = true;
                let item = value.get_item(&Value::from(name))?;
                if item.is_undefined() {
                    return Err(wrong(format!("`%`: there is no `{name}`")));
                }
                item
            }
            Some(_) => return Err(wrong("`%`: a named field needs a dictionary")),
            None => next()?,
        };
        modest(&spec)?;
        state.consume_fuel(4 + spec_width(&spec) as u64 / 64)?;
        let (kind, given) = match kind {
            's' => ('s', Value::from(print::text(&given)?)),
            'r' => ('s', Value::from(print::repr(&given)?)),
            'a' => ('s', Value::from(print::ascii(&given)?)),
            'd' | 'i' | 'u' if given.kind() == ValueKind::Number && !given.is_integer() => {
                let number = f64::try_from(given.clone()).unwrap_or(f64::NAN);
                if number.is_nan() || number.abs() >= 9e18 {
                    return Err(wrong("`%d` of a number without 64 bits"));
                }
                ('d', Value::from(number.trunc() as i64))
            }
            kind if "diouxXeEfFgGc".contains(kind) => (kind, given),
            kind => return Err(wrong(format!("`%`: the conversion `{kind}` is not known"))),
        };
        let piece = format(FormatStyle::Printf, &format!("%{spec}{kind}"), &[given])?;
        spend(piece.len())?;
        out.push_str(&piece);
    }
    out.push_str(rest);
    // An empty list or a dictionary may be left over.
    let may_be_left = is_map || is_named || value.kind() == ValueKind::Seq && !is_tuple(value);
    if values.next().is_some() && !may_be_left {
        return Err(wrong("`%`: not all values were used"));
    }
    Ok(out)
}

/// `text.format(...)`.
pub fn braces(state: &State<'_, '_>, text: &str, args: &[Value]) -> Result<String, Error> {
    let given = GivenArguments::of(args)?;
    let lookup = |name: &str| {
        given.any(usize::MAX, name)?.ok_or_else(|| wrong(format!("format: there is no `{name}`")))
    };
    braced(state, text, given.all(), &lookup)
}

type Lookup<'a> = &'a dyn Fn(&str) -> Result<Value, Error>;

/// As `braces`, names looked up by a function.
pub fn braced(
    state: &State<'_, '_>,
    text: &str,
    args: &[Value],
    lookup: Lookup<'_>,
) -> Result<String, Error> {
    let mut fields = Fields { args, lookup, next: Some(0) };
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" {
            return Err(wrong("format: a single `}`"));
        }
        let end = closing(after).ok_or_else(|| wrong("format: `{` is not closed"))?;
        let piece = fields.field(state, &after[..end])?;
        spend(piece.len())?;
        out.push_str(&piece);
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the brace is that closes a field.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

struct Fields<'a> {
    args: &'a [Value],
    lookup: Lookup<'a>,
    /// The number of the next field without a name; none after one with a number.
    next: Option<usize>,
}

impl Fields<'_> {
    fn field(&mut self, state: &State<'_, '_>, field: &str) -> Result<String, Error> {
        let (head, spec) = field.split_once(':').unwrap_or((field, ""));
        let (name, conversion) = match head.split_once('!') {
            Some((name, conversion)) => (name, Some(conversion)),
            None => (head, None),
        };
        let value = self.value(name)?;
        let mut layout = String::new();
        let mut rest = spec;
        while let Some((before, after)) = rest.split_once('{') {
            let (inner, after) =
                after.split_once('}').ok_or_else(|| wrong("format: `{` is not closed"))?;
            layout.push_str(before);
            layout.push_str(&print::text(&self.value(inner)?)?);
            rest = after;
        }
        layout.push_str(rest);
        modest(&layout)?;
        state.consume_fuel(4 + spec_width(&layout) as u64 / 64)?;
        let value = match conversion {
            None => value,
            Some("r") => Value::from(print::repr(&value)?),
            Some("s") => Value::from(print::text(&value)?),
            Some("a") => Value::from(print::ascii(&value)?),
            Some(other) => {
                return Err(wrong(format!("format: the conversion `!{other}` is not known")));
            }
        };
        if layout.is_empty() {
            return print::text(&value);
        }
        laid_out(&layout, &value)
    }

    /// The value of `name.attribute[key]`.
    fn value(&mut self, name: &str) -> Result<Value, Error> {
        let end = name.find(['.', '[']).unwrap_or(name.len());
        let (first, mut path) = name.split_at(end);
        let numbered = first.parse::<usize>().ok();
        let mut value = match (numbered, first) {
            (Some(_), _) if self.next > Some(0) => {
                return Err(wrong("format: fields with and without number"));
            }
            (Some(at), _) => {
                self.next = None;
                self.args.get(at).cloned()
            }
            (None, "") => {
                let at =
                    self.next.ok_or_else(|| wrong("format: fields with and without number"))?;
                self.next = Some(at + 1);
                self.args.get(at).cloned()
            }
            (None, name) => Some((self.lookup)(name)?),
        }
        .ok_or_else(|| wrong("format: not enough values"))?;
        while !path.is_empty() {
            let key;
            if let Some(inside) = path.strip_prefix('[') {
                let (text, after) =
                    inside.split_once(']').ok_or_else(|| wrong("format: `[` is not closed"))?;
                key = text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from);
                path = after;
            } else {
                let inside = &path[1..];
                let end = inside.find(['.', '[']).unwrap_or(inside.len());
                key = Value::from(&inside[..end]);
                path = &inside[end..];
            }
            value = value.get_item(&key)?;
            if value.is_undefined() {
                return Err(wrong(format!("format: `{name}` is undefined")));
            }
        }
        Ok(value)
    }
}

/// One value by a specification. `%` is what minijinja lacks.
fn laid_out(spec: &str, value: &Value) -> Result<String, Error> {
    if let Some(before) = spec.strip_suffix('%') {
        let number =
            f64::try_from(value.clone()).map_err(|_| wrong("format: `%` needs a number"))?;
        if before.trim_start_matches(['+', '.']).parse::<u32>().is_err() && !before.is_empty() {
            return Err(wrong(format!("format: `{spec}` is not supported")));
        }
        let precise = if before.contains('.') { before.to_owned() } else { format!("{before}.6") };
        let digits = format(
            FormatStyle::StrFormat,
            &format!("{{:{precise}f}}"),
            &[Value::from(number * 100.0)],
        )?;
        return Ok(format!("{digits}%"));
    }
    format(FormatStyle::StrFormat, &format!("{{:{spec}}}"), std::slice::from_ref(value))
}

/// The largest number of a specification.
fn spec_width(spec: &str) -> i64 {
    let numbers = spec.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
    numbers.map(|run| run.parse::<i64>().unwrap_or(i64::MAX)).max().unwrap_or(0)
}

fn modest(spec: &str) -> Result<(), Error> {
    if spec_width(spec) > WIDEST {
        return Err(wrong(format!("a width or precision of more than {WIDEST} is not supported")));
    }
    Ok(())
}

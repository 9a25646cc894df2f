//! All methods by name and kind of value.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use super::{case, classes, collections, pad, search, split};
use crate::model::tokenizer::template::filters::named;
use crate::model::tokenizer::template::given::{GivenArguments, wrong};
use crate::model::tokenizer::template::values::{is_list, name_of};
use crate::model::tokenizer::template::{format, print};

/// A method of a text.
type OfText = fn(&mut State<'_, '_>, &str, &GivenArguments) -> Result<Value, Error>;

const OF_TEXT: &[(&str, OfText)] = &[
    ("capitalize", |_, text, _| Ok(Value::from(case::capitalized(text)))),
    ("casefold", |_, text, _| Ok(Value::from(case::folded(text)))),
    ("center", |_, text, given| pad::justified(text, given, pad::Padding::Both)),
    ("count", |_, text, given| search::count(text, given)),
    ("endswith", |_, text, given| search::has_edge(text, given, false)),
    ("expandtabs", |_, text, given| pad::expanded(text, given)),
    ("find", |_, text, given| search::find(text, given, false)),
    ("index", |_, text, given| search::index(text, given, false)),
    ("isalnum", |_, text, _| Ok(Value::from(classes::every(text, char::is_alphanumeric)))),
    ("isalpha", |_, text, _| Ok(Value::from(classes::every(text, classes::is_letter)))),
    ("isascii", |_, text, _| Ok(Value::from(text.is_ascii()))),
    ("isdecimal", |_, text, _| Ok(Value::from(classes::every(text, classes::is_decimal)))),
    ("isdigit", |_, text, _| Ok(Value::from(classes::every(text, classes::is_digit)))),
    ("isidentifier", |_, text, _| Ok(Value::from(classes::is_identifier(text)))),
    ("islower", |_, text, _| Ok(Value::from(case::is_lower(text)))),
    ("isnumeric", |_, text, _| classes::is_numeric(text)),
    ("isprintable", |_, text, _| Ok(Value::from(text.chars().all(print::is_printable)))),
    ("isspace", |_, text, _| Ok(Value::from(classes::every(text, classes::is_space)))),
    ("istitle", |_, text, _| Ok(Value::from(case::is_title(text)))),
    ("isupper", |_, text, _| Ok(Value::from(case::is_upper(text)))),
    ("join", search::join),
    ("ljust", |_, text, given| pad::justified(text, given, pad::Padding::Right)),
    ("lower", |_, text, _| Ok(Value::from(text.to_lowercase()))),
    ("lstrip", |_, text, given| split::strip(text, given, true, false)),
    ("partition", |_, text, given| split::partition(text, given, false)),
    ("removeprefix", |_, text, given| split::without(text, given, true)),
    ("removesuffix", |_, text, given| split::without(text, given, false)),
    ("replace", search::replace),
    ("rfind", |_, text, given| search::find(text, given, true)),
    ("rindex", |_, text, given| search::index(text, given, true)),
    ("rjust", |_, text, given| pad::justified(text, given, pad::Padding::Left)),
    ("rpartition", |_, text, given| split::partition(text, given, true)),
    ("rsplit", |_, text, given| split::split(text, given, true)),
    ("rstrip", |_, text, given| split::strip(text, given, false, true)),
    ("split", |_, text, given| split::split(text, given, false)),
    ("splitlines", |_, text, given| split::split_lines(text, given)),
    ("startswith", |_, text, given| search::has_edge(text, given, true)),
    ("strip", |_, text, given| split::strip(text, given, true, true)),
    ("swapcase", |_, text, _| Ok(Value::from(case::swapped(text)))),
    ("title", |_, text, _| Ok(Value::from(case::title(text)))),
    ("upper", |_, text, _| Ok(Value::from(text.to_uppercase()))),
    ("zfill", |_, text, given| pad::zero_filled(text, given)),
];

/// Methods of texts that take an escaped text apart: what they give would have to be escaped again.
const NOT_OF_ESCAPED: &[&str] =
    &["format", "format_map", "join", "replace", "partition", "rpartition"];

/// Python's methods of other kinds, and attributes of numbers. Some are refused when called.
const OF_DICTIONARY: &[&str] = &[
    "clear",
    "copy",
    "fromkeys",
    "get",
    "items",
    "keys",
    "pop",
    "popitem",
    "setdefault",
    "update",
    "values",
];
const OF_LIST: &[&str] = &[
    "append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse",
    "sort",
];
const OF_TUPLE: &[&str] = &["count", "index"];
const OF_NUMBER: &[&str] =
    &["as_integer_ratio", "bit_count", "bit_length", "conjugate", "is_integer", "to_bytes"];
const ATTRIBUTES: &[&str] = &["real", "imag", "numerator", "denominator"];
const OF_MACRO: &[&str] = &["arguments", "caller", "catch_kwargs", "catch_varargs"];
const REFUSED_OF_TEXT: &[&str] = &["encode", "format", "format_map", "maketrans", "translate"];

/// Whether some kind of value has a method or attribute of that name.
pub fn is_attribute(name: &str) -> bool {
    OF_TEXT.iter().any(|(own, _)| *own == name)
        || [OF_DICTIONARY, OF_LIST, OF_TUPLE, OF_NUMBER, ATTRIBUTES, OF_MACRO, REFUSED_OF_TEXT]
            .iter()
            .any(|names| names.contains(&name))
}

/// Whether the value has a method of that name in Python.
pub fn has(value: &Value, name: &str) -> bool {
    match value.kind() {
        ValueKind::String => {
            OF_TEXT.iter().any(|(own, _)| *own == name) || REFUSED_OF_TEXT.contains(&name)
        }
        ValueKind::Map
            if print::is_namespace(value) || print::is_loop(value) || print::is_macro(value) =>
        {
            false
        }
        ValueKind::Map => OF_DICTIONARY.contains(&name),
        ValueKind::Seq if is_list(value) => OF_LIST.contains(&name),
        ValueKind::Seq => OF_TUPLE.contains(&name),
        ValueKind::Number | ValueKind::Bool => OF_NUMBER.contains(&name),
        _ => false,
    }
}

/// Whether a macro has an attribute of that name.
pub fn is_of_macro(name: &str) -> bool {
    OF_MACRO.contains(&name)
}

/// A method that minijinja does not know. Errors name it.
pub fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let result = match (value.kind(), value.as_str()) {
        (ValueKind::String, Some(text)) => of_text(state, value, text, method, args),
        (ValueKind::Seq, _) => collections::of_list(value, method, args),
        (ValueKind::Map, _) if !print::is_namespace(value) => {
            collections::of_dictionary(state, value, method, args)
        }
        (ValueKind::Number | ValueKind::Bool, _) => collections::of_number(value, method, args),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    };
    result.map_err(|error| match error.kind() {
        ErrorKind::UnknownMethod => {
            wrong(format!("`.{method}()` of {} is not supported", name_of(value)))
        }
        _ => named(&format!("`.{method}()`"), error),
    })
}

fn of_text(
    state: &mut State<'_, '_>,
    value: &Value,
    text: &str,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if value.is_safe() && NOT_OF_ESCAPED.contains(&method) {
        return Err(wrong("an escaped text is not supported"));
    }
    if method == "format" {
        return format::braces(state, text, args).map(Value::from);
    }
    let given = GivenArguments::of(args)?;
    if method == "format_map" {
        let map = given.needed(0, "mapping")?;
        let lookup = |name: &str| map.get_item(&Value::from(name));
        return format::braced(state, text, &[], &lookup).map(Value::from);
    }
    let (_, of_text) = OF_TEXT
        .iter()
        .find(|(own, _)| *own == method)
        .ok_or_else(|| Error::from(ErrorKind::UnknownMethod))?;
    let result = of_text(state, text, &given)?;
    given.end(most(method))?;
    Ok(if value.is_safe() { safe(result) } else { result })
}

/// How many arguments a method of a text takes.
fn most(method: &str) -> usize {
    match method {
        "count" | "find" | "rfind" | "index" | "rindex" | "startswith" | "endswith" | "replace" => {
            3
        }
        "center" | "ljust" | "rjust" | "split" | "rsplit" => 2,
        "expandtabs" | "join" | "lstrip" | "rstrip" | "strip" | "partition" | "rpartition"
        | "removeprefix" | "removesuffix" | "splitlines" | "zfill" => 1,
        _ => 0,
    }
}

/// What a method of an escaped text gives is escaped too.
fn safe(value: Value) -> Value {
    match value.as_str() {
        Some(text) => Value::from_safe_string(text.to_owned()),
        None if value.kind() == ValueKind::Seq => {
            value.try_iter().map(|items| items.map(safe).collect()).unwrap_or(value)
        }
        None => value,
    }
}

//! The environment that templates run in: what transformers' own renderer sets, and what Python
//! has beyond minijinja.

use chrono::format::{Item, StrftimeItems};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};

use super::{dumps, methods};

/// An environment without a template.
pub fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(methods::call);
    minijinja_contrib::add_to_environment(&mut environment);
    environment.add_filter("tojson", dumps::tojson);
    for name in ["escape", "e", "forceescape"] {
        environment.add_filter(name, |value: &Value| {
            let text = if value.is_undefined() { String::new() } else { value.to_string() };
            let escaped = text
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('\'', "&#39;")
                .replace('"', "&#34;");
            Value::from_safe_string(escaped)
        });
    }
    environment.add_filter("center", |text: &str, width: Option<i64>| {
        methods::padded(text, width.unwrap_or(80), " ", methods::Padding::Both)
    });
    environment.add_filter(
        "indent",
        |text: &str,
         width: Option<Value>,
         first: Option<bool>,
         blank: Option<bool>,
         named: Kwargs| {
            let width = width.or(named.get("width")?);
            let before = match width {
                None => " ".repeat(4),
                Some(width) => match width.as_i64() {
                    Some(width) => " ".repeat(width.clamp(0, 1000) as usize),
                    None => width.to_string(),
                },
            };
            let first = first.or(named.get("first")?).unwrap_or(false);
            let blank = blank.or(named.get("blank")?).unwrap_or(false);
            named.assert_all_used()?;
            methods::indented(text, &before, first, blank)
        },
    );
    environment.add_filter(
        "truncate",
        |text: &str,
         length: Option<usize>,
         kill: Option<bool>,
         end: Option<String>,
         named: Kwargs| {
            let length = length.or(named.get("length")?).unwrap_or(255);
            let kill = kill.or(named.get("killwords")?).unwrap_or(false);
            let end = end.or(named.get("end")?).unwrap_or_else(|| "...".to_owned());
            let leeway = named.get::<Option<usize>>("leeway")?.unwrap_or(5);
            named.assert_all_used()?;
            if text.chars().count() <= length.saturating_add(leeway) {
                return Ok(text.to_owned());
            }
            let kept = length.saturating_sub(end.chars().count());
            let cut: String = text.chars().take(kept).collect();
            let cut = if kill {
                &cut[..]
            } else {
                cut.rsplit_once(' ').map_or(&cut[..], |(head, _)| head)
            };
            Ok::<_, Error>(format!("{cut}{end}"))
        },
    );
    environment.add_filter("wordcount", |text: &str| {
        let is_gap = |c: char| !c.is_alphanumeric() && c != '_';
        text.split(is_gap).filter(|word| !word.is_empty()).count()
    });
    // In Python a text and a dictionary have a length and items as well.
    environment.add_test("sequence", |value: &Value| {
        let kind = value.kind();
        value.is_undefined() || matches!(kind, ValueKind::Seq | ValueKind::String | ValueKind::Map)
    });
    environment.add_test("iterable", |value: &Value| {
        value.kind() == ValueKind::String || value.try_iter().is_ok()
    });
    environment.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
    environment.add_function("raise_exception", |message: &Value| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message.to_string()))
    });
    environment.add_function("strftime_now", strftime_now);
    Ok(environment)
}

/// The date and time of now, here, in the format of C's `strftime`.
fn strftime_now(format: &str) -> Result<String, Error> {
    // Python counts microseconds.
    let format = format.replace("%f", "%6f");
    let items: Vec<Item<'_>> = StrftimeItems::new(&format).collect();
    if items.contains(&Item::Error) {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("strftime_now: the format `{format}` is not supported"),
        ));
    }
    Ok(chrono::Local::now().format_with_items(items.into_iter()).to_string())
}

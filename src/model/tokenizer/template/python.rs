//! The environment that templates run in: what transformers' own renderer sets, and what Python
//! has beyond minijinja.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, Value, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, State, functions, tests};

use super::given::wrong;
use super::values::{Cycler, Joiner, items, name_of};
use super::{dates, filters, methods, operators, print};

/// How templates are written: transformers trims lines that hold a tag only.
pub fn syntax() -> Result<SyntaxConfig, Error> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()
}

/// An environment without a template.
pub fn environment<'e>() -> Environment<'e> {
    let mut environment = Environment::empty();
    environment.set_unknown_method_callback(methods::call);
    environment
        .set_formatter(|out, _, value| out.write_str(&print::text(value)?).map_err(Error::from));
    filters::add(&mut environment);
    for &(name, test) in TESTS {
        environment.add_test(name, move |state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>| {
            test(state, &args.into_values())
                .map_err(|error| filters::named(&format!("test `{name}`"), error))
        });
    }
    environment
        .add_function("range", |args: Rest<ValueOrKwargs>| filters::range(&args.into_values()));
    environment.add_function("dict", |args: Rest<ValueOrKwargs>| dict(&args.into_values()));
    environment.add_function(
        "namespace",
        |state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>| {
            let given = [dict(&args.into_values())?];
            let is_private = |key: &Value| key.as_str().is_some_and(|key| key.starts_with('_'));
            if given[0].try_iter()?.any(|key| is_private(&key)) {
                return Err(wrong("namespace: names that begin with `_` are not supported"));
            }
            Value::from_function(functions::namespace).call(state, &given)
        },
    );
    environment.add_function("joiner", |between: Option<Value>| {
        let between = between.unwrap_or_else(|| Value::from(", "));
        Value::from_object(Joiner { between, is_first: AtomicBool::new(true) })
    });
    environment.add_function("cycler", |args: Rest<Value>| {
        if args.is_empty() {
            return Err(wrong("cycler: expected 1 value or more, found none"));
        }
        Ok(Value::from_object(Cycler { items: args.to_vec(), at: Mutex::new(0) }))
    });
    environment.add_function("lipsum", |_: Rest<ValueOrKwargs>| -> Result<Value, Error> {
        Err(wrong("`lipsum` is not supported"))
    });
    environment.add_function("raise_exception", |message: &Value| -> Result<Value, Error> {
        Err(wrong(print::text(message)?))
    });
    environment.add_function("strftime_now", dates::strftime_now);
    environment
}

type Test = fn(&mut State<'_, '_>, &[Value]) -> Result<bool, Error>;

const TESTS: &[(&str, Test)] = &[
    ("boolean", |_, args| Ok(args[0].kind() == ValueKind::Bool)),
    ("callable", |_, args| {
        Ok(print::is_macro(&args[0])
            || matches!(args[0].kind(), ValueKind::Plain | ValueKind::Undefined))
    }),
    ("defined", |_, args| Ok(!args[0].is_undefined())),
    ("divisibleby", |_, args| {
        let number = whole(&args[0])?;
        let by = whole(args.get(1).ok_or_else(|| wrong("`num` is missing"))?)?;
        number.checked_rem_euclid(by).map(|rest| rest == 0).ok_or_else(|| wrong("by zero"))
    }),
    ("eq", |_, args| operators::equal(&args[0], other(args)?)),
    ("equalto", |_, args| operators::equal(&args[0], other(args)?)),
    ("==", |_, args| operators::equal(&args[0], other(args)?)),
    ("escaped", |_, args| Ok(args[0].is_safe())),
    ("even", |_, args| Ok(rest_by_2(&args[0])? == 0.0)),
    ("false", |_, args| Ok(args[0].kind() == ValueKind::Bool && !args[0].is_true())),
    ("filter", |_, args| Ok(args[0].as_str().is_some_and(filters::is_known))),
    ("float", |_, args| Ok(args[0].kind() == ValueKind::Number && !args[0].is_integer())),
    ("ge", |_, args| operators::compare(">=", &args[0], other(args)?)),
    (">=", |_, args| operators::compare(">=", &args[0], other(args)?)),
    ("gt", |_, args| operators::compare(">", &args[0], other(args)?)),
    ("greaterthan", |_, args| operators::compare(">", &args[0], other(args)?)),
    (">", |_, args| operators::compare(">", &args[0], other(args)?)),
    ("in", |_, args| operators::contains(other(args)?, &args[0])),
    ("integer", |_, args| Ok(args[0].is_integer())),
    ("iterable", |_, args| Ok(items_can_be_had(&args[0]))),
    ("le", |_, args| operators::compare("<=", &args[0], other(args)?)),
    ("<=", |_, args| operators::compare("<=", &args[0], other(args)?)),
    ("lower", |_, args| Ok(methods::is_lower(&print::text(&args[0])?))),
    ("lt", |_, args| operators::compare("<", &args[0], other(args)?)),
    ("lessthan", |_, args| operators::compare("<", &args[0], other(args)?)),
    ("<", |_, args| operators::compare("<", &args[0], other(args)?)),
    ("mapping", |_, args| {
        let is_object = is_object(&args[0]);
        Ok(args[0].kind() == ValueKind::Map && !is_object)
    }),
    ("ne", |_, args| Ok(!operators::equal(&args[0], other(args)?)?)),
    ("!=", |_, args| Ok(!operators::equal(&args[0], other(args)?)?)),
    ("none", |_, args| Ok(args[0].is_none())),
    ("number", |_, args| Ok(matches!(args[0].kind(), ValueKind::Number | ValueKind::Bool))),
    ("odd", |_, args| Ok(rest_by_2(&args[0])? == 1.0)),
    ("sameas", |state, args| {
        Value::from_function(tests::is_sameas).call(state, args).map(|v| v.is_true())
    }),
    ("sequence", |_, args| {
        let is_object = is_object(&args[0]);
        let kind = args[0].kind();
        let is_sequence = matches!(
            kind,
            ValueKind::Seq | ValueKind::String | ValueKind::Map | ValueKind::Undefined
        );
        Ok(is_sequence && !is_object)
    }),
    ("string", |_, args| Ok(args[0].kind() == ValueKind::String)),
    ("test", |_, args| Ok(args[0].as_str().is_some_and(is_test))),
    ("true", |_, args| Ok(args[0].kind() == ValueKind::Bool && args[0].is_true())),
    ("undefined", |_, args| Ok(args[0].is_undefined())),
    ("upper", |_, args| Ok(methods::is_upper(&print::text(&args[0])?))),
];

/// Whether Jinja knows the test.
pub fn is_test(name: &str) -> bool {
    TESTS.iter().any(|(own, _)| *own == name)
}

fn other(args: &[Value]) -> Result<&Value, Error> {
    args.get(1).ok_or_else(|| wrong("a value is missing"))
}

fn whole(value: &Value) -> Result<i128, Error> {
    let is_whole = value.is_integer() || value.kind() == ValueKind::Bool;
    let number = if is_whole { i128::try_from(value.clone()).ok() } else { None };
    number.ok_or_else(|| wrong(format!("needs a whole number, not {}", name_of(value))))
}

/// What is left of a number divided by 2.
fn rest_by_2(value: &Value) -> Result<f64, Error> {
    match whole(value) {
        Ok(number) => Ok(number.rem_euclid(2) as f64),
        Err(_) if value.kind() == ValueKind::Number => {
            f64::try_from(value.clone()).map(|number| number.rem_euclid(2.0))
        }
        Err(error) => Err(error),
    }
}

/// What minijinja keeps as a dictionary and Python as an object.
fn is_object(value: &Value) -> bool {
    print::is_namespace(value) || print::is_loop(value) || print::is_macro(value)
}

fn items_can_be_had(value: &Value) -> bool {
    !matches!(
        value.kind(),
        ValueKind::None | ValueKind::Bool | ValueKind::Number | ValueKind::Plain
    ) && !print::is_namespace(value)
}

/// `dict(pairs, name=value)`.
fn dict(args: &[Value]) -> Result<Value, Error> {
    let (first, named): (Option<Value>, Kwargs) = from_args(args)?;
    let mut pairs = Vec::new();
    match first {
        None => {}
        Some(map) if map.kind() == ValueKind::Map => {
            for key in map.try_iter()? {
                pairs.push((key.clone(), map.get_item(&key)?));
            }
        }
        Some(list) => {
            for (at, pair) in items(&list)?.iter().enumerate() {
                match &items(pair)?[..] {
                    [key, value] => pairs.push((key.clone(), value.clone())),
                    other => {
                        let found = other.len();
                        let what = format!("dict: item {at} has {found} values, expected 2");
                        return Err(wrong(what));
                    }
                }
            }
        }
    }
    for name in named.args() {
        pairs.push((Value::from(name), named.get(name)?));
    }
    Ok(Value::from_pairs(pairs))
}

//! All filters by name.

use minijinja::value::{Rest, Value, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, filters};

use super::{lists, numbers, order, texts, wrap};
use crate::model::tokenizer::template::given::wrong;
use crate::model::tokenizer::template::{dumps, operators};

/// A filter: the value and the arguments to a value.
pub type Filter = fn(&mut State<'_, '_>, &[Value]) -> Result<Value, Error>;

/// Those of this crate.
const OWN: &[(&str, Filter)] = &[
    ("attr", lists::attr),
    ("batch", |state, args| lists::once(state, args, "batch")),
    ("capitalize", |_, args| texts::capitalize(args)),
    ("center", |_, args| texts::center(args)),
    ("count", |_, args| lists::length(args)),
    ("d", |_, args| lists::default(args)),
    ("default", |_, args| lists::default(args)),
    ("dictsort", |_, args| order::dictsort(args)),
    ("e", |_, args| texts::escape(args)),
    ("escape", |_, args| texts::escape(args)),
    ("filesizeformat", |state, args| numbers::file_size(state, args)),
    ("first", |_, args| lists::first(args)),
    ("float", |_, args| numbers::float(args)),
    ("forceescape", |_, args| texts::force_escape(args)),
    ("format", texts::format),
    ("groupby", |state, args| lists::grouped(state, args)),
    ("indent", |_, args| texts::indent(args)),
    ("int", |_, args| numbers::int(args)),
    ("items", |_, args| lists::pairs(args)),
    ("join", |state, args| texts::join(state, args)),
    ("last", |_, args| lists::last(args)),
    ("length", |_, args| lists::length(args)),
    ("list", |_, args| lists::list(args)),
    ("lower", |_, args| texts::lower(args)),
    ("map", |state, args| lists::once(state, args, "map")),
    ("max", |_, args| order::largest(args, true)),
    ("min", |_, args| order::largest(args, false)),
    ("pprint", |_, args| texts::pprint(args)),
    ("reject", |state, args| lists::once(state, args, "reject")),
    ("rejectattr", |state, args| lists::once(state, args, "rejectattr")),
    ("replace", |state, args| texts::replace(state, args)),
    ("reverse", |_, args| lists::reverse(args)),
    ("safe", |_, args| texts::safe(args)),
    ("select", |state, args| lists::once(state, args, "select")),
    ("selectattr", |state, args| lists::once(state, args, "selectattr")),
    ("slice", |state, args| lists::once(state, args, "slice")),
    ("sort", |_, args| order::sort(args)),
    ("string", |_, args| texts::string(args)),
    ("striptags", |state, args| texts::strip_tags(state, args)),
    ("sum", |_, args| lists::sum(args)),
    ("title", |_, args| texts::title(args)),
    ("tojson", |_, args| dumps::tojson(args)),
    ("trim", |_, args| texts::trim(args)),
    ("truncate", |_, args| texts::truncate(args)),
    ("unique", |_, args| order::unique(args)),
    ("upper", |_, args| texts::upper(args)),
    ("urlencode", |_, args| texts::url_encode(args)),
    ("wordcount", |_, args| texts::word_count(args)),
    ("wordwrap", |_, args| wrap::wordwrap(args)),
];

/// Those that are refused where they are reached.
const REFUSED: &[&str] = &["random", "urlize", "xmlattr"];

/// Those of minijinja.
const SAME: &[&str] = &["abs", "round"];

/// Whether Jinja knows the filter.
pub fn is_known(name: &str) -> bool {
    OWN.iter().any(|(own, _)| *own == name) || REFUSED.contains(&name) || SAME.contains(&name)
}

/// Every filter, in an environment that has none. An error names the filter.
pub fn add(environment: &mut Environment<'_>) {
    for &(name, filter) in OWN {
        add_named(environment, name, filter);
    }
    for (name, same) in [
        ("abs", Value::from_function(filters::abs)),
        ("round", Value::from_function(filters::round)),
    ] {
        add_named(environment, name, move |state, args| same.call(state, args));
    }
    for &name in REFUSED {
        add_named(environment, name, |_, _| Err(wrong("is not supported")));
    }
    for &(name, operator) in operators::OPERATORS {
        environment.add_filter(
            name,
            move |state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>| {
                operator(state, &args.into_values())
            },
        );
    }
}

fn add_named(
    environment: &mut Environment<'_>,
    name: &'static str,
    filter: impl Fn(&mut State<'_, '_>, &[Value]) -> Result<Value, Error> + Send + Sync + 'static,
) {
    environment.add_filter(name, move |state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>| {
        filter(state, &args.into_values())
            .map_err(|error| named(&format!("filter `{name}`"), error))
    });
}

/// The error with the name of what failed. Running out of fuel stays what it is.
pub fn named(name: &str, error: Error) -> Error {
    if error.kind() == ErrorKind::OutOfFuel {
        return error;
    }
    let what = match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    };
    Error::new(error.kind(), format!("{name}: {what}"))
}

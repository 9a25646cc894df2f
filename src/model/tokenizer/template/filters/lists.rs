//! Filters of lists and dictionaries.

use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Error, State, filters};

use super::order::at_path;
use crate::model::tokenizer::template::given::{GivenArguments, wrong};
use crate::model::tokenizer::template::values::{
    Generator, Group, Range, View, is_list, items, name_of,
};
use crate::model::tokenizer::template::{methods, operators, print};

/// minijinja's filter of that name; what it gives can be read once, as in Python.
pub fn once(state: &mut State<'_, '_>, args: &[Value], name: &str) -> Result<Value, Error> {
    let same = match name {
        "map" => Value::from_function(filters::map),
        "select" => Value::from_function(filters::select),
        "reject" => Value::from_function(filters::reject),
        "selectattr" => Value::from_function(filters::selectattr),
        "rejectattr" => Value::from_function(filters::rejectattr),
        "batch" => Value::from_function(filters::batch),
        _ => Value::from_function(filters::slice),
    };
    let mut args = args.to_vec();
    args[0] = Value::from(items(&args[0])?);
    Ok(Generator::value(same.call(state, &args)?.try_iter()?.collect()))
}

pub fn grouped(state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let mut args = args.to_vec();
    args[0] = Value::from(items(&args[0])?);
    let groups = Value::from_function(filters::groupby).call(state, &args)?;
    // Those that minijinja gives hold their items in something that cannot be printed or indexed.
    let group = |group: Value| {
        let list = Value::from(group.get_attr("list")?.try_iter()?.collect::<Vec<_>>());
        Ok(Value::from_object(Group { grouper: group.get_attr("grouper")?, list }))
    };
    groups.try_iter()?.map(group).collect::<Result<Vec<_>, Error>>().map(Value::from)
}

pub fn list(args: &[Value]) -> Result<Value, Error> {
    GivenArguments::of(&args[1..])?.end(0)?;
    items(&args[0]).map(Value::from)
}

pub fn length(args: &[Value]) -> Result<Value, Error> {
    GivenArguments::of(&args[1..])?.end(0)?;
    let value = &args[0];
    if print::is_loop(value) {
        return value.get_attr("length");
    }
    let is_view = value.downcast_object_ref::<View>().is_some();
    let is_generator = value.downcast_object_ref::<Generator>().is_some();
    match value.kind() {
        ValueKind::Undefined => Ok(Value::from(0)),
        ValueKind::Map if print::is_namespace(value) => Err(wrong("a namespace has no length")),
        ValueKind::String | ValueKind::Map | ValueKind::Seq => {
            Ok(value.len().map_or(Value::UNDEFINED, Value::from))
        }
        ValueKind::Iterable if is_view || !is_generator => Ok(Value::from(items(value)?.len())),
        _ => Err(wrong(format!("{} has no length", name_of(value)))),
    }
}

pub fn first(args: &[Value]) -> Result<Value, Error> {
    GivenArguments::of(&args[1..])?.end(0)?;
    Ok(items(&args[0])?.first().cloned().unwrap_or_default())
}

pub fn last(args: &[Value]) -> Result<Value, Error> {
    GivenArguments::of(&args[1..])?.end(0)?;
    if args[0].kind() == ValueKind::Iterable && args[0].downcast_object_ref::<View>().is_none() {
        return Err(wrong("a generator cannot be read from its end"));
    }
    Ok(items(&args[0])?.last().cloned().unwrap_or_default())
}

pub fn reverse(args: &[Value]) -> Result<Value, Error> {
    GivenArguments::of(&args[1..])?.end(0)?;
    if let Some(text) = args[0].as_str() {
        return Ok(Value::from(text.chars().rev().collect::<String>()));
    }
    let mut items = items(&args[0])?;
    items.reverse();
    Ok(Generator::value(items))
}

/// Pairs of a dictionary.
pub fn pairs(args: &[Value]) -> Result<Value, Error> {
    GivenArguments::of(&args[1..])?.end(0)?;
    match args[0].kind() {
        ValueKind::Undefined => Ok(Generator::value(Vec::new())),
        ValueKind::Map if !print::is_namespace(&args[0]) => {
            let pairs = args[0].try_iter()?.map(|key| {
                let item = args[0].get_item(&key)?;
                Ok(Value::from(Tuple::from(vec![key, item])))
            });
            Ok(Generator::value(pairs.collect::<Result<_, Error>>()?))
        }
        _ => Err(wrong(format!("needs a dictionary, not {}", name_of(&args[0])))),
    }
}

pub fn sum(args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let attribute = given.get(0, "attribute")?;
    let start = given.any(1, "start")?.unwrap_or_else(|| Value::from(0));
    given.end(2)?;
    if start.as_str().is_some() {
        return Err(wrong("texts cannot be summed (`join` them)"));
    }
    let (mut sum, mut lists): (Value, Option<Vec<Value>>) = (start.clone(), None);
    if is_list(&start) {
        lists = Some(items(&start)?);
    }
    for item in items(&args[0])? {
        let item = match &attribute {
            Some(path) => at_path(&item, path)?,
            None => item,
        };
        match &mut lists {
            Some(lists) if is_list(&item) => lists.extend(items(&item)?),
            Some(_) => return Err(wrong(format!("a list and {} have no sum", name_of(&item)))),
            None => sum = operators::add(&sum, &item)?,
        }
    }
    Ok(lists.map_or(sum, Value::from))
}

pub fn default(args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let other = given.any(0, "default_value")?.unwrap_or_else(|| Value::from(""));
    let falsy = given.flag(1, "boolean", false)?;
    given.end(2)?;
    let is_missing = args[0].is_undefined() || falsy && !args[0].is_true();
    Ok(if is_missing { other } else { args[0].clone() })
}

/// An attribute of Python's; keys of a dictionary are none.
pub fn attr(_: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let name = given.needed_text(0, "name")?;
    given.end(1)?;
    let value = &args[0];
    if methods::has(value, &name) {
        return operators::attribute(value, &Value::from(name));
    }
    let is_object = print::is_namespace(value) || print::is_loop(value);
    match value.kind() {
        ValueKind::Plain => value.get_attr(&name),
        ValueKind::Map if is_object => value.get_attr(&name),
        ValueKind::Number | ValueKind::Bool => operators::attribute(value, &Value::from(name)),
        _ => Ok(Value::UNDEFINED),
    }
}

/// `range()`.
pub fn range(args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(args)?;
    given.end(3)?;
    let mut numbers = Vec::new();
    for value in given.all() {
        let is_whole = value.is_integer() || value.kind() == ValueKind::Bool;
        let number = if is_whole { i64::try_from(value.clone()).ok() } else { None };
        numbers.push(number.ok_or_else(|| {
            wrong(format!("range: expected whole numbers, found {}", name_of(value)))
        })?);
    }
    let range = match numbers[..] {
        [stop] => Range { start: 0, stop, step: 1 },
        [start, stop] => Range { start, stop, step: 1 },
        [start, stop, step] if step != 0 => Range { start, stop, step },
        [_, _, _] => return Err(wrong("range: a step of 0")),
        _ => return Err(wrong("range: expected 1 to 3 numbers, found none")),
    };
    if range.len() > 100_000 {
        return Err(wrong(format!("range: {} numbers are too many", range.len())));
    }
    Ok(Value::from_object(range))
}

//! Filters that order and compare.

use minijinja::Error;
use minijinja::value::{Tuple, Value, ValueKind};

use super::lists;
use crate::model::tokenizer::template::given::{GivenArguments, wrong};
use crate::model::tokenizer::template::operators;
use crate::model::tokenizer::template::values::{Generator, is_tuple, items, name_of};

/// The attribute of an item: names and numbers with dots between.
pub fn at_path(item: &Value, path: &Value) -> Result<Value, Error> {
    if path.as_i64().is_some() {
        return item.get_item(path);
    }
    let mut value = item.clone();
    for name in path.as_str().ok_or_else(|| wrong("an attribute must be a text"))?.split('.') {
        let key = name.parse::<i64>().map_or_else(|_| Value::from(name), Value::from);
        value = value.get_item(&key)?;
    }
    Ok(value)
}

/// What is compared of an item: the item or attributes of it; texts in small letters unless the
/// case counts.
fn key(item: &Value, attribute: Option<&Value>, cased: bool) -> Result<Value, Error> {
    let small = |value: Value| match value.as_str() {
        Some(text) if !cased => Value::from(text.to_lowercase()),
        _ => value,
    };
    match attribute {
        None => Ok(small(item.clone())),
        Some(path) => match path.as_str().filter(|path| path.contains(',')) {
            None => at_path(item, path).map(small),
            Some(paths) => {
                let keys =
                    paths.split(',').map(|path| at_path(item, &Value::from(path)).map(small));
                keys.collect::<Result<Vec<_>, _>>().map(Value::from)
            }
        },
    }
}

/// Sorts as Python does; what was equal keeps its order.
pub fn sort_by_key<T>(list: &mut [T], key: impl Fn(&T) -> &Value) -> Result<(), Error> {
    let mut failure = None;
    list.sort_by(|a, b| match operators::order("<", key(a), key(b)) {
        Ok(order) => order.unwrap_or(std::cmp::Ordering::Equal),
        Err(error) => {
            failure.get_or_insert(error);
            std::cmp::Ordering::Equal
        }
    });
    failure.map_or(Ok(()), Err)
}

fn keyed(
    value: &Value,
    attribute: Option<&Value>,
    cased: bool,
) -> Result<Vec<(Value, Value)>, Error> {
    let items = items(value)?.into_iter();
    items.map(|item| Ok((key(&item, attribute, cased)?, item))).collect()
}

fn sorted(pairs: &mut [(Value, Value)], reverse: bool) -> Result<(), Error> {
    // Reversed twice, so that what is equal keeps its order.
    if reverse {
        pairs.reverse();
    }
    sort_by_key(pairs, |pair| &pair.0)?;
    if reverse {
        pairs.reverse();
    }
    Ok(())
}

pub fn sort(args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let (reverse, cased) =
        (given.flag(0, "reverse", false)?, given.flag(1, "case_sensitive", false)?);
    let attribute = given.get(2, "attribute")?;
    given.end(3)?;
    let mut pairs = keyed(&args[0], attribute.as_ref(), cased)?;
    sorted(&mut pairs, reverse)?;
    Ok(pairs.into_iter().map(|(_, item)| item).collect())
}

pub fn largest(args: &[Value], is_max: bool) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let cased = given.flag(0, "case_sensitive", false)?;
    let attribute = given.get(1, "attribute")?;
    given.end(2)?;
    let mut best: Option<(Value, Value)> = None;
    for pair in keyed(&args[0], attribute.as_ref(), cased)? {
        let operator = if is_max { ">" } else { "<" };
        let is_better = match &best {
            None => true,
            Some(best) => operators::compare(operator, &pair.0, &best.0)?,
        };
        if is_better {
            best = Some(pair);
        }
    }
    Ok(best.map_or(Value::UNDEFINED, |(_, item)| item))
}

pub fn unique(args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let cased = given.flag(0, "case_sensitive", false)?;
    let attribute = given.get(1, "attribute")?;
    given.end(2)?;
    let mut seen = std::collections::HashSet::new();
    let mut kept = Vec::new();
    for (key, item) in keyed(&args[0], attribute.as_ref(), cased)? {
        if matches!(key.kind(), ValueKind::Seq | ValueKind::Map) && !is_tuple(&key) {
            return Err(wrong(format!("{} cannot be told apart", name_of(&key))));
        }
        // True and 1 are one, as are 1 and 1.0.
        let key = match key.kind() {
            ValueKind::Bool => Value::from(i64::from(key.is_true())),
            _ => key,
        };
        if seen.insert(key) {
            kept.push(item);
        }
    }
    Ok(Generator::value(kept))
}

pub fn dictsort(args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(&args[1..])?;
    let cased = given.flag(0, "case_sensitive", false)?;
    let by = given.text(1, "by")?.unwrap_or_else(|| "key".to_owned());
    let reverse = given.flag(2, "reverse", false)?;
    given.end(3)?;
    let place = match &by[..] {
        "key" => 0,
        "value" => 1,
        other => return Err(wrong(format!("expected `key` or `value`, found `{other}`"))),
    };
    let mut pairs = Vec::new();
    for pair in items(&lists::pairs(&args[..1])?)? {
        let of = pair.get_item_by_index(place)?;
        pairs.push((key(&of, None, cased)?, pair));
    }
    sorted(&mut pairs, reverse)?;
    let pair = |(_, pair): (Value, Value)| {
        let items: Vec<Value> = pair.try_iter()?.collect();
        Ok(Value::from(Tuple::from(items)))
    };
    pairs.into_iter().map(pair).collect::<Result<Vec<_>, Error>>().map(Value::from)
}

//! Methods of lists, dictionaries and numbers.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use crate::model::tokenizer::template::given::{GivenArguments, wrong};
use crate::model::tokenizer::template::operators::equal;
use crate::model::tokenizer::template::values::{View, ViewKind, is_tuple};

pub fn of_list(list: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let given = GivenArguments::of(args)?;
    match method {
        "index" => {
            let what = given.needed(0, "value")?;
            given.end(1)?;
            for (at, item) in list.try_iter()?.enumerate() {
                if equal(&item, &what)? {
                    return Ok(Value::from(at));
                }
            }
            Err(wrong("the value is not in the list"))
        }
        "count" => {
            let what = given.needed(0, "value")?;
            given.end(1)?;
            let mut count = 0;
            for item in list.try_iter()? {
                count += usize::from(equal(&item, &what)?);
            }
            Ok(Value::from(count))
        }
        "copy" if !is_tuple(list) => {
            given.end(0)?;
            Ok(list.try_iter()?.collect())
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

pub fn of_dictionary(
    state: &mut State<'_, '_>,
    map: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let view = |kind| Value::from_object(View { kind, of: map.clone() });
    let given = GivenArguments::of(args)?;
    match method {
        "items" | "keys" | "values" => {
            given.end(0)?;
            Ok(view(match method {
                "items" => ViewKind::Items,
                "keys" => ViewKind::Keys,
                _ => ViewKind::Values,
            }))
        }
        "get" => {
            let key = given.needed(0, "key")?;
            let other = given.any(1, "default")?.unwrap_or_else(|| Value::from(()));
            given.end(2)?;
            let found = map.as_object().and_then(|object| object.get_value(&key));
            Ok(found.unwrap_or(other))
        }
        "copy" => {
            given.end(0)?;
            let pairs = map.try_iter()?.map(|key| Ok((key.clone(), map.get_item(&key)?)));
            Ok(Value::from_pairs(pairs.collect::<Result<Vec<_>, Error>>()?))
        }
        // A function that is kept under the name, such as a macro.
        _ => match map.get_attr(method) {
            Ok(function) if function.kind() == ValueKind::Plain => function.call(state, args),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        },
    }
}

pub fn of_number(number: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    GivenArguments::of(args)?.end(0)?;
    let whole = i128::try_from(number.clone())
        .ok()
        .filter(|_| number.is_integer() || number.kind() == ValueKind::Bool);
    match (method, whole) {
        ("is_integer", Some(_)) => Ok(Value::from(true)),
        ("is_integer", None) => {
            let whole = f64::try_from(number.clone()).is_ok_and(|number| number.fract() == 0.0);
            Ok(Value::from(whole))
        }
        ("bit_length", Some(number)) => {
            Ok(Value::from(u128::BITS - number.unsigned_abs().leading_zeros()))
        }
        ("bit_count", Some(number)) => Ok(Value::from(number.unsigned_abs().count_ones())),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

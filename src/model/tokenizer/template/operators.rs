//! Python's operators, where minijinja's mean something else.

use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Error, State};

use super::budget::spend;
use super::given::wrong;
use super::values::{Generator, Method, Range, View, ViewKind, is_list, is_tuple, items, name_of};
use super::{filters, format, methods, print};

/// The filters that `syntax` puts in the place of operators. No template can name them.
pub const OPERATORS: &[(&str, filters::Filter)] = &[
    ("+", |_, args| add(&args[0], &args[1])),
    ("%", |state, args| remainder(state, &args[0], &args[1])),
    ("~", |_, args| joined(&args[0], &args[1])),
    ("==", |_, args| Ok(Value::from(equal(&args[0], &args[1])?))),
    ("!=", |_, args| Ok(Value::from(!equal(&args[0], &args[1])?))),
    ("<", |_, args| Ok(Value::from(compare("<", &args[0], &args[1])?))),
    ("<=", |_, args| Ok(Value::from(compare("<=", &args[0], &args[1])?))),
    (">", |_, args| Ok(Value::from(compare(">", &args[0], &args[1])?))),
    (">=", |_, args| Ok(Value::from(compare(">=", &args[0], &args[1])?))),
    ("in", |_, args| Ok(Value::from(contains(&args[1], &args[0])?))),
    ("compare", |_, args| chain(args)),
    ("[]", |_, args| item(&args[0], &args[1])),
    ("[:", |_, args| sliceable(&args[0])),
    ("settled", |_, args| settled(&args[0])),
    (".", |_, args| attribute(&args[0], &args[1])),
    ("for", |_, args| looped(&args[0])),
    ("refuse", |_, args| Err(wrong(print::text(&args[0])?))),
];

fn mismatch(operator: &str, left: &Value, right: &Value) -> Error {
    wrong(format!("`{operator}` does not take {} and {}", name_of(left), name_of(right)))
}

/// A whole number, or true and false as 1 and 0.
fn whole(value: &Value) -> Option<i128> {
    let is_whole = value.kind() == ValueKind::Bool || value.is_integer();
    if is_whole { i128::try_from(value.clone()).ok() } else { None }
}

fn real(value: &Value) -> Option<f64> {
    match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => f64::try_from(value.clone()).ok().or(whole(value).map(|n| n as f64)),
        _ => None,
    }
}

fn from_whole(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::from(number), Value::from)
}

pub fn add(left: &Value, right: &Value) -> Result<Value, Error> {
    if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
        return Ok(match (left.is_safe(), right.is_safe()) {
            (false, false) => Value::from([a, b].concat()),
            (true, true) => Value::from_safe_string([a, b].concat()),
            (true, false) => Value::from_safe_string([a, &filters::escaped(b)].concat()),
            (false, true) => Value::from_safe_string([&filters::escaped(a), b].concat()),
        });
    }
    if let (Some(a), Some(b)) = (whole(left), whole(right)) {
        let sum = a.checked_add(b).ok_or_else(|| wrong("the sum needs more than 128 bits"))?;
        return Ok(from_whole(sum));
    }
    if let (Some(a), Some(b)) = (real(left), real(right)) {
        return Ok(Value::from(a + b));
    }
    if is_list(left) && is_list(right) {
        return Ok(left.try_iter()?.chain(right.try_iter()?).collect());
    }
    if is_tuple(left) && is_tuple(right) {
        let items: Vec<Value> = left.try_iter()?.chain(right.try_iter()?).collect();
        return Ok(Value::from(Tuple::from(items)));
    }
    Err(mismatch("+", left, right))
}

fn joined(left: &Value, right: &Value) -> Result<Value, Error> {
    if left.is_safe() && right.is_safe() {
        return add(left, right);
    }
    // Without escaping of everything, `~` joins escaped texts as they are.
    Ok(Value::from([print::text(left)?, print::text(right)?].concat()))
}

fn remainder(state: &mut State<'_, '_>, left: &Value, right: &Value) -> Result<Value, Error> {
    if let Some(text) = left.as_str() {
        if left.is_safe() {
            return Err(wrong("`%` on an escaped text is not supported"));
        }
        return format::percent(state, text, right).map(Value::from);
    }
    if let (Some(a), Some(b)) = (whole(left), whole(right)) {
        let by = a.checked_rem(b).ok_or_else(|| wrong("modulo by zero"))?;
        return Ok(from_whole(if by != 0 && (by < 0) != (b < 0) { by + b } else { by }));
    }
    match (real(left), real(right)) {
        (Some(_), Some(0.0)) => Err(wrong("modulo by zero")),
        (Some(a), Some(b)) => {
            let by = a % b;
            let by = if by != 0.0 && (by < 0.0) != (b < 0.0) { by + b } else { by };
            Ok(Value::from(if by == 0.0 { 0f64.copysign(b) } else { by }))
        }
        _ => Err(mismatch("%", left, right)),
    }
}

/// `==`.
pub fn equal(left: &Value, right: &Value) -> Result<bool, Error> {
    spend(0)?;
    let views = (left.downcast_object_ref::<View>(), right.downcast_object_ref::<View>());
    if let (Some(a), Some(b)) = views {
        if a.kind == ViewKind::Values || b.kind == ViewKind::Values {
            return Ok(false);
        }
        let (a, b) = (a.contents()?, b.contents()?);
        return Ok(a.len() == b.len() && a.iter().all(|item| b.contains(item)));
    }
    let kind = |value: &Value| match value.kind() {
        ValueKind::Bool => ValueKind::Number,
        kind => kind,
    };
    if kind(left) != kind(right) {
        return Ok(false);
    }
    match kind(left) {
        ValueKind::Seq => {
            let is_range = |value: &Value| value.downcast_object_ref::<Range>().is_some();
            if is_tuple(left) != is_tuple(right) || is_range(left) != is_range(right) {
                return Ok(false);
            }
            if left.len() != right.len() {
                return Ok(false);
            }
            for (a, b) in left.try_iter()?.zip(right.try_iter()?) {
                if !equal(&a, &b)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        ValueKind::Map => {
            if print::is_namespace(left) || print::is_namespace(right) {
                return Err(wrong("`==` of namespaces is not supported"));
            }
            if left.len() != right.len() {
                return Ok(false);
            }
            for key in left.try_iter()? {
                let other = right.get_item(&key)?;
                if other.is_undefined() || !equal(&left.get_item(&key)?, &other)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        ValueKind::Iterable | ValueKind::Plain => {
            Err(wrong("`==` of generators, functions or methods is not supported"))
        }
        _ => Ok(left == right),
    }
}

/// `<` and the like.
pub fn compare(operator: &str, left: &Value, right: &Value) -> Result<bool, Error> {
    let order = order(operator, left, right)?;
    Ok(match operator {
        "<" => order.is_some_and(|order| order.is_lt()),
        "<=" => order.is_some_and(|order| order.is_le()),
        ">" => order.is_some_and(|order| order.is_gt()),
        _ => order.is_some_and(|order| order.is_ge()),
    })
}

/// The order of two values that Python can order; none for a NaN.
pub fn order(
    operator: &str,
    left: &Value,
    right: &Value,
) -> Result<Option<std::cmp::Ordering>, Error> {
    spend(0)?;
    if let (Some(a), Some(b)) = (real(left), real(right)) {
        if a.is_nan() || b.is_nan() {
            return Ok(None);
        }
        let number = |value: &Value| match value.kind() {
            ValueKind::Bool => Value::from(i64::from(value.is_true())),
            _ => value.clone(),
        };
        return Ok(Some(number(left).cmp(&number(right))));
    }
    if let (Some(a), Some(b)) = (left.as_str(), right.as_str()) {
        return Ok(Some(a.cmp(b)));
    }
    let lists = is_list(left) && is_list(right) || is_tuple(left) && is_tuple(right);
    if !lists {
        return Err(mismatch(operator, left, right));
    }
    for (a, b) in left.try_iter()?.zip(right.try_iter()?) {
        if !equal(&a, &b)? {
            return order(operator, &a, &b);
        }
    }
    Ok(Some(left.len().cmp(&right.len())))
}

/// `a < b <= c`.
fn chain(args: &[Value]) -> Result<Value, Error> {
    let mut left = &args[0];
    for pair in args[1..].chunks_exact(2) {
        let (operator, right) = (pair[0].as_str().unwrap_or_default(), &pair[1]);
        let holds = match operator {
            "==" => equal(left, right)?,
            "!=" => !equal(left, right)?,
            "in" => contains(right, left)?,
            "not in" => !contains(right, left)?,
            _ => compare(operator, left, right)?,
        };
        if !holds {
            return Ok(Value::from(false));
        }
        left = right;
    }
    Ok(Value::from(true))
}

/// `item in container`.
pub fn contains(container: &Value, item: &Value) -> Result<bool, Error> {
    if let Some(text) = container.as_str() {
        return match item.as_str() {
            Some(item) => Ok(text.contains(item)),
            None if item.is_undefined() => Ok(true),
            None => Err(mismatch("in", item, container)),
        };
    }
    match container.kind() {
        ValueKind::Map if print::is_namespace(container) => {
            Err(wrong("`in` does not take a namespace"))
        }
        ValueKind::Map => match item.kind() {
            ValueKind::Seq | ValueKind::Map if !is_tuple(item) => {
                Err(wrong(format!("{} cannot be a key", name_of(item))))
            }
            _ => Ok(container.try_iter()?.any(|key| key == *item)),
        },
        _ => {
            for one in items(container).map_err(|_| mismatch("in", item, container))? {
                if equal(&one, item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

/// `value[key]`, the keys that minijinja takes otherwise.
fn item(value: &Value, key: &Value) -> Result<Value, Error> {
    if value.is_undefined() {
        return Err(wrong(format!("`[{}]` of an undefined value", print::repr(key)?)));
    }
    let is_map = value.kind() == ValueKind::Map;
    if !is_map && key.kind() == ValueKind::Number && !key.is_integer() {
        return Ok(Value::UNDEFINED);
    }
    let found = match whole(key) {
        Some(at) if !is_map => value.get_item(&from_whole(at))?,
        _ => value.get_item(key)?,
    };
    if found.is_undefined() && key.as_str().is_some() { attribute(value, key) } else { Ok(found) }
}

/// What minijinja may slice as Python does.
fn sliceable(value: &Value) -> Result<Value, Error> {
    let is_range = value.downcast_object_ref::<Range>().is_some();
    match value.kind() {
        ValueKind::String | ValueKind::Seq if !is_range => Ok(value.clone()),
        _ => Err(wrong(format!("a slice of {} is not supported", name_of(value)))),
    }
}

/// A list that minijinja has left to be made later, made now.
fn settled(value: &Value) -> Result<Value, Error> {
    let is_later =
        value.kind() == ValueKind::Iterable && value.downcast_object_ref::<View>().is_none();
    if is_later { Ok(value.try_iter()?.collect()) } else { Ok(value.clone()) }
}

/// `value.name`, where a method may have the name.
pub fn attribute(value: &Value, name: &Value) -> Result<Value, Error> {
    let text = name.as_str().unwrap_or_default();
    if value.is_undefined() {
        return Err(wrong(format!("`.{text}` of an undefined value")));
    }
    if methods::has(value, text) {
        return Ok(Value::from_object(Method { of: value.clone(), name: text.to_owned() }));
    }
    if print::is_macro(value) && methods::is_of_macro(text) {
        return Err(wrong(format!("`.{text}` of a macro is not supported")));
    }
    if value.kind() == ValueKind::Plain && methods::is_attribute(text) {
        return Err(wrong(format!("`.{text}` of a function is not supported")));
    }
    match (value.kind(), text) {
        (ValueKind::Number | ValueKind::Bool, "real" | "numerator") if whole(value).is_some() => {
            Ok(whole(value).map_or(Value::UNDEFINED, from_whole))
        }
        (ValueKind::Number | ValueKind::Bool, "imag") if whole(value).is_some() => {
            Ok(Value::from(0))
        }
        (ValueKind::Number | ValueKind::Bool, "denominator") if whole(value).is_some() => {
            Ok(Value::from(1))
        }
        (ValueKind::Number, "real") => Ok(value.clone()),
        (ValueKind::Number, "imag") => Ok(Value::from(0.0)),
        _ => value.get_item(name),
    }
}

/// What `for` runs over.
fn looped(value: &Value) -> Result<Value, Error> {
    let is_generator = value.downcast_object_ref::<Generator>().is_some();
    let is_view = value.downcast_object_ref::<View>().is_some();
    match value.kind() {
        ValueKind::Iterable if is_generator || is_view => Ok(Value::from(items(value)?)),
        ValueKind::None | ValueKind::Bool | ValueKind::Number | ValueKind::Plain => {
            items(value).map(Value::from)
        }
        ValueKind::Map if print::is_namespace(value) => Err(wrong("a namespace is not iterable")),
        _ => Ok(value.clone()),
    }
}

//! Values of Python that minijinja has no kind for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use minijinja::value::{Enumerator, Object, ObjectRepr, Tuple, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

/// What a view shows of a dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewKind {
    Items,
    Keys,
    Values,
}

/// `dict.items()`, `.keys()`, `.values()`.
#[derive(Debug)]
pub struct View {
    pub kind: ViewKind,
    pub of: Value,
}

impl View {
    pub fn contents(&self) -> Result<Vec<Value>, Error> {
        let keys = self.of.try_iter()?;
        match self.kind {
            ViewKind::Keys => Ok(keys.collect()),
            ViewKind::Values => keys.map(|key| self.of.get_item(&key)).collect(),
            ViewKind::Items => keys
                .map(|key| {
                    let item = self.of.get_item(&key)?;
                    Ok(Value::from(Tuple::from(vec![key, item])))
                })
                .collect(),
        }
    }
}

impl Object for View {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Iter(Box::new(self.contents().unwrap_or_default().into_iter()))
    }
}

/// A group of `groupby`: a tuple whose two parts have names.
#[derive(Debug)]
pub struct Group {
    /// What its items have in common.
    pub grouper: Value,
    /// A list of its items.
    pub list: Value,
}

impl Object for Group {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (key.as_i64(), key.as_str()) {
            (Some(0 | -2), _) | (_, Some("grouper")) => Some(self.grouper.clone()),
            (Some(1 | -1), _) | (_, Some("list")) => Some(self.list.clone()),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(2)
    }
}

/// `range()`.
#[derive(Debug)]
pub struct Range {
    pub start: i64,
    pub stop: i64,
    pub step: i64,
}

impl Range {
    /// `step` must not be 0.
    pub fn len(&self) -> u64 {
        let (low, high) =
            if self.step > 0 { (self.start, self.stop) } else { (self.stop, self.start) };
        if low >= high { 0 } else { (high.abs_diff(low) - 1) / self.step.unsigned_abs() + 1 }
    }
}

impl Object for Range {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let at = key.as_i64()?;
        let within = u64::try_from(at).is_ok_and(|at| at < self.len());
        within.then(|| Value::from(self.start + at * self.step))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.len() as usize)
    }
}

/// What `map`, `select` and others give: it can be read once.
#[derive(Debug)]
pub struct Generator(Mutex<VecDeque<Value>>);

impl Generator {
    pub fn value(items: Vec<Value>) -> Value {
        Value::from_object(Self(Mutex::new(items.into())))
    }
}

impl Object for Generator {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let left = self.0.lock().map(|mut items| std::mem::take(&mut *items)).unwrap_or_default();
        Enumerator::Iter(Box::new(left.into_iter()))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        None
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }
}

/// A method that is named and not called.
#[derive(Debug)]
pub struct Method {
    pub of: Value,
    pub name: String,
}

impl Object for Method {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        self.of.call_method(state, &self.name, args)
    }
}

/// `cycler()`.
#[derive(Debug)]
pub struct Cycler {
    pub items: Vec<Value>,
    pub at: Mutex<usize>,
}

impl Object for Cycler {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let at = *self.at.lock().ok()?;
        (key.as_str() == Some("current")).then(|| self.items[at].clone())
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        _: &[Value],
    ) -> Result<Value, Error> {
        let Ok(mut at) = self.at.lock() else { return Ok(Value::UNDEFINED) };
        match method {
            "next" => {
                let item = self.items[*at].clone();
                *at = (*at + 1) % self.items.len();
                Ok(item)
            }
            "reset" => {
                *at = 0;
                Ok(Value::from(()))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

/// `joiner()`.
#[derive(Debug)]
pub struct Joiner {
    pub between: Value,
    pub is_first: AtomicBool,
}

impl Object for Joiner {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (key.as_str() == Some("sep")).then(|| self.between.clone())
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, _: &[Value]) -> Result<Value, Error> {
        let is_first = self.is_first.swap(false, Ordering::Relaxed);
        Ok(if is_first { Value::from("") } else { self.between.clone() })
    }
}

/// A list of Python: neither a tuple nor a range.
pub fn is_list(value: &Value) -> bool {
    value.kind() == ValueKind::Seq
        && !is_tuple(value)
        && value.downcast_object_ref::<Range>().is_none()
}

/// Whether it is a tuple, be it one with names.
pub fn is_tuple(value: &Value) -> bool {
    value.is_tuple() || value.downcast_object_ref::<Group>().is_some()
}

/// What a loop over the value sees. Errors: it is no iterable.
pub fn items(value: &Value) -> Result<Vec<Value>, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(Vec::new()),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            Ok(text.chars().map(|c| Value::from(c.to_string())).collect())
        }
        ValueKind::None | ValueKind::Number | ValueKind::Bool | ValueKind::Plain => Err(
            Error::new(ErrorKind::InvalidOperation, format!("{} is not iterable", name_of(value))),
        ),
        _ => Ok(value.try_iter()?.collect()),
    }
}

/// Python's name of the value's type, in quotes.
pub fn name_of(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "an undefined value",
        ValueKind::None => "'NoneType'",
        ValueKind::Bool => "'bool'",
        ValueKind::Number if value.is_integer() => "'int'",
        ValueKind::Number => "'float'",
        ValueKind::String => "'str'",
        ValueKind::Seq if is_tuple(value) => "'tuple'",
        ValueKind::Seq if is_list(value) => "'list'",
        ValueKind::Seq => "'range'",
        ValueKind::Map => "'dict'",
        ValueKind::Iterable => "a generator or view",
        _ => "an object",
    }
}

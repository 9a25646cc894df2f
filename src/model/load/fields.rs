//! Typed reads of a JSON object that name file, key and value when they fail.

use serde_json::{Map, Value};

use crate::{Error, Result};

/// A JSON object and what errors call it.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) map: &'a Map<String, Value>,
    pub(super) origin: &'a str,
}

impl<'a> Fields<'a> {
    pub(super) fn wrong(&self, key: &str, what: &str) -> Error {
        Error::input(format!("{}: `{key}` {what}", self.origin))
    }

    /// The warning that defaults of an architecture hold for keys that are not given; none where all
    /// are.
    pub(super) fn defaults_hold(&self, architecture: &str, unsaid: &[String]) -> Option<String> {
        (!unsaid.is_empty()).then(|| {
            format!(
                "{}: the defaults of {architecture} hold for keys that are not given: {}",
                self.origin,
                unsaid.join(", ")
            )
        })
    }

    /// What a key holds; null is as good as nothing.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Refuses a null where the key is given, for keys that may be absent but not null.
    pub(super) fn refuse_null(&self, key: &str, expected: &str) -> Result<()> {
        match self.map.get(key) {
            Some(Value::Null) => Err(self.wrong(key, &format!("must be {expected}, not null"))),
            _ => Ok(()),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>> {
        self.typed(key, "a string", Value::as_str)
    }

    pub(super) fn count(&self, key: &str) -> Result<Option<usize>> {
        self.typed(key, "a count", |value| usize::try_from(value.as_u64()?).ok())
    }

    /// A whole number; `64.0` is one as well.
    pub(super) fn whole(&self, key: &str) -> Result<Option<usize>> {
        self.typed(key, "a count", |value| {
            let whole = || {
                value
                    .as_f64()
                    .filter(|n| n.fract() == 0.0 && (0.0..=1e15).contains(n))
                    .map(|n| n as u64)
            };
            usize::try_from(value.as_u64().or_else(whole)?).ok()
        })
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a number", Value::as_f64)
    }

    /// A flag that may be absent but not null.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.refuse_null(key, "true or false")?;
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(super) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        self.typed(key, "a list of numbers", |value| {
            value.as_array()?.iter().map(Value::as_f64).collect()
        })
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        self.value(key)
            .map(|value| {
                read(value).ok_or_else(|| {
                    self.wrong(key, &format!("must be {expected}, not {}", shown(value)))
                })
            })
            .transpose()
    }
}

/// A value as an error shows it: short.
pub(super) fn shown(value: &Value) -> String {
    const LONGEST: usize = 40;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

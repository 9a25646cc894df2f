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

    /// What a key holds; null is as good as nothing.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>> {
        self.typed(key, "a string", Value::as_str)
    }

    /// A whole number; `64.0` is one as well.
    pub(super) fn count(&self, key: &str) -> Result<Option<usize>> {
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

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(super) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        self.typed(key, "a list of numbers", |value| {
            value.as_array()?.iter().map(Value::as_f64).collect()
        })
    }

    /// Token ids: none, one or several. A negative one stands for none.
    pub(super) fn token_ids(&self, key: &str) -> Result<Vec<u32>> {
        let whole = |value: &Value| {
            value.as_i64().or_else(|| {
                value.as_f64().filter(|n| n.fract() == 0.0 && n.abs() <= 1e15).map(|n| n as i64)
            })
        };
        let ids = self.typed(key, "a token id or a list of them", |value| match value {
            Value::Array(ids) => ids.iter().map(whole).collect::<Option<Vec<i64>>>(),
            one => Some(vec![whole(one)?]),
        })?;
        Ok(ids.into_iter().flatten().filter_map(|id| u32::try_from(id).ok()).collect())
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

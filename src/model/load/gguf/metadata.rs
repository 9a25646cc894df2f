//! The metadata of a GGUF file by key and type.
//!
//! llama.cpp reads every key as one type and refuses a file that stores it as another. So does this
//! module, for all keys of the table in `keys` at once; what reads them later finds the right type
//! or nothing.

use std::collections::HashMap;
use std::fmt;

use candle_core::quantized::gguf_file::Value;

use super::keys;
use crate::error::shortened;
use crate::{Error, Result};

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    U16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    /// One number, or one for each layer.
    PerLayer,
    I32s,
    F32s,
    Texts,
}

impl Type {
    fn holds(self, value: &Value) -> bool {
        let list = |of: Self| match value {
            Value::Array(items) => items.iter().all(|item| of.holds(item)),
            _ => false,
        };
        match self {
            Self::U16 => matches!(value, Value::U16(_)),
            Self::U32 => matches!(value, Value::U32(_)),
            Self::I32 => matches!(value, Value::I32(_)),
            Self::F32 => matches!(value, Value::F32(_)),
            Self::Bool => matches!(value, Value::Bool(_)),
            Self::Text => matches!(value, Value::String(_)),
            Self::PerLayer => Self::U32.holds(value) || list(Self::U32) || list(Self::I32),
            Self::I32s => list(Self::I32),
            Self::F32s => list(Self::F32),
            Self::Texts => list(Self::Text),
        }
    }

    /// Refuses a value of another type; the error ends a sentence that names the file.
    pub fn check(self, key: &str, value: &Value) -> Result<(), String> {
        match self.holds(value) {
            true => Ok(()),
            false => Err(format!("`{key}` is {}, expected {self}", found(value))),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::Bool => "a bool",
            Self::Text => "a string",
            Self::PerLayer => "u32, or a list of it with one for each layer",
            Self::I32s => "a list of i32",
            Self::F32s => "a list of f32",
            Self::Texts => "a list of strings",
        })
    }
}

/// A value and its type, short.
fn found(value: &Value) -> String {
    match value {
        Value::U8(n) => format!("{n} of type u8"),
        Value::I8(n) => format!("{n} of type i8"),
        Value::U16(n) => format!("{n} of type u16"),
        Value::I16(n) => format!("{n} of type i16"),
        Value::U32(n) => format!("{n} of type u32"),
        Value::I32(n) => format!("{n} of type i32"),
        Value::U64(n) => format!("{n} of type u64"),
        Value::I64(n) => format!("{n} of type i64"),
        Value::F32(n) => format!("{n} of type f32"),
        Value::F64(n) => format!("{n} of type f64"),
        Value::Bool(flag) => format!("{flag} of type bool"),
        Value::String(text) => format!("the string `{}`", shortened(text)),
        Value::Array(items) => format!(
            "a list of {}",
            match items.first() {
                None => "nothing",
                Some(Value::U8(_)) => "u8",
                Some(Value::I8(_)) => "i8",
                Some(Value::U16(_)) => "u16",
                Some(Value::I16(_)) => "i16",
                Some(Value::U32(_)) => "u32",
                Some(Value::I32(_)) => "i32",
                Some(Value::U64(_)) => "u64",
                Some(Value::I64(_)) => "i64",
                Some(Value::F32(_)) => "f32",
                Some(Value::F64(_)) => "f64",
                Some(Value::Bool(_)) => "bools",
                Some(Value::String(_)) => "strings",
                Some(Value::Array(_)) => "lists",
            }
        ),
    }
}

/// The table of one file; every known key has its type.
pub(super) struct Metadata {
    file: String,
    family: String,
    values: HashMap<String, Value>,
}

impl Metadata {
    /// Checks the types of `values`; `file` names the file in errors.
    pub fn new(file: &str, values: HashMap<String, Value>) -> Result<Self> {
        let family = match values.get("general.architecture") {
            Some(Value::String(family)) => family.clone(),
            Some(other) => {
                return Err(Error::input(format!(
                    "{file}: `general.architecture` is {}, expected {}",
                    found(other),
                    Type::Text
                )));
            }
            None => return Err(Error::input(format!("{file}: `general.architecture` is missing"))),
        };
        for (key, kind) in keys::types(&family) {
            if let Some(value) = values.get(&key) {
                kind.check(&key, value).map_err(|what| Error::input(format!("{file}: {what}")))?;
            }
        }
        Ok(Self { file: file.to_owned(), family, values })
    }

    /// `general.architecture`.
    pub fn family(&self) -> &str {
        &self.family
    }

    /// The keys that begin with a name and a dot.
    pub fn section<'a>(&'a self, name: &'a str) -> Section<'a> {
        Section { metadata: self, name }
    }
}

/// The keys of a file that begin with the same name: `llama`, `tokenizer.ggml`.
#[derive(Clone, Copy)]
pub struct Section<'a> {
    metadata: &'a Metadata,
    name: &'a str,
}

impl<'a> Section<'a> {
    /// An error about a key.
    pub fn wrong(&self, key: &str, what: &str) -> Error {
        Error::input(format!("{}: `{}` {what}", self.metadata.file, self.full(key)))
    }

    /// A whole key, in the way messages write it.
    pub fn full(&self, key: &str) -> String {
        format!("{}.{}", self.name, shortened(key))
    }

    /// The keys, without the section's name.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        let Self { metadata, name } = *self;
        metadata.values.keys().filter_map(move |key| key.strip_prefix(name)?.strip_prefix('.'))
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        self.metadata.values.get(&format!("{}.{key}", self.name))
    }

    /// A count.
    pub fn count(&self, key: &str) -> Option<usize> {
        self.id(key).map(|n| n as usize)
    }

    /// A number of 32 bits, unsigned.
    pub fn id(&self, key: &str) -> Option<u32> {
        match self.value(key)? {
            Value::U32(n) => Some(*n),
            _ => None,
        }
    }

    /// A count that holds for every layer; a list of other counts or of another length is refused.
    pub(super) fn per_layer(&self, key: &str, layers: usize) -> Result<Option<usize>> {
        let one = |value: &Value| match value {
            Value::U32(n) => Some(*n as usize),
            Value::I32(n) => usize::try_from(*n).ok(),
            _ => None,
        };
        let list = match self.value(key) {
            None => return Ok(None),
            Some(Value::Array(list)) => list,
            Some(value) => return Ok(one(value)),
        };
        let first = list.first().and_then(one);
        match list.len() == layers && first.is_some() && list.iter().all(|n| one(n) == first) {
            true => Ok(first),
            false => Err(self.wrong(
                key,
                &format!(
                    "must be one count, or the same for each of {layers} layers, not a list of {}",
                    list.len()
                ),
            )),
        }
    }

    /// A float.
    pub(super) fn number(&self, key: &str) -> Option<f64> {
        match self.value(key)? {
            // The shortest digits of a stored f32, as for a JSON file of the same model.
            Value::F32(n) => n.to_string().parse().ok(),
            _ => None,
        }
    }

    /// Whatever it holds as a number; true is 1.
    pub(super) fn any_number(&self, key: &str) -> Option<f64> {
        let flag = || self.flag(key).map(|flag| f64::from(u8::from(flag)));
        self.number(key).or_else(|| self.id(key).map(f64::from)).or_else(flag)
    }

    /// True or false.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.value(key)? {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        match self.value(key)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// How long a list is.
    pub(super) fn len_of(&self, key: &str) -> usize {
        match self.value(key) {
            Some(Value::Array(items)) => items.len(),
            _ => 0,
        }
    }

    /// A list of texts.
    pub fn texts(&self, key: &str) -> Option<Vec<String>> {
        self.list(key, |item| match item {
            Value::String(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// A list of integers.
    pub fn integers(&self, key: &str) -> Option<Vec<i32>> {
        self.list(key, |item| match item {
            Value::I32(n) => Some(*n),
            _ => None,
        })
    }

    /// A list of floats.
    pub fn floats(&self, key: &str) -> Option<Vec<f32>> {
        self.list(key, |item| match item {
            Value::F32(n) => Some(*n),
            _ => None,
        })
    }

    fn list<T>(&self, key: &str, one: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
        match self.value(key)? {
            Value::Array(items) => items.iter().map(one).collect(),
            _ => None,
        }
    }
}

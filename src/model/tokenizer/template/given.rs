//! Arguments of methods and filters, by position or by name.

use minijinja::value::{Kwargs, Rest, Value, from_args};
use minijinja::{Error, ErrorKind};

use super::values::name_of;

/// What a method or filter was called with; a filter's value is not among them.
pub struct GivenArguments {
    by_position: Vec<Value>,
    by_name: Kwargs,
}

/// An error of a filter, method or operator.
pub fn wrong(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.into())
}

impl GivenArguments {
    pub fn of(args: &[Value]) -> Result<Self, Error> {
        let (by_position, by_name): (Rest<Value>, Kwargs) = from_args(args)?;
        Ok(Self { by_position: by_position.0, by_name })
    }

    /// What was given, even none.
    pub fn any(&self, at: usize, name: &str) -> Result<Option<Value>, Error> {
        let named: Option<Value> =
            if self.by_name.has(name) { Some(self.by_name.get(name)?) } else { None };
        Ok(self.by_position.get(at).cloned().or(named))
    }

    /// What was given, unless it is none.
    pub fn get(&self, at: usize, name: &str) -> Result<Option<Value>, Error> {
        Ok(self.any(at, name)?.filter(|value| !value.is_none() && !value.is_undefined()))
    }

    pub fn needed(&self, at: usize, name: &str) -> Result<Value, Error> {
        self.any(at, name)?.ok_or_else(|| wrong(format!("`{name}` is missing")))
    }

    pub fn flag(&self, at: usize, name: &str, unless_given: bool) -> Result<bool, Error> {
        Ok(self.any(at, name)?.map_or(unless_given, |value| value.is_true()))
    }

    pub fn text(&self, at: usize, name: &str) -> Result<Option<String>, Error> {
        match self.get(at, name)? {
            None => Ok(None),
            Some(value) => match value.as_str() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(wrong(format!("`{name}` must be a text, not {}", name_of(&value)))),
            },
        }
    }

    pub fn needed_text(&self, at: usize, name: &str) -> Result<String, Error> {
        self.text(at, name)?.ok_or_else(|| wrong(format!("`{name}` is missing")))
    }

    pub fn number(&self, at: usize, name: &str) -> Result<Option<i64>, Error> {
        match self.get(at, name)? {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(wrong(format!("`{name}` must be a whole number"))),
            },
        }
    }

    /// All arguments by position.
    pub fn all(&self) -> &[Value] {
        &self.by_position
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.args()
    }

    /// That nothing was given beyond `most` by position and the names that were asked for.
    pub fn end(&self, most: usize) -> Result<(), Error> {
        if self.by_position.len() > most {
            return Err(wrong(format!("takes no more than {most} arguments")));
        }
        self.by_name.assert_all_used()
    }
}

//! Values that people type on the command line, read in one way by every command.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};

use crate::element::Dtype;

/// Reads an element type. The error says what is stored so.
#[derive(Debug, Clone, Copy)]
pub struct DtypeOf(&'static str);

impl DtypeOf {
    /// Of a model's weights.
    pub const WEIGHTS: Self = Self("weights");
    /// Of the keys and values in a cache.
    pub const CACHE: Self = Self("cached keys and values");
}

impl TypedValueParser for DtypeOf {
    type Value = Dtype;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Dtype, clap::Error> {
        let Self(what) = *self;
        let parse = move |text: &str| {
            text.parse::<Dtype>()
                .map_err(|_| format!("`{text}` is no element type of {what} (f32, f16, bf16)"))
        };
        parse.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Dtype::ALL.into_iter().map(|dtype| PossibleValue::new(dtype.name()))))
    }
}

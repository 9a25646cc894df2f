//! Values on the command line, parsed in the same way by every command.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::element::Dtype;
use crate::machine::MOST_THREADS;
use crate::mask::{Needs, Rule};
use crate::model::host::quant::QuantKind;
use crate::numbers;

/// A number of tokens, at least one: `32768`, `32k` (1024 each) or `1m`.
pub fn tokens(text: &str) -> Result<usize, String> {
    tokens_or_zero(text)
        .ok()
        .filter(|&tokens| tokens > 0)
        .ok_or_else(|| "expected tokens such as 32768 or 32k".to_owned())
}

/// A number of tokens, where zero is allowed too.
pub fn tokens_or_zero(text: &str) -> Result<usize, String> {
    numbers::parse_tokens(text).ok_or_else(|| "expected tokens such as 32768 or 32k".to_owned())
}

/// The shortest and the longest of contexts, in tokens: `MIN..MAX`, at least 64.
pub fn lengths(text: &str) -> Result<(usize, usize), String> {
    let parsed = text
        .split_once("..")
        .and_then(|(a, b)| Some((numbers::parse_tokens(a)?, numbers::parse_tokens(b)?)));
    match parsed {
        Some((least, most)) if 64 <= least && least <= most => Ok((least, most)),
        _ => Err("expected MIN..MAX in tokens, at least 64, such as 512..2048".to_owned()),
    }
}

/// Most of anything that is counted: steps, samples, sequences of a batch.
const MOST: usize = 1_000_000;

/// A number of things, at most a million: more is a slip of the hand, and would run for ever.
pub fn number(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|&number| number <= MOST)
        .ok_or_else(|| format!("expected a whole number of at most {}", numbers::count(MOST)))
}

/// A number of threads, which the system would take long to make if there were more.
pub fn threads(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&threads| threads <= MOST_THREADS).ok_or_else(|| {
        format!("expected a number of threads of at most {}", numbers::count(MOST_THREADS))
    })
}

/// A quantised type of weights.
pub fn quant_kind(text: &str) -> Result<QuantKind, String> {
    text.parse().map_err(|error: crate::Error| error.to_string())
}

/// Parses the name of a rule, among those whose needs can be met.
pub fn rule(can_meet: impl Fn(Needs) -> bool) -> impl TypedValueParser<Value = Rule> {
    let rules = Rule::ALL.into_iter().filter(|rule| can_meet(rule.needs));
    PossibleValuesParser::new(rules.map(|rule| PossibleValue::new(rule.name).help(rule.about)))
        .try_map(|name| Rule::named(&name).ok_or("no such rule"))
}

/// Parses an element type. The error says what is stored in it.
#[derive(Debug, Clone, Copy)]
pub struct DtypeOf(&'static str);

impl DtypeOf {
    /// Element type of a model's weights.
    pub const WEIGHTS: Self = Self("weights");
    /// Element type of the keys and values in a cache.
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
                .map_err(|_| format!("`{text}` is no element type of {what} ({})", Dtype::names()))
        };
        parse.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Dtype::ALL.into_iter().map(|dtype| PossibleValue::new(dtype.name()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_an_end() {
        assert_eq!(
            (number("0"), number("1000000"), threads("1024")),
            (Ok(0), Ok(1_000_000), Ok(1024))
        );
        for wrong in ["1000001", "-1", "1.5", "", "18446744073709551616"] {
            assert!(number(wrong).unwrap_err().contains("1,000,000"), "{wrong}");
        }
        assert!(threads("1025").unwrap_err().contains("1,024"));
    }

    #[test]
    fn tokens_are_at_least_one_where_none_means_nothing() {
        assert_eq!((tokens("32k"), tokens_or_zero("0")), (Ok(32_768), Ok(0)));
        assert!(tokens("0").is_err() && tokens_or_zero("1.5k").is_err());
    }
}

//! The rules that score channels, as a table: a new rule is one constant that [`Rule::ALL`]
//! lists.

use super::{Importance, Shape, rules};
use crate::{Error, Result};

/// What a rule needs besides the shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing besides the shape.
    Nothing,
    /// Mean squares of keys and queries, gathered while a text runs through the model.
    Text,
    /// Importance from a file.
    File,
}

/// Mean squares gathered from a text.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanSquares {
    /// Query heads per layer.
    pub query_heads: usize,
    /// Mean k², `[layers, kv_heads, head_dim]`.
    pub keys: Vec<f64>,
    /// Mean q² of late queries, `[layers, query_heads, head_dim]`.
    pub queries: Vec<f64>,
}

/// The inputs of a rule.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// Layers, KV heads, channels.
    pub shape: Shape,
    /// Seed of random scores.
    pub seed: u64,
    /// Mean squares, where a text was run.
    pub squares: Option<&'a MeanSquares>,
    /// Importance from a file, where there is one.
    pub learned: Option<&'a Importance>,
}

impl Given<'_> {
    /// Only the shape and a seed, which is all that some rules need.
    pub fn nothing(shape: Shape, seed: u64) -> Self {
        Self { shape, seed, squares: None, learned: None }
    }
}

/// A rule that scores channels. Rules are equal where their names are.
#[derive(Clone, Copy)]
pub struct Rule {
    /// The name on the command line, in the palette, in recipes and in JSON.
    pub name: &'static str,
    /// The name in a table that people read.
    pub words: &'static str,
    /// One line of help.
    pub about: &'static str,
    /// What the rule needs.
    pub needs: Needs,
    /// Whether its publication keeps equal counts in every head; the other rules spread one budget.
    pub equal_counts: bool,
    /// The importance of every channel.
    scores: fn(Given<'_>) -> Result<Importance>,
}

impl Rule {
    /// Every rule that channels can be selected by.
    pub const ALL: [Self; 5] =
        [Self::LEARNED, Self::THINK, Self::KEY_NORM, Self::FREQUENCY, Self::RANDOM];

    /// Importance from a file.
    pub const LEARNED: Self = Self {
        name: "learned",
        words: "learned",
        about: "The importance that a file holds",
        needs: Needs::File,
        equal_counts: false,
        scores: |given| given.learned.cloned().ok_or_else(|| missing("importance")),
    };

    /// Mean q² times mean k².
    pub const THINK: Self = Self {
        name: "think",
        words: "ThinK",
        about: "ThinK: mean q² of late queries times mean k²",
        needs: Needs::Text,
        equal_counts: true,
        scores: |given| {
            let MeanSquares { query_heads, keys, queries } = squares(&given)?;
            rules::think(given.shape, *query_heads, queries, keys)
        },
    };

    /// Mean k².
    pub const KEY_NORM: Self = Self {
        name: "key-norm",
        words: "key norm",
        about: "Mean k² of each channel",
        needs: Needs::Text,
        equal_counts: false,
        scores: |given| rules::key_norm(given.shape, &squares(&given)?.keys),
    };

    /// Slowest rotation first.
    pub const FREQUENCY: Self = Self {
        name: "frequency",
        words: "frequency",
        about: "Slowest rotation first",
        needs: Needs::Nothing,
        equal_counts: true,
        scores: |given| Ok(rules::slowest_first(given.shape)),
    };

    /// Uniform random scores.
    pub const RANDOM: Self = Self {
        name: "random",
        words: "random",
        about: "Uniform random scores",
        needs: Needs::Nothing,
        equal_counts: false,
        scores: |given| Ok(rules::random(given.shape, given.seed)),
    };

    /// Stands for keeping every channel in tables that list it beside the rules; it cannot be
    /// selected.
    pub const DENSE: Self = Self {
        name: "dense",
        words: "dense",
        about: "Every channel",
        needs: Needs::Nothing,
        equal_counts: true,
        scores: |given| Importance::new(given.shape, vec![1.0; given.shape.entries()]),
    };

    /// The rule of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name == name)
    }

    /// The importance of every channel.
    ///
    /// # Errors
    /// What the rule needs is missing or does not fit the shape.
    pub fn scores(self, given: Given<'_>) -> Result<Importance> {
        (self.scores)(given)
    }
}

fn squares<'a>(given: &Given<'a>) -> Result<&'a MeanSquares> {
    given.squares.ok_or_else(|| missing("mean squares of a text"))
}

fn missing(what: &str) -> Error {
    Error::input(format!("the rule needs {what}, and there is none"))
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Rule {}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl serde::Serialize for Rule {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_names_of_their_own_and_say_what_they_need() {
        let shape = Shape { layers: 1, kv_heads: 2, head_dim: 4 };
        let named = [Rule::LEARNED, Rule::THINK, Rule::KEY_NORM, Rule::FREQUENCY, Rule::RANDOM];
        let names = ["learned", "think", "key-norm", "frequency", "random"];
        assert_eq!(named.map(|rule| rule.name), names);
        for rule in Rule::ALL {
            assert_eq!(Rule::named(rule.name), Some(rule));
            let scores = rule.scores(Given::nothing(shape, 0));
            assert_eq!(scores.is_ok(), rule.needs == Needs::Nothing, "{rule:?}");
        }
        assert_eq!(Rule::named("dense"), None);
    }
}

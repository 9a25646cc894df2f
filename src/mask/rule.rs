//! The rules that score channels, as a table: a new rule is one constant that [`Rule::ALL`]
//! lists.

use super::{Importance, Sensitivity, Shape, rules};
use crate::{Error, Result};

/// What a rule needs besides the shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing besides the shape.
    Nothing,
    /// Moments of keys and queries, gathered while a text runs through the model.
    Text,
    /// A measured sensitivity, which takes the model's gradient.
    Gradient,
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

/// Moments gathered from a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Mean squares.
    pub squares: MeanSquares,
    /// Mean k, `[layers, kv_heads, head_dim]`.
    pub key_means: Vec<f64>,
    /// Mean q² of all queries, as if each stood at one of the positions after its text, `[layers,
    /// query_heads, head_dim]`.
    pub future_queries: Vec<f64>,
    /// Mean products of two channels of a key, `[layers, kv_heads, head_dim, head_dim]`.
    pub key_products: Vec<f64>,
    /// Mean products of two channels of a late query, over the query heads of a group, `[layers,
    /// kv_heads, head_dim, head_dim]`.
    pub query_products: Vec<f64>,
}

/// The inputs of a rule.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// Layers, KV heads, channels.
    pub shape: Shape,
    /// Seed of random scores.
    pub seed: u64,
    /// Mean squares, where they are all that is known of a text.
    pub squares: Option<&'a MeanSquares>,
    /// Moments, where a text was run.
    pub moments: Option<&'a Moments>,
    /// A sensitivity, where one was measured.
    pub sensitivity: Option<&'a Sensitivity>,
    /// Importance from a file, where there is one.
    pub learned: Option<&'a Importance>,
}

impl Given<'_> {
    /// Only the shape and a seed, which is all that some rules need.
    pub fn nothing(shape: Shape, seed: u64) -> Self {
        Self { shape, seed, squares: None, moments: None, sensitivity: None, learned: None }
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
    pub const ALL: [Self; 10] = [
        Self::LEARNED,
        Self::FISHER,
        Self::THINK,
        Self::CENTRED,
        Self::EXPECTED,
        Self::PAIRS,
        Self::KEY_NORM,
        Self::FREQUENCY,
        Self::BANDS,
        Self::RANDOM,
    ];

    /// Importance from a file.
    pub const LEARNED: Self = Self {
        name: "learned",
        words: "learned",
        about: "The importance that a file holds",
        needs: Needs::File,
        equal_counts: false,
        scores: |given| given.learned.cloned().ok_or_else(|| missing("importance")),
    };

    /// The damage of leaving a channel out, by the model's own gradient.
    pub const FISHER: Self = Self {
        name: "fisher",
        words: "Fisher",
        about: "What leaving a channel out does to the model's own predictions, by its gradient",
        needs: Needs::Gradient,
        equal_counts: false,
        scores: |given| {
            given.sensitivity.ok_or_else(|| missing("a measured sensitivity"))?.pruning()
        },
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

    /// Mean q² times the variance of k.
    pub const CENTRED: Self = Self {
        name: "centred",
        words: "centred",
        about: "Mean q² of late queries times the variance of k: what all keys share moves no score",
        needs: Needs::Text,
        equal_counts: false,
        scores: |given| {
            let moments = moments(&given)?;
            let MeanSquares { query_heads, queries, .. } = &moments.squares;
            rules::think(given.shape, *query_heads, queries, &rules::variances(moments))
        },
    };

    /// Mean q² at later positions times the variance of k.
    pub const EXPECTED: Self = Self {
        name: "expected",
        words: "expected",
        about: "Mean q² of queries to come, at the positions after the text, times the variance of k",
        needs: Needs::Text,
        equal_counts: false,
        scores: |given| {
            let moments = moments(&given)?;
            let heads = moments.squares.query_heads;
            rules::think(given.shape, heads, &moments.future_queries, &rules::variances(moments))
        },
    };

    /// Pairs taken one after the other, each for what it adds to those before.
    pub const PAIRS: Self = Self {
        name: "pairs",
        words: "pairs",
        about: "Rotation pairs one after the other: each time that which brings scores nearest",
        needs: Needs::Text,
        equal_counts: false,
        scores: |given| rules::greedy_pairs(given.shape, moments(&given)?),
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

    /// Importance from a file, shuffled among channels that rotate about alike.
    pub const BANDS: Self = Self {
        name: "bands",
        words: "bands",
        about: "The importance that a file holds, shuffled among channels of about one frequency",
        needs: Needs::File,
        equal_counts: false,
        scores: |given| {
            let learned = given.learned.ok_or_else(|| missing("importance"))?;
            Ok(rules::shuffled_in_bands(learned, given.seed))
        },
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
    let squares = given.squares.or(given.moments.map(|moments| &moments.squares));
    squares.ok_or_else(|| missing("mean squares of a text"))
}

fn moments<'a>(given: &Given<'a>) -> Result<&'a Moments> {
    given.moments.ok_or_else(|| {
        missing("a text that runs through the model: mean squares alone do not give it")
    })
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
        let names = [
            "learned",
            "fisher",
            "think",
            "centred",
            "expected",
            "pairs",
            "key-norm",
            "frequency",
            "bands",
            "random",
        ];
        assert_eq!(Rule::ALL.map(|rule| rule.name), names);
        for rule in Rule::ALL {
            assert_eq!(Rule::named(rule.name), Some(rule));
            let scores = rule.scores(Given::nothing(shape, 0));
            assert_eq!(scores.is_ok(), rule.needs == Needs::Nothing, "{rule:?}");
        }
        assert_eq!(Rule::named("dense"), None);
    }
}

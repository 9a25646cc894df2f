//! Mean squares of keys and of late queries, gathered while text runs through a model: the data of
//! training-free importance.

use crate::mask::{Given, Importance, MeanSquares, Rule, Shape};
use crate::model::config::Config;
use crate::model::decoder::LayerView;
use crate::{Error, Result};

/// Number of queries at the end of a window that ThinK uses (arXiv 2407.21018).
pub const LAST_QUERIES: usize = 32;

/// Sums of squares per channel over everything seen so far, in f64.
#[derive(Debug, Clone)]
pub struct Squares {
    shape: Shape,
    heads: usize,
    /// `[layers, kv_heads, head_dim]`.
    keys: Vec<f64>,
    /// `[layers, heads, head_dim]`.
    queries: Vec<f64>,
    keys_seen: usize,
    queries_seen: usize,
}

impl Squares {
    /// Sums before any text.
    pub fn new(config: &Config) -> Self {
        let shape = config.mask_shape();
        let queries = vec![0.0; shape.layers * config.q_width()];
        Self {
            shape,
            heads: config.heads,
            keys: vec![0.0; shape.entries()],
            queries,
            keys_seen: 0,
            queries_seen: 0,
        }
    }

    /// Adds one layer of one window: all keys, the last queries.
    pub fn add(&mut self, view: &LayerView<'_>) {
        let (kv_width, q_width) =
            (self.shape.kv_heads * self.shape.head_dim, self.heads * self.shape.head_dim);
        let tokens = view.k.len() / kv_width;
        add_squares(&mut self.keys[view.layer * kv_width..][..kv_width], &view.k);
        let late = tokens.min(LAST_QUERIES);
        add_squares(
            &mut self.queries[view.layer * q_width..][..q_width],
            &view.q[(tokens - late) * q_width..],
        );
        if view.layer == 0 {
            self.keys_seen += tokens;
            self.queries_seen += late;
        }
    }

    /// Importance by a rule that needs a text, or needs nothing.
    ///
    /// # Errors
    /// When no token was seen, and when the rule itself refuses.
    pub fn importance(&self, rule: Rule) -> Result<Importance> {
        let squares = self.means()?;
        rule.scores(Given { squares: Some(&squares), ..Given::nothing(self.shape, 0) })
    }

    /// The means over everything seen.
    fn means(&self) -> Result<MeanSquares> {
        if self.keys_seen == 0 {
            return Err(Error::input("importance needs some text: no token was seen"));
        }
        let mean = |sums: &[f64], seen: usize| sums.iter().map(|sum| sum / seen as f64).collect();
        Ok(MeanSquares {
            query_heads: self.heads,
            keys: mean(&self.keys, self.keys_seen),
            queries: mean(&self.queries, self.queries_seen),
        })
    }
}

/// Adds the squares of `rows` (`[n, sums.len()]`) to `sums`.
fn add_squares(sums: &mut [f64], rows: &[f32]) {
    for row in rows.chunks_exact(sums.len()) {
        for (sum, &x) in sums.iter_mut().zip(row) {
            *sum += f64::from(x) * f64::from(x);
        }
    }
}

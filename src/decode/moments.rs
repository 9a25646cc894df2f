//! Moments of keys and queries, gathered while text runs through a model: the data of training-free
//! importance.

use crate::mask::{Given, Importance, MeanSquares, Moments, Needs, Rule, Shape};
use crate::model::config::Config;
use crate::model::decoder::LayerView;
use crate::model::rope::Rope;
use crate::{Error, Result};

/// Number of queries at the end of a window that ThinK uses (arXiv 2407.21018).
pub const LAST_QUERIES: usize = 32;

/// Positions after a window that queries are expected at (Expected Attention, arXiv 2510.00636, looks
/// as far).
pub const FUTURE: usize = 512;

/// Sums per channel over everything seen so far, in f64.
#[derive(Debug, Clone)]
pub struct MomentSums {
    shape: Shape,
    heads: usize,
    rope: Rope,
    /// Squares and values of keys, `[layers, kv_heads, head_dim]`.
    keys: Vec<f64>,
    key_values: Vec<f64>,
    /// `[layers, kv_heads, head_dim, head_dim]`.
    key_products: Vec<f64>,
    query_products: Vec<f64>,
    /// Squares of late queries, and of all as if each stood after its window, `[layers, heads,
    /// head_dim]`.
    queries: Vec<f64>,
    future: Vec<f64>,
    keys_seen: usize,
    queries_seen: usize,
}

impl MomentSums {
    /// Sums before any text.
    ///
    /// # Errors
    /// A rotation that is not known.
    pub fn new(config: &Config) -> Result<Self> {
        let shape = config.mask_shape();
        let (entries, queries) = (shape.entries(), shape.layers * config.q_width());
        Ok(Self {
            shape,
            heads: config.heads,
            rope: Rope::new(config)?,
            keys: vec![0.0; entries],
            key_values: vec![0.0; entries],
            key_products: vec![0.0; entries * shape.head_dim],
            query_products: vec![0.0; entries * shape.head_dim],
            queries: vec![0.0; queries],
            future: vec![0.0; queries],
            keys_seen: 0,
            queries_seen: 0,
        })
    }

    /// Adds one layer of one window that begins at position 0: all keys, the last queries, and all
    /// queries for those to come.
    pub fn add(&mut self, view: &LayerView<'_>) {
        let Shape { kv_heads, head_dim: d, .. } = self.shape;
        let (kv_width, q_width) = (kv_heads * d, self.heads * d);
        let tokens = view.k.len() / kv_width;
        let late = tokens.min(LAST_QUERIES);
        let late_queries = &view.q[(tokens - late) * q_width..];
        add_squares(&mut self.keys[view.layer * kv_width..][..kv_width], &view.k);
        add_squares(&mut self.queries[view.layer * q_width..][..q_width], late_queries);
        for row in view.k.chunks_exact(kv_width) {
            let sums = &mut self.key_values[view.layer * kv_width..][..kv_width];
            sums.iter_mut().zip(row).for_each(|(sum, &k)| *sum += f64::from(k));
        }
        let group = self.heads / kv_heads;
        let products = d * d;
        for kv_head in 0..kv_heads {
            let at = (view.layer * kv_heads + kv_head) * products;
            let keys = view.k.chunks_exact(kv_width).map(|row| &row[kv_head * d..][..d]);
            add_products(&mut self.key_products[at..at + products], keys);
            let queries = late_queries
                .chunks_exact(q_width)
                .flat_map(|row| row[kv_head * group * d..][..group * d].chunks_exact(d));
            add_products(&mut self.query_products[at..at + products], queries);
        }
        self.add_future(view, tokens);
        if view.layer == 0 {
            self.keys_seen += tokens;
            self.queries_seen += late;
        }
    }

    /// Adds the squares that the window's queries would have on average at the positions after it.
    /// With `a`, `b` the two channels of a pair before rotation, those after a rotation by `t` are
    /// `a cos t - b sin t` and `b cos t + a sin t`.
    fn add_future(&mut self, view: &LayerView<'_>, tokens: usize) {
        let d = self.shape.head_dim;
        let (pairs, q_width) = (d / 2, self.heads * d);
        let (mut cos, mut sin) = (vec![0.0; pairs], vec![0.0; pairs]);
        // Means of cos², sin² and cos sin over the positions to come.
        let mut turns = vec![[0.0_f64; 3]; pairs];
        for position in tokens..tokens + FUTURE {
            self.rope.angles(view.layer, position, &mut cos, &mut sin);
            for (turn, (cos, sin)) in turns.iter_mut().zip(cos.iter().zip(&sin)) {
                let (cos, sin) = (f64::from(*cos), f64::from(*sin));
                turn.iter_mut()
                    .zip([cos * cos, sin * sin, cos * sin])
                    .for_each(|(sum, x)| *sum += x / FUTURE as f64);
            }
        }
        let angles = self.rope.prompt_angles(tokens);
        let [cos, sin] = angles.of(view.layer);
        let sums = &mut self.future[view.layer * q_width..][..q_width];
        for (token, row) in view.q.chunks_exact(q_width).enumerate() {
            let (cos, sin) = (&cos[token * pairs..][..pairs], &sin[token * pairs..][..pairs]);
            for (head, sums) in row.chunks_exact(d).zip(sums.chunks_exact_mut(d)) {
                for (pair, [of_cos, of_sin, of_both]) in turns.iter().enumerate() {
                    let (x, y) = (f64::from(head[pair]), f64::from(head[pair + pairs]));
                    let (cos, sin) = (f64::from(cos[pair]), f64::from(sin[pair]));
                    // Some rotations also stretch.
                    let stretch = cos * cos + sin * sin;
                    let (a, b) = ((x * cos + y * sin) / stretch, (y * cos - x * sin) / stretch);
                    sums[pair] += a * a * of_cos + b * b * of_sin - 2.0 * a * b * of_both;
                    sums[pair + pairs] += b * b * of_cos + a * a * of_sin + 2.0 * a * b * of_both;
                }
                if !d.is_multiple_of(2) {
                    sums[d - 1] += f64::from(head[d - 1]).powi(2);
                }
            }
        }
    }

    /// Importance by a rule that needs a text, or needs nothing.
    ///
    /// # Errors
    /// When no token was seen, and when the rule itself refuses.
    pub fn importance(&self, rule: Rule) -> Result<Importance> {
        let moments = self.moments()?;
        rule.scores(Given { moments: Some(&moments), ..Given::nothing(self.shape, 0) })
    }

    /// Importance by every rule that needs a text.
    ///
    /// # Errors
    /// As of [`Self::importance`].
    pub fn importances(&self) -> Result<Vec<(Rule, Importance)>> {
        let moments = self.moments()?;
        let given = Given { moments: Some(&moments), ..Given::nothing(self.shape, 0) };
        let rules = Rule::ALL.into_iter().filter(|rule| rule.needs == Needs::Text);
        rules.map(|rule| Ok((rule, rule.scores(given)?))).collect()
    }

    /// The means over everything seen.
    ///
    /// # Errors
    /// When no token was seen.
    pub fn moments(&self) -> Result<Moments> {
        if self.keys_seen == 0 {
            return Err(Error::input("importance needs some text: no token was seen"));
        }
        let mean = |sums: &[f64], seen: usize| sums.iter().map(|sum| sum / seen as f64).collect();
        let group = self.heads / self.shape.kv_heads;
        Ok(Moments {
            squares: MeanSquares {
                query_heads: self.heads,
                keys: mean(&self.keys, self.keys_seen),
                queries: mean(&self.queries, self.queries_seen),
            },
            key_means: mean(&self.key_values, self.keys_seen),
            future_queries: mean(&self.future, self.keys_seen),
            key_products: mean(&self.key_products, self.keys_seen),
            query_products: mean(&self.query_products, self.queries_seen * group),
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

/// Adds the products of every two numbers of each row to `sums`, `[row, row]`.
fn add_products<'a>(sums: &mut [f64], rows: impl Iterator<Item = &'a [f32]>) {
    for row in rows {
        for (sums, &x) in sums.chunks_exact_mut(row.len()).zip(row) {
            for (sum, &y) in sums.iter_mut().zip(row) {
                *sum += f64::from(x) * f64::from(y);
            }
        }
    }
}

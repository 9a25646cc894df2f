//! Training-free importance, gathered while a prompt goes through the model.

use crate::mask::{Shape, rules};
use crate::model::config::Config;
use crate::model::decoder::LayerView;

use super::event::Rules;

/// Mean squares of queries and keys per channel.
pub struct Profile {
    shape: Shape,
    heads: usize,
    /// `[layers, heads, head_dim]`.
    q: Vec<f64>,
    /// `[layers, kv_heads, head_dim]`.
    k: Vec<f64>,
}

impl Profile {
    /// Nothing seen yet.
    pub fn new(config: &Config) -> Self {
        let shape = config.mask_shape();
        let queries = shape.layers * config.q_width();
        Self { shape, heads: config.heads, q: vec![0.0; queries], k: vec![0.0; shape.entries()] }
    }

    /// Takes one layer of a prompt.
    pub fn observe(&mut self, view: &LayerView<'_>) {
        let (q_width, k_width) = (self.heads * self.shape.head_dim, self.shape.kv_heads * self.shape.head_dim);
        mean_squares(view.q, &mut self.q[view.layer * q_width..][..q_width]);
        mean_squares(view.k, &mut self.k[view.layer * k_width..][..k_width]);
    }

    /// The tables; `None` where a value ran out of range and no rule can be made of it.
    pub fn rules(&self) -> Option<Rules> {
        let key_norm = rules::key_norm(self.shape, &self.k).ok()?;
        let think = rules::think(self.shape, self.heads, &self.q, &self.k).ok()?;
        Some(Rules { key_norm: key_norm.scores().to_vec(), think: think.scores().to_vec() })
    }
}

/// The mean of the squares of each column of `rows` into `mean`.
fn mean_squares(rows: &[f32], mean: &mut [f64]) {
    let count = (rows.len() / mean.len()).max(1) as f64;
    for row in rows.chunks_exact(mean.len()) {
        for (mean, &x) in mean.iter_mut().zip(row) {
            *mean += f64::from(x) * f64::from(x);
        }
    }
    mean.iter_mut().for_each(|mean| *mean /= count);
}

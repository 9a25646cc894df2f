//! What each width of each channel and head is predicted to cost, in nats per token.

use super::Width;
use crate::mask::{Importance, Shape};
use crate::{Error, Result};

/// Predicted damage of every width, in nats per token: the second-order (Fisher) form of the KLD.
/// It ranks choices; it is no forecast of a loss. A width of 16 bits costs 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensitivity {
    shape: Shape,
    /// `[layers, kv_heads, head_dim, 4]`
    k: Vec<f32>,
    /// `[layers, kv_heads, 4]`
    v: Vec<f32>,
}

impl Sensitivity {
    /// The widths that the last axis of both tables stands for. 0 bits of V mean that the head is
    /// dropped: neither its K nor its V is seen.
    pub const WIDTHS: [Width; 4] = [Width::Zero, Width::Two, Width::Four, Width::Eight];

    /// Damage tables in row-major order, K as `[layers, kv_heads, head_dim, 4]` and V as `[layers,
    /// kv_heads, 4]`; refuses other lengths, numbers below 0, NaN and infinity.
    pub fn new(shape: Shape, k: Vec<f32>, v: Vec<f32>) -> Result<Self> {
        let widths = Self::WIDTHS.len();
        for (name, table, len) in
            [("K", &k, shape.entries() * widths), ("V", &v, shape.heads() * widths)]
        {
            if table.len() != len {
                return Err(Error::input(format!(
                    "sensitivity of {name} for shape {shape} has {} entries, not {len}",
                    table.len()
                )));
            }
            if let Some(wrong) =
                table.iter().position(|damage| !(*damage >= 0.0 && damage.is_finite()))
            {
                return Err(Error::input(format!(
                    "sensitivity of {name}, entry {wrong}: expected a finite number of at least 0, found {}",
                    table[wrong]
                )));
            }
        }
        Ok(Self { shape, k, v })
    }

    /// The axes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The table of K, `[layers, kv_heads, head_dim, 4]`.
    pub fn k_table(&self) -> &[f32] {
        &self.k
    }

    /// The table of V, `[layers, kv_heads, 4]`.
    pub fn v_table(&self) -> &[f32] {
        &self.v
    }

    /// Damage of storing a K channel with `width`.
    pub fn k(&self, layer: usize, kv_head: usize, channel: usize, width: Width) -> f32 {
        let head = layer * self.shape.kv_heads + kv_head;
        at(&self.k, head * self.shape.head_dim + channel, width)
    }

    /// The damage of leaving a K channel out, as importance.
    ///
    /// # Errors
    /// None for tables that [`Self::new`] accepted.
    pub fn pruning(&self) -> Result<Importance> {
        let zero = self.k.iter().step_by(Self::WIDTHS.len()).copied().collect();
        Importance::new(self.shape, zero)
    }

    /// Damage of storing a head's V with `width`; with 0 bits, of dropping the head.
    pub fn v(&self, layer: usize, kv_head: usize, width: Width) -> f32 {
        at(&self.v, layer * self.shape.kv_heads + kv_head, width)
    }
}

fn at(table: &[f32], row: usize, width: Width) -> f32 {
    let column = Sensitivity::WIDTHS.iter().position(|&known| known == width);
    column.map_or(0.0, |column| table[row * Sensitivity::WIDTHS.len() + column])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_by_layer_head_channel_and_width() {
        let shape = Shape { layers: 2, kv_heads: 2, head_dim: 3 };
        let k: Vec<f32> = (0..48).map(|at| at as f32).collect();
        let v: Vec<f32> = (0..16).map(|at| at as f32).collect();
        let table = Sensitivity::new(shape, k.clone(), v.clone()).unwrap();
        assert_eq!(table.k(1, 0, 2, Width::Four), ((2 * 3 + 2) * 4 + 2) as f32);
        assert_eq!(table.k(1, 0, 2, Width::Sixteen), 0.0);
        assert_eq!(table.v(1, 1, Width::Zero), 12.0);
        assert_eq!(table.pruning().unwrap().head(1, 0), [24.0, 28.0, 32.0]);

        assert!(Sensitivity::new(shape, k[1..].to_vec(), v.clone()).is_err());
        for wrong in [-1e-9, f32::NAN, f32::INFINITY] {
            let mut v = v.clone();
            v[3] = wrong;
            let error = Sensitivity::new(shape, k.clone(), v).unwrap_err().to_string();
            assert!(error.contains("V, entry 3") && error.contains("at least 0"), "{error}");
        }
    }
}

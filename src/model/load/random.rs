//! Seeded random weights in any shape, for measuring speed and memory where the weights are not
//! available.

use half::f16;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::Result;
use crate::model::host::matrix::{Elements, Matrix};
use crate::model::weights::{Stored, Tensors};

/// Weights drawn from a uniform distribution of variance `1 / inputs`, the same for the same seed
/// and name on every machine.
pub struct Random {
    /// Seed of all tensors.
    pub seed: u64,
}

const DRAWN_AT_ONCE: usize = 1 << 16;

impl Random {
    fn rng(&self, name: &str, chunk: usize) -> SmallRng {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update((chunk as u64).to_le_bytes());
        hash.update(name.as_bytes());
        SmallRng::from_seed(hash.finalize().into())
    }
}

impl Tensors for Random {
    fn origin(&self) -> &str {
        "random weights"
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Stored> {
        let bound = (3.0 / cols as f32).sqrt();
        let mut elements = vec![f16::ZERO; rows * cols];
        elements.par_chunks_mut(DRAWN_AT_ONCE).enumerate().for_each(|(chunk, elements)| {
            let mut rng = self.rng(name, chunk);
            elements.fill_with(|| f16::from_f32(rng.random_range(-bound..=bound)));
        });
        Ok(Matrix::new(rows, cols, Elements::F16(elements.into()))?.into())
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        let mut rng = self.rng(name, 0);
        let centre = if name.ends_with(".bias") { 0.0 } else { 1.0 };
        Ok((0..len).map(|_| centre + rng.random_range(-0.1..=0.1)).collect())
    }
}

//! Seeded random weights in any shape, for measuring speed and memory where the weights are not
//! available.

use candle_core::Device;
use candle_core::quantized::QTensor;
use half::f16;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::device_blocks::device_blocks;
use crate::Result;
use crate::element::Dtype;
use crate::model::config::Config;
use crate::model::host::matrix::{Elements, Matrix};
use crate::model::host::quant::{QuantKind, Tiles, packed_bytes};
use crate::model::weight_types::{WeightType, WeightTypes};
use crate::model::weights::Tensors;

/// Weights drawn from a uniform distribution of variance `1 / inputs`, the same for the same seed
/// and name on every machine.
pub struct Random {
    /// Seed of all tensors.
    pub seed: u64,
    /// The kind of the matrices; f16 without it.
    pub kind: Option<QuantKind>,
}

const DRAWN_AT_ONCE: usize = 1 << 16;

impl Random {
    /// Random codes and factors under scales that give the values the variance of the others. A
    /// minimum is set so that their mean is about zero.
    fn blocks(&self, kind: QuantKind, name: &str, rows: usize, cols: usize) -> Vec<u8> {
        let mut stored = vec![0; rows * cols / kind.block_len() * kind.block_bytes()];
        let at_once = DRAWN_AT_ONCE / kind.block_len() * kind.block_bytes();
        let scales = kind.scales_of_variance(1.0 / cols as f32);
        stored.par_chunks_mut(at_once).enumerate().for_each(|(chunk, stored)| {
            self.rng(name, chunk).fill(stored);
            for block in stored.chunks_exact_mut(kind.block_bytes()) {
                kind.set_scales(block, scales);
            }
        });
        stored
    }

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

    fn kept_types(&self, config: &Config) -> Option<WeightTypes> {
        let parameters = config.parameters();
        let (kind, bytes) = match self.kind {
            None => (WeightType::Float(Dtype::F16), 2 * parameters),
            // Every matrix has whole tiles of sixteen rows, or is small.
            Some(kind) => {
                let blocks = parameters.div_ceil(kind.block_len());
                (
                    WeightType::Quantised(kind),
                    packed_bytes(kind, 16, kind.block_len()) * blocks / 16,
                )
            }
        };
        let mut types = WeightTypes::default();
        types.add(kind, bytes as u64);
        Some(types)
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Matrix> {
        if let Some(kind) = self.kind {
            let stored = self.blocks(kind, name, rows, cols);
            let tiles = Tiles::pack(kind, rows, cols, &stored)?;
            return Matrix::new(rows, cols, Elements::Quantised(tiles));
        }
        let bound = (3.0 / cols as f32).sqrt();
        let mut elements = vec![f16::ZERO; rows * cols];
        elements.par_chunks_mut(DRAWN_AT_ONCE).enumerate().for_each(|(chunk, elements)| {
            let mut rng = self.rng(name, chunk);
            elements.fill_with(|| f16::from_f32(rng.random_range(-bound..=bound)));
        });
        Matrix::new(rows, cols, Elements::F16(elements.into()))
    }

    fn device_kind(&self, _: &str, _: usize, _: usize) -> Result<Option<QuantKind>> {
        Ok(self.kind.filter(|kind| kind.candle().is_some()))
    }

    fn quantised(
        &mut self,
        name: &str,
        rows: usize,
        cols: usize,
        device: &Device,
    ) -> Result<Option<QTensor>> {
        let Some((kind, known)) = self.kind.and_then(|kind| Some((kind, kind.candle()?))) else {
            return Ok(None);
        };
        let stored = self.blocks(kind, name, rows, cols);
        let origin = (self.origin(), name);
        device_blocks(known, &stored, [rows, cols], device, origin).map(Some)
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        let mut rng = self.rng(name, 0);
        let centre = if name.ends_with(".bias") { 0.0 } else { 1.0 };
        Ok((0..len).map(|_| centre + rng.random_range(-0.1..=0.1)).collect())
    }
}

//! Seeded random weights in the shape of a known model, for speed and memory work where the weights
//! cannot be had.

use half::f16;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::Result;
use crate::model::config::{Architecture, Config};
use crate::model::host::matrix::{Elements, Matrix};
use crate::model::rope_scaling::RopeScaling;
use crate::model::weights::{Stored, Tensors};

/// Geometry names that `--random-weights` knows, with what their published configurations say.
pub const GEOMETRIES: &[(&str, Geometry)] = &[
    (
        "smollm2-135m",
        Geometry::llama(30, 576, 1536, 9, 3, 64, 49_152, 8_192).theta(100_000.0).tied(),
    ),
    (
        "smollm2-360m",
        Geometry::llama(32, 960, 2560, 15, 5, 64, 49_152, 8_192).theta(100_000.0).tied(),
    ),
    ("tinyllama-1.1b", Geometry::llama(22, 2048, 5632, 32, 4, 64, 32_000, 2_048)),
    ("llama-2-7b", Geometry::llama(32, 4096, 11_008, 32, 32, 128, 32_000, 4_096)),
    (
        "llama-3.1-8b",
        Geometry::llama(32, 4096, 14_336, 32, 8, 128, 128_256, 131_072)
            .theta(500_000.0)
            .llama3(8.0),
    ),
    (
        "llama-3.2-1b",
        Geometry::llama(16, 2048, 8192, 32, 8, 64, 128_256, 131_072)
            .theta(500_000.0)
            .llama3(32.0)
            .tied(),
    ),
    (
        "llama-3.2-3b",
        Geometry::llama(28, 3072, 8192, 24, 8, 128, 128_256, 131_072)
            .theta(500_000.0)
            .llama3(32.0)
            .tied(),
    ),
    (
        "llama-3.1-70b",
        Geometry::llama(80, 8192, 28_672, 64, 8, 128, 128_256, 131_072)
            .theta(500_000.0)
            .llama3(8.0),
    ),
    (
        "mistral-7b-v0.3",
        Geometry::llama(32, 4096, 14_336, 32, 8, 128, 32_768, 32_768).theta(1_000_000.0),
    ),
    (
        "qwen2.5-0.5b",
        Geometry::llama(24, 896, 4864, 14, 2, 64, 151_936, 32_768)
            .theta(1_000_000.0)
            .qwen2()
            .tied(),
    ),
    (
        "qwen2.5-7b",
        Geometry::llama(28, 3584, 18_944, 28, 4, 128, 152_064, 32_768).theta(1_000_000.0).qwen2(),
    ),
    (
        "qwen3-0.6b",
        Geometry::llama(28, 1024, 3072, 16, 8, 128, 151_936, 40_960)
            .theta(1_000_000.0)
            .qwen3()
            .tied(),
    ),
    (
        "qwen3-8b",
        Geometry::llama(36, 4096, 12_288, 32, 8, 128, 151_936, 40_960).theta(1_000_000.0).qwen3(),
    ),
];

/// A published model's shape.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    architecture: Architecture,
    layers: usize,
    hidden: usize,
    intermediate: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    vocab: usize,
    context: usize,
    theta: f64,
    llama3_factor: Option<f64>,
    tied: bool,
}

impl Geometry {
    #[expect(clippy::too_many_arguments, reason = "one row of the table above")]
    const fn llama(
        layers: usize,
        hidden: usize,
        intermediate: usize,
        heads: usize,
        kv_heads: usize,
        head_dim: usize,
        vocab: usize,
        context: usize,
    ) -> Self {
        Self {
            architecture: Architecture::Llama,
            layers,
            hidden,
            intermediate,
            heads,
            kv_heads,
            head_dim,
            vocab,
            context,
            theta: 10_000.0,
            llama3_factor: None,
            tied: false,
        }
    }

    const fn theta(mut self, theta: f64) -> Self {
        self.theta = theta;
        self
    }

    const fn llama3(mut self, factor: f64) -> Self {
        self.llama3_factor = Some(factor);
        self
    }

    const fn tied(mut self) -> Self {
        self.tied = true;
        self
    }

    const fn qwen2(mut self) -> Self {
        self.architecture = Architecture::Qwen2;
        self
    }

    const fn qwen3(mut self) -> Self {
        self.architecture = Architecture::Qwen3;
        self
    }

    /// The full configuration.
    pub fn config(&self) -> Config {
        Config {
            architecture: self.architecture,
            layers: self.layers,
            hidden: self.hidden,
            intermediate: self.intermediate,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            vocab: self.vocab,
            rms_eps: 1e-5,
            rope_theta: self.theta,
            rope_scaling: self.llama3_factor.map_or(RopeScaling::None, |factor| {
                RopeScaling::Llama3 {
                    factor,
                    low_freq_factor: 1.0,
                    high_freq_factor: 4.0,
                    original: 8192,
                }
            }),
            max_context: self.context,
            tied: self.tied,
            qkv_bias: self.architecture == Architecture::Qwen2,
            output_bias: false,
            mlp_bias: false,
            qk_norm: self.architecture == Architecture::Qwen3,
            eos: Vec::new(),
            bos: None,
        }
    }
}

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

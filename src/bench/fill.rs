//! Random keys and values for caches that are only read. Their content does not affect the speed.

use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::mask::Shape;

/// Tokens that are drawn; a longer cache repeats them.
pub const TOKENS: usize = 512;

/// Keys and values of [`TOKENS`] tokens, each `[tokens, kv_heads, head_dim]`, from -1 to 1.
pub fn keys_and_values(shape: Shape) -> [Vec<f32>; 2] {
    let mut random = StdRng::seed_from_u64(3);
    let len = TOKENS * shape.kv_heads * shape.head_dim;
    [(); 2].map(|()| (0..len).map(|_| random.random::<f32>() * 2.0 - 1.0).collect())
}

//! The vector kernels: one algorithm over any register width, compiled once per instruction set.
//!
//! A block of 64 tokens goes through three steps: [`Steps::scores`] (SIMD over tokens, one load of
//! a key row for all query heads of a tile), [`softmax`] (online: running maximum and sum per query
//! head) and [`Steps::accumulate`] (SIMD over channels, one load of a value row for all query heads
//! of a tile).

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "x86_64")]
pub(super) mod bf16_dot;
pub(super) mod coded;
mod lanes;
pub(super) mod portable;
mod steps;

pub(super) use lanes::{HEAD_TILE, MOST_LANES, Simd, Widen};
pub(super) use steps::{Steps, UNSEEN, Values, for_heads, softmax};

//! Registers of f32 lanes, as each instruction set provides them.

/// Query heads that share one load. Larger groups take several passes over a block, which is in the
/// first-level cache by then.
pub const HEAD_TILE: usize = 4;

/// A register of f32 lanes. Methods are unsafe because they need the instruction set; callers are
/// compiled with it.
pub trait Simd {
    /// The register.
    type V: Copy;
    /// Lanes of the register; divides 64.
    const LANES: usize;
    /// Token registers per pass over keys and channel registers per pass over values: 1, 2 or 4.
    /// With [`HEAD_TILE`] accumulators each they must fit the register file.
    const TILE: usize;

    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, value: Self::V);
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn any_above(a: Self::V, limit: f32) -> bool;
    unsafe fn largest(a: Self::V) -> f32;
    /// `2^a` for `a <= 0`; exactly 0 below 2^-126.
    unsafe fn exp2(a: Self::V) -> Self::V;
    /// Prefetches a cache line.
    unsafe fn prefetch(line: *const u8);
}

/// Loads stored elements as f32 lanes.
pub trait Widen<E>: Simd {
    unsafe fn widen(from: *const E) -> Self::V;
}

/// Coefficients of `2^f`, `0 <= f < 1`, in rising order: minimax in the relative error, which is
/// below 7.5e-8 (1.5e-7 with the roundings of f32).
pub const EXP2: [f32; 6] =
    [0.999_999_9, 0.693_153_1, 0.240_153_62, 0.055_826_318, 0.008_989_34, 0.001_877_576_7];

/// Number of lanes of the widest register.
pub const MOST_LANES: usize = 16;

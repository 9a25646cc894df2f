//! Dot products of stored weight rows with f32 activations; the instruction set is chosen at run
//! time.
//!
//! The order of additions of one output is fixed per instruction set: lanes, four accumulators, the
//! tail. It does not depend on how many activation rows share the weights, nor on threads.

use pulp::NullaryFnOnce;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m256i, __m512};

use half::{bf16, f16};

use super::ahead::ask_ahead;

/// Outputs `first .. first + rows` of every row of a batch.
pub struct Outputs<'a> {
    /// First output.
    pub first: usize,
    /// Number of outputs.
    pub rows: usize,
    /// The outputs of each batch row.
    pub batch: Vec<&'a mut [f32]>,
}

impl<'a> Outputs<'a> {
    /// Cuts `y` (`[batch, rows]`) into pieces and those into tasks, each over the whole batch.
    /// `pieces` has the rows of every piece and the most that a task of it takes. A task comes with
    /// the number of its piece, and its first output counts from the beginning of that.
    pub fn split(
        y: &'a mut [f32],
        batch: usize,
        rows: usize,
        pieces: &[(usize, usize)],
    ) -> Vec<(usize, Self)> {
        let task =
            |piece, first, rows| (piece, Self { first, rows, batch: Vec::with_capacity(batch) });
        let mut tasks: Vec<(usize, Self)> = Vec::new();
        for (piece, &(rows, most)) in pieces.iter().enumerate() {
            let firsts = (0..rows).step_by(most);
            tasks.extend(firsts.map(|first| task(piece, first, most.min(rows - first))));
        }
        for mut row in y.chunks_exact_mut(rows) {
            for (_, out) in &mut tasks {
                let (own, rest) = row.split_at_mut(out.rows);
                out.batch.push(own);
                row = rest;
            }
        }
        tasks
    }
}

/// The instruction set that the products run on.
#[derive(Clone, Copy)]
pub enum DotKernel {
    /// AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512Token),
    /// AVX2 with FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2Token),
    /// Plain loops.
    Portable,
}

impl DotKernel {
    /// The best one that this machine has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(token) = Avx512Token::try_new() {
                return Self::Avx512(token);
            }
            if let Some(token) = Avx2Token::try_new() {
                return Self::Avx2(token);
            }
        }
        Self::Portable
    }

    #[cfg(test)]
    /// Every kernel that this machine can run.
    pub fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            let fast =
                [Avx512Token::try_new().map(Self::Avx512), Avx2Token::try_new().map(Self::Avx2)];
            fast.into_iter().flatten().chain([Self::Portable]).collect()
        }
        #[cfg(not(target_arch = "x86_64"))]
        vec![Self::Portable]
    }

    /// `out[b][r] = w[r] . x[b]` for the rows of `out`; `w` holds them, `cols` wide, `x` is
    /// `[batch, cols]`.
    pub fn rows<E: WeightElement>(self, w: &[E], x: &[f32], cols: usize, out: &mut Outputs<'_>) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(token) => token.vectorize(RowProducts { lanes: token, w, x, cols, out }),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(token) => token.vectorize(RowProducts { lanes: token, w, x, cols, out }),
            Self::Portable => RowProducts { lanes: Portable, w, x, cols, out }.call(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
pulp::simd_type!({
    /// Proof that the machine has AVX-512F.
    pub struct Avx512Token {
        pub avx: feature!("avx"),
        pub avx2: feature!("avx2"),
        pub fma: feature!("fma"),
        pub avx512f: feature!("avx512f"),
    }
});

#[cfg(target_arch = "x86_64")]
pulp::simd_type!({
    /// Proof that the machine has AVX2 and FMA.
    pub struct Avx2Token {
        pub avx: feature!("avx"),
        pub avx2: feature!("avx2"),
        pub fma: feature!("fma"),
    }
});

/// A weight element and how each instruction set widens a vector of it.
pub trait WeightElement: Copy + Sync {
    /// The value in f32.
    fn wide(self) -> f32;
    /// Lanes of a vector in f32.
    fn load<L: Lanes>(lanes: L, from: &[Self]) -> L::Vector;
}

impl WeightElement for f32 {
    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }
    #[inline(always)]
    fn load<L: Lanes>(lanes: L, from: &[Self]) -> L::Vector {
        lanes.f32(from)
    }
}

impl WeightElement for f16 {
    #[inline(always)]
    fn wide(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn load<L: Lanes>(lanes: L, from: &[Self]) -> L::Vector {
        lanes.f16(from)
    }
}

impl WeightElement for bf16 {
    #[inline(always)]
    fn wide(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn load<L: Lanes>(lanes: L, from: &[Self]) -> L::Vector {
        lanes.bf16(from)
    }
}

/// Vectors of one instruction set. Loads need at least `WIDTH` elements and panic on fewer.
pub trait Lanes: Copy {
    /// Lanes of a vector.
    const WIDTH: usize;
    /// A vector of f32.
    type Vector: Copy;
    /// All lanes zero.
    fn zero(self) -> Self::Vector;
    /// Loads f32.
    fn f32(self, from: &[f32]) -> Self::Vector;
    /// Loads and widens f16.
    fn f16(self, from: &[f16]) -> Self::Vector;
    /// Loads and widens bf16.
    fn bf16(self, from: &[bf16]) -> Self::Vector;
    /// `a * b + c`.
    fn fma(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// Sum of the lanes of `a + b`.
    fn sum(self, a: Self::Vector, b: Self::Vector) -> f32;
}

#[inline(always)]
fn array<T: bytemuck::Pod, const N: usize>(from: &[T]) -> [T; N] {
    *from.first_chunk::<N>().expect("a full vector")
}

#[cfg(target_arch = "x86_64")]
impl Lanes for Avx512Token {
    const WIDTH: usize = 16;
    type Vector = __m512;
    #[inline(always)]
    fn zero(self) -> __m512 {
        self.avx512f._mm512_setzero_ps()
    }
    #[inline(always)]
    fn f32(self, from: &[f32]) -> __m512 {
        pulp::cast(array::<f32, 16>(from))
    }
    #[inline(always)]
    fn f16(self, from: &[f16]) -> __m512 {
        let bits: __m256i = pulp::cast(array::<f16, 16>(from));
        self.avx512f._mm512_cvtph_ps(bits)
    }
    #[inline(always)]
    fn bf16(self, from: &[bf16]) -> __m512 {
        let bits: __m256i = pulp::cast(array::<bf16, 16>(from));
        pulp::cast(self.avx512f._mm512_slli_epi32::<16>(self.avx512f._mm512_cvtepu16_epi32(bits)))
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        self.avx512f._mm512_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    fn sum(self, a: __m512, b: __m512) -> f32 {
        self.avx512f._mm512_reduce_add_ps(self.avx512f._mm512_add_ps(a, b))
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for Avx2Token {
    const WIDTH: usize = 8;
    type Vector = __m256;
    #[inline(always)]
    fn zero(self) -> __m256 {
        self.avx._mm256_setzero_ps()
    }
    #[inline(always)]
    fn f32(self, from: &[f32]) -> __m256 {
        pulp::cast(array::<f32, 8>(from))
    }
    #[inline(always)]
    fn f16(self, from: &[f16]) -> __m256 {
        // Exponent and mantissa moved into place and rescaled by 2^112: exact for every finite f16,
        // and weights are finite.
        let bits = self.avx2._mm256_cvtepu16_epi32(pulp::cast(array::<f16, 8>(from)));
        let magnitude = self.avx2._mm256_and_si256(bits, self.avx._mm256_set1_epi32(0x7fff));
        let sign = self.avx2._mm256_xor_si256(bits, magnitude);
        let shifted = pulp::cast(self.avx2._mm256_slli_epi32::<13>(magnitude));
        let scaled =
            self.avx._mm256_mul_ps(shifted, self.avx._mm256_set1_ps(f32::from_bits(0x7780_0000)));
        self.avx._mm256_or_ps(scaled, pulp::cast(self.avx2._mm256_slli_epi32::<16>(sign)))
    }
    #[inline(always)]
    fn bf16(self, from: &[bf16]) -> __m256 {
        let wide = self.avx2._mm256_cvtepu16_epi32(pulp::cast(array::<bf16, 8>(from)));
        pulp::cast(self.avx2._mm256_slli_epi32::<16>(wide))
    }
    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        self.fma._mm256_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    fn sum(self, a: __m256, b: __m256) -> f32 {
        let lanes: [f32; 8] = pulp::cast(self.avx._mm256_add_ps(a, b));
        lanes.iter().sum()
    }
}

/// Lanes as a plain array, for machines without the instruction sets above.
#[derive(Clone, Copy)]
struct Portable;

impl Lanes for Portable {
    const WIDTH: usize = 8;
    type Vector = [f32; 8];
    #[inline(always)]
    fn zero(self) -> [f32; 8] {
        [0.0; 8]
    }
    #[inline(always)]
    fn f32(self, from: &[f32]) -> [f32; 8] {
        array(from)
    }
    #[inline(always)]
    fn f16(self, from: &[f16]) -> [f32; 8] {
        array::<f16, 8>(from).map(f16::to_f32)
    }
    #[inline(always)]
    fn bf16(self, from: &[bf16]) -> [f32; 8] {
        array::<bf16, 8>(from).map(bf16::to_f32)
    }
    #[inline(always)]
    fn fma(self, a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn sum(self, a: [f32; 8], b: [f32; 8]) -> f32 {
        (0..8).map(|i| a[i] + b[i]).sum()
    }
}

struct RowProducts<'a, 'b, L, E> {
    lanes: L,
    w: &'a [E],
    x: &'a [f32],
    cols: usize,
    out: &'a mut Outputs<'b>,
}

impl<L: Lanes, E: WeightElement> NullaryFnOnce for RowProducts<'_, '_, L, E> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { lanes, w, x, cols, out } = self;
        let batch = out.batch.len();
        let mut b = 0;
        while b + 4 <= batch {
            let x = [0, 1, 2, 3].map(|i| &x[(b + i) * cols..(b + i + 1) * cols]);
            rows::<L, E, 4>(lanes, w, &x, cols, out, b);
            b += 4;
        }
        while b < batch {
            rows::<L, E, 1>(lanes, w, &[&x[b * cols..(b + 1) * cols]], cols, out, b);
            b += 1;
        }
    }
}

/// How far ahead of a row's part memory is asked for, in bytes.
const AHEAD: usize = 4096;

/// All weight rows times `B` activation rows that share each load of a weight. Rows are taken one
/// after the other: hardware prefetchers follow a single stream through memory best.
#[inline(always)]
fn rows<L: Lanes, E: WeightElement, const B: usize>(
    lanes: L,
    w: &[E],
    x: &[&[f32]; B],
    cols: usize,
    out: &mut Outputs<'_>,
    b: usize,
) {
    for row in 0..out.rows {
        let dots = dot::<L, E, B>(lanes, &w[row * cols..(row + 1) * cols], x, b == 0);
        for (out, dot) in out.batch[b..].iter_mut().zip(dots) {
            out[row] = dot;
        }
    }
}

/// One weight row times `B` activation rows, each in four accumulators. Where the row comes from
/// memory (`fresh`), what follows it is asked for.
///
/// Plain loops only: a closure handed to a library function would lose the instruction set that
/// this code is compiled for.
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "indices of several arrays, as the registers are laid out"
)]
fn dot<L: Lanes, E: WeightElement, const B: usize>(
    lanes: L,
    w: &[E],
    x: &[&[f32]; B],
    fresh: bool,
) -> [f32; B] {
    let mut sums = [[lanes.zero(); 4]; B];
    let cols = w.len();
    let mut at = 0;
    while at + 4 * L::WIDTH <= cols {
        if fresh {
            ask_ahead(&w[at..at + 4 * L::WIDTH], AHEAD);
        }
        for part in 0..4 {
            let from = at + part * L::WIDTH;
            let weights = E::load(lanes, &w[from..from + L::WIDTH]);
            for b in 0..B {
                sums[b][part] =
                    lanes.fma(weights, lanes.f32(&x[b][from..from + L::WIDTH]), sums[b][part]);
            }
        }
        at += 4 * L::WIDTH;
    }
    while at + L::WIDTH <= cols {
        let weights = E::load(lanes, &w[at..at + L::WIDTH]);
        for b in 0..B {
            sums[b][0] = lanes.fma(weights, lanes.f32(&x[b][at..at + L::WIDTH]), sums[b][0]);
        }
        at += L::WIDTH;
    }
    let mut dots = [0.0; B];
    for b in 0..B {
        let mut rest = 0.0;
        for (w, x) in w[at..].iter().zip(&x[b][at..]) {
            rest += w.wide() * x;
        }
        let [s0, s1, s2, s3] = sums[b];
        dots[b] = lanes.sum(s0, s1) + lanes.sum(s2, s3) + rest;
    }
    dots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_is_exact_enough_and_blind_to_the_batch() {
        for cols in [1, 7, 16, 33, 64, 576, 601] {
            for rows in [1, 3, 4, 9] {
                let w: Vec<f16> = (0..rows * cols)
                    .map(|i| f16::from_f32(((i * 37 % 101) as f32 - 50.0) / 50.0))
                    .collect();
                let x: Vec<f32> =
                    (0..6 * cols).map(|i| ((i * 53 % 97) as f32 - 48.0) / 48.0).collect();
                for kernel in DotKernel::available() {
                    let product = |x: &[f32]| {
                        let batch = x.len() / cols;
                        let mut y = vec![f32::NAN; batch * rows];
                        let mut outs = Outputs::split(&mut y, batch, rows, &[(rows, rows)]);
                        kernel.rows(&w, x, cols, &mut outs[0].1);
                        y
                    };
                    let together = product(&x);
                    for b in 0..6 {
                        let alone = product(&x[b * cols..(b + 1) * cols]);
                        assert_eq!(
                            alone,
                            together[b * rows..(b + 1) * rows],
                            "batch changed a result"
                        );
                        for r in 0..rows {
                            let exact: f64 = (0..cols)
                                .map(|c| w[r * cols + c].to_f64() * f64::from(x[b * cols + c]))
                                .sum();
                            assert!(
                                (f64::from(alone[r]) - exact).abs() < 1e-4,
                                "{} against {exact}",
                                alone[r]
                            );
                        }
                    }
                }
            }
        }
    }
}

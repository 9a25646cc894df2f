//! Elementwise arithmetic of the forward pass, compiled for each instruction set; the version is
//! chosen at run time.
#![expect(clippy::needless_lifetimes, reason = "pulp's macro needs lifetimes by name")]

use pulp::{Arch, Simd};

/// `out = x / rms(x) * weight` for every row of `x` (`[n, weight.len()]`); RMSNorm, arXiv
/// 1910.07467.
#[pulp::with_simd(rms_norm = Arch::new())]
#[inline(always)]
pub fn rms_norm_simd<'a, S: Simd>(
    _simd: S,
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
) {
    for (x, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
        let scale = inverse_rms(x, eps);
        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * weight;
        }
    }
}

/// [`rms_norm`] in place.
#[pulp::with_simd(rms_norm_in_place = Arch::new())]
#[inline(always)]
pub fn rms_norm_in_place_simd<'a, S: Simd>(
    _simd: S,
    x: &'a mut [f32],
    weight: &'a [f32],
    eps: f32,
) {
    for x in x.chunks_exact_mut(weight.len()) {
        let scale = inverse_rms(x, eps);
        for (x, weight) in x.iter_mut().zip(weight) {
            *x = *x * scale * weight;
        }
    }
}

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (sum_of(x, |x| x * x) / x.len() as f32 + eps).sqrt()
}

/// `x += y`.
#[pulp::with_simd(add = Arch::new())]
#[inline(always)]
pub fn add_simd<'a, S: Simd>(_simd: S, x: &'a mut [f32], y: &'a [f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// `x *= factor`.
#[pulp::with_simd(scale = Arch::new())]
#[inline(always)]
pub fn scale_simd<'a, S: Simd>(_simd: S, x: &'a mut [f32], factor: f32) {
    for x in x {
        *x *= factor;
    }
}

/// Adds `bias` to every row of `x`.
pub fn add_bias(x: &mut [f32], bias: &[f32]) {
    for row in x.chunks_exact_mut(bias.len()) {
        add(row, bias);
    }
}

/// One tile of an online softmax: turns `scores` into `exp(score - max)` and returns the new
/// running maximum, the factor for everything summed before, and the tile's sum.
#[pulp::with_simd(softmax_tile = Arch::new())]
#[inline(always)]
pub fn softmax_tile_simd<'a, S: Simd>(
    _simd: S,
    scores: &'a mut [f32],
    running_max: f32,
) -> (f32, f32, f32) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = scores.as_chunks::<16>();
    for chunk in chunks {
        for (lane, &score) in lanes.iter_mut().zip(chunk) {
            *lane = if score > *lane { score } else { *lane };
        }
    }
    let mut max = running_max;
    for &score in lanes.iter().chain(rest) {
        max = if score > max { score } else { max };
    }
    for score in scores.iter_mut() {
        *score = exp(*score - max);
    }
    (
        max,
        if running_max == f32::NEG_INFINITY { 0.0 } else { exp(running_max - max) },
        sum_of(scores, |x| x),
    )
}

/// Sum of `f(x)` in sixteen lanes, a fixed order on every machine.
#[inline(always)]
fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<16>();
    let mut lanes = [0.0_f32; 16];
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&x| f(x)).sum::<f32>()
}

const ROUNDER: f32 = 12_582_912.0;

/// e^x to about two units in the last place for -87 <= x <= 88, clamped outside; plain arithmetic,
/// so that loops over it become vector code (range reduction by ln 2, minimax polynomial of the
/// Cephes library).
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "the published coefficients")]
pub(in crate::model) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding and subtracting 1.5 * 2^23 rounds to a whole number in plain arithmetic.
    let n = (x * std::f32::consts::LOG2_E + ROUNDER) - ROUNDER;
    let r = x - n * 0.693_359_375 + n * 2.121_944_4e-4;
    let p = 1.987_569_15e-4;
    let p = p * r + 1.398_199_95e-3;
    let p = p * r + 8.333_451_9e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_55e-1;
    let p = p * r + 5.000_000_1e-1;
    let y = p * r * r + r + 1.0;
    y * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exact_to_rounding_over_its_range() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0;
            let exact = f64::from(x).exp();
            assert!(
                (f64::from(exp(x)) / exact - 1.0).abs() < 4e-7,
                "exp({x}) is {} and not {exact}",
                exp(x)
            );
        }
        assert!(exp(-1e9) < 1e-37 && exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn softmax_tiles_join_to_a_softmax() {
        let scores: Vec<f32> = (0..77).map(|i| ((i * 31 % 17) as f32 - 8.0) * 0.7).collect();
        let (mut max, mut sum) = (f32::NEG_INFINITY, 0.0);
        for tile in scores.chunks(20) {
            let (new_max, factor, tile_sum) = softmax_tile(&mut tile.to_vec(), max);
            sum = sum * factor + tile_sum;
            max = new_max;
        }
        let exact: f64 = scores.iter().map(|&s| f64::from(s - max).exp()).sum();
        assert!((f64::from(sum) / exact - 1.0).abs() < 1e-6, "{sum} against {exact}");
    }

    #[test]
    fn norms_follow_their_formula() {
        let x: Vec<f32> = (0..2 * 37).map(|i| (i as f32 * 0.37).sin()).collect();
        let weight: Vec<f32> = (0..37).map(|i| 1.0 + i as f32 / 100.0).collect();
        let mut out = vec![0.0; x.len()];
        rms_norm(&x, &weight, 1e-5, &mut out);
        let mut in_place = x.clone();
        rms_norm_in_place(&mut in_place, &weight, 1e-5);
        assert_eq!(out, in_place);
        let mean: f32 = x[37..].iter().map(|x| x * x).sum::<f32>() / 37.0;
        assert!((out[40] - x[40] / (mean + 1e-5).sqrt() * weight[3]).abs() < 1e-6);
    }
}

//! Packed weights against candle's widening of the same blocks, and the products of every
//! instruction set against each other and against sums in f64.

use candle_core::Device;
use candle_core::quantized::ggml_file::qtensor_from_ggml;
use half::f16;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::block::{BlockParts, LONGEST};
use super::lanes::half_power;
use super::{Activations, QuantKind, TILE_ROWS, TileLevel, Tiles};

/// Random blocks with scales of ordinary sizes.
fn random(kind: QuantKind, rows: usize, cols: usize) -> Vec<u8> {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut all = vec![0; rows * cols / kind.block_len() * kind.block_bytes()];
    rng.fill(&mut all[..]);
    for block in all.chunks_exact_mut(kind.block_bytes()) {
        let mut scales = kind.scales_of_variance(rng.random_range(0.1..2.0));
        if rng.random() {
            scales = scales.map(|scale| -scale);
        }
        if kind == QuantKind::Mxfp4 {
            scales = scales.map(f32::abs);
        }
        kind.set_scales(block, scales);
    }
    all
}

/// The values of blocks by the formula that [`BlockParts`] states, for the kinds that candle does
/// not know.
fn by_parts(kind: QuantKind, stored: &[u8]) -> Vec<f32> {
    const IQ4: [i8; 16] =
        [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
    const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];
    let block = |block: &[u8]| {
        let parts = BlockParts::of(kind, block);
        let value = move |at: usize| {
            let code = usize::from(parts.codes[at]);
            match kind {
                QuantKind::Mxfp4 => half_power(parts.scale as u8) * f32::from(E2M1[code]),
                QuantKind::Iq4Nl => f16::from_bits(parts.scale).to_f32() * f32::from(IQ4[code]),
                _ => {
                    let factor = f32::from(parts.factors[at / 32]);
                    f16::from_bits(parts.scale).to_f32() * factor * f32::from(IQ4[code])
                }
            }
        };
        (0..kind.block_len()).map(value).collect::<Vec<f32>>()
    };
    assert!(kind.block_len() <= LONGEST);
    stored.chunks_exact(kind.block_bytes()).flat_map(block).collect()
}

fn widened(kind: QuantKind, rows: usize, cols: usize, stored: &[u8]) -> Vec<f32> {
    let Some(known) = kind.candle() else { return by_parts(kind, stored) };
    let tensor = qtensor_from_ggml(known, stored, vec![rows, cols], &Device::Cpu).unwrap();
    tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

const SHAPES: [(usize, usize); 4] = [(1, 256), (16, 512), (33, 256), (48, 1536)];

#[test]
fn packed_blocks_widen_to_the_values_that_ggml_gives_them() {
    for kind in QuantKind::ALL {
        for (rows, cols) in SHAPES {
            let stored = random(kind, rows, cols);
            let tiles = Tiles::pack(kind, rows, cols, &stored).unwrap();
            let expected = widened(kind, rows, cols, &stored);
            let mut all = vec![f32::NAN; rows * cols];
            tiles.widen(&mut all);
            assert_eq!(all, expected, "{kind:?} {rows} x {cols}");
            let mut row = vec![f32::NAN; cols];
            tiles.row(rows - 1, &mut row);
            assert_eq!(row, expected[(rows - 1) * cols..], "{kind:?}");
        }
    }
}

#[test]
fn packed_blocks_take_hardly_more_than_the_file() {
    for kind in QuantKind::ALL {
        let stored = random(kind, 64, 512);
        let packed = Tiles::pack(kind, 64, 512, &stored).unwrap().storage().len();
        assert!(packed as f64 <= 1.04 * stored.len() as f64, "{kind:?}: {packed} {}", stored.len());
    }
}

fn products(tiles: &Tiles, level: TileLevel, x: &[f32]) -> Vec<f32> {
    let mut y = vec![f32::NAN; x.len() / tiles.cols() * tiles.rows()];
    let mut out: Vec<&mut [f32]> = y.chunks_exact_mut(tiles.rows()).collect();
    let activations = Activations::new(x, tiles.cols());
    tiles.multiply(level, 0..tiles.rows().div_ceil(TILE_ROWS), &activations, &mut out);
    y
}

/// The worst error of a product, over the size that the products have.
fn worst_error(y: &[f32], wide: &[f32], x: &[f32], cols: usize) -> f64 {
    let rows = wide.len() / cols;
    let (mut worst, mut squares) = (0.0_f64, 0.0);
    for (b, x) in x.chunks_exact(cols).enumerate() {
        for (r, w) in wide.chunks_exact(cols).enumerate() {
            let exact: f64 = w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
            worst = worst.max((f64::from(y[b * rows + r]) - exact).abs());
            squares += exact * exact;
        }
    }
    worst / (squares / y.len() as f64).sqrt()
}

#[test]
fn products_are_the_same_on_every_instruction_set_and_in_every_batch() {
    let mut rng = SmallRng::seed_from_u64(3);
    for kind in QuantKind::ALL {
        for (rows, cols) in SHAPES {
            let stored = random(kind, rows, cols);
            let tiles = Tiles::pack(kind, rows, cols, &stored).unwrap();
            let mut x: Vec<f32> = (0..6 * cols).map(|_| rng.random_range(-1.0..1.0)).collect();
            // The largest whole numbers of one sign everywhere, and nothing at all.
            x[..cols].fill(-1.0);
            x[cols..2 * cols].fill(0.0);
            let plain = products(&tiles, TileLevel::Plain, &x);
            for level in TileLevel::available() {
                assert_eq!(products(&tiles, level, &x), plain, "{kind:?} {level:?}");
                for (b, x) in x.chunks_exact(cols).enumerate() {
                    let alone = products(&tiles, level, x);
                    assert_eq!(alone, plain[b * rows..][..rows], "{kind:?} {level:?}, row {b}");
                }
            }
            assert_eq!(plain[rows..2 * rows], vec![0.0; rows]);
            let wide = widened(kind, rows, cols, &stored);
            let error = worst_error(&plain, &wide, &x, cols);
            assert!(error < 1e-4, "{kind:?} {rows} x {cols}: {error}");
        }
    }
}

#[test]
fn an_activation_that_is_no_number_makes_its_products_none() {
    let tiles = Tiles::pack(QuantKind::Q4_0, 16, 64, &random(QuantKind::Q4_0, 16, 64)).unwrap();
    for bad in [f32::NAN, f32::INFINITY] {
        let mut x = vec![0.5; 64];
        x[40] = bad;
        assert!(products(&tiles, TileLevel::detect(), &x).iter().all(|y| !y.is_finite()));
    }
    // As good as zero, and no reason to refuse.
    let tiny = vec![f32::from_bits(1); 64];
    assert!(products(&tiles, TileLevel::detect(), &tiny).iter().all(|y| y.abs() < 1e-30));
}

#[test]
fn a_scale_that_is_no_number_is_found_and_rows_become_zero() {
    for kind in QuantKind::ALL {
        let (rows, cols) = (40, 512);
        let mut stored = random(kind, rows, cols);
        let blocks = cols / kind.block_len();
        let mut tiles = Tiles::pack(kind, rows, cols, &stored).unwrap();
        assert_eq!(tiles.first_non_finite(), None, "{kind:?}");

        let at = (19 * blocks + 1) * kind.block_bytes();
        match kind.halves() {
            (None, _) => stored[at] = 255,
            (Some(scale), minimum) => stored[at + minimum.unwrap_or(scale) + 1] = 0x7c,
        }
        let bad = Tiles::pack(kind, rows, cols, &stored).unwrap();
        assert_eq!(bad.first_non_finite(), Some((19, kind.block_len())), "{kind:?}");

        let zeroed = tiles.zero_rows([3, 17, 18].into_iter());
        assert_eq!(zeroed, kind != QuantKind::Mxfp4);
        let mut all = vec![f32::NAN; rows * cols];
        tiles.widen(&mut all);
        for (row, values) in all.chunks_exact(cols).enumerate() {
            let zero = zeroed && [3, 17, 18].contains(&row);
            assert_eq!(values.iter().all(|value| *value == 0.0), zero, "{kind:?} row {row}");
        }
    }
}

#[test]
fn random_blocks_have_the_variance_that_is_asked_for() {
    for kind in QuantKind::ALL {
        let mut stored = vec![0; 256 * kind.block_bytes()];
        SmallRng::seed_from_u64(11).fill(&mut stored[..]);
        for block in stored.chunks_exact_mut(kind.block_bytes()) {
            kind.set_scales(block, kind.scales_of_variance(0.25));
        }
        let values = widened(kind, 256, kind.block_len(), &stored);
        let mean_of = |f: fn(f32) -> f32| {
            values.iter().map(|x| f64::from(f(*x))).sum::<f64>() / values.len() as f64
        };
        let (mean, square) = (mean_of(|x| x), mean_of(|x| x * x));
        assert!(mean.abs() < 0.06, "{kind:?}: mean {mean}");
        // A power of two is at most half as large as what is asked for.
        let least = if kind == QuantKind::Mxfp4 { 0.06 } else { 0.22 };
        assert!(square > least && square < 0.28, "{kind:?}: variance {square}");
    }
}

#[test]
fn rows_in_another_order_keep_their_blocks_to_the_bit() {
    for kind in QuantKind::ALL {
        for (rows, cols) in SHAPES {
            let stored = random(kind, rows, cols);
            let row_bytes = stored.len() / rows;
            // Backwards by steps of 7, and one more than there are, so that the last tile is another.
            let order: Vec<usize> = (0..=rows).map(|at| (rows * 7 - at * 7) % rows).collect();
            let moved: Vec<u8> = order
                .iter()
                .flat_map(|row| &stored[row * row_bytes..][..row_bytes])
                .copied()
                .collect();
            let tiles = Tiles::pack(kind, rows, cols, &stored).unwrap().with_rows(&order).unwrap();
            let expected = Tiles::pack(kind, rows + 1, cols, &moved).unwrap();
            assert_eq!(tiles.rows(), rows + 1);
            assert!(**tiles.storage() == **expected.storage(), "{kind:?} {rows} x {cols}");
        }
    }
}

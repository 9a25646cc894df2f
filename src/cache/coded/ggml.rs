//! llama.cpp's `q8_0` and `q4_0`: 32 numbers of a row share a scale. Layout and rounding are those
//! of ggml (`ggml-common.h`, `quantize_row_q8_0_ref`, `quantize_row_q4_0_ref`).

use half::f16;

use crate::mask::{Coding, Width};

/// Numbers of a block.
const BLOCK: usize = Coding::BLOCK_CHANNELS;

/// Channels that a Hadamard matrix mixes.
pub(super) const HADAMARD: usize = 64;

/// Bytes of a row of `numbers` numbers, a multiple of 32.
pub(super) fn row_bytes(numbers: usize, width: Width) -> usize {
    numbers / BLOCK * block_bytes(width)
}

fn block_bytes(width: Width) -> usize {
    2 + BLOCK * usize::from(width.bits()) / 8
}

/// Codes a row with 8 or 4 bits.
pub(super) fn encode(row: &[f32], width: Width, to: &mut [u8]) {
    for (numbers, block) in row.chunks_exact(BLOCK).zip(to.chunks_exact_mut(block_bytes(width))) {
        let (scale, codes) = block.split_at_mut(2);
        let largest = numbers.iter().copied().fold(0.0f32, |largest, x| {
            if x.abs() > largest.abs() || x.is_nan() { x } else { largest }
        });
        let d = match width {
            Width::Eight => largest.abs() / 127.0,
            _ => largest / -8.0,
        };
        let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
        scale.copy_from_slice(&f16::from_f32(d).to_le_bytes());
        if width == Width::Eight {
            for (code, x) in codes.iter_mut().zip(numbers) {
                *code = ((x * inverse).round() as i8) as u8;
            }
        } else {
            let nibble = |x: f32| ((x * inverse + 8.5) as u8).min(15);
            for (at, code) in codes.iter_mut().enumerate() {
                *code = nibble(numbers[at]) | nibble(numbers[at + BLOCK / 2]) << 4;
            }
        }
    }
}

/// The numbers of a coded row.
///
/// Inlined into the attention kernels, which are compiled for the machine's instructions; its loops
/// are such as the compiler turns into vector instructions.
#[inline(always)]
pub(super) fn decode(from: &[u8], width: Width, row: &mut [f32]) {
    for (block, numbers) in from.chunks_exact(block_bytes(width)).zip(row.chunks_exact_mut(BLOCK)) {
        let (scale, codes) = block.split_at(2);
        let d = f16::from_le_bytes([scale[0], scale[1]]).to_f32();
        if width == Width::Eight {
            for (x, &code) in numbers.iter_mut().zip(codes) {
                *x = d * f32::from(code as i8);
            }
        } else {
            let (low, high) = numbers.split_at_mut(BLOCK / 2);
            for (x, &code) in low.iter_mut().zip(codes) {
                *x = d * f32::from((code & 15) as i8 - 8);
            }
            for (x, &code) in high.iter_mut().zip(codes) {
                *x = d * f32::from((code >> 4) as i8 - 8);
            }
        }
    }
}

/// Multiplies every 64 numbers by the Hadamard matrix over 8, which is its own inverse.
#[inline(always)]
pub(super) fn rotate(row: &mut [f32]) {
    for piece in row.chunks_exact_mut(HADAMARD) {
        let mut half = 1;
        while half < HADAMARD {
            for start in (0..HADAMARD).step_by(2 * half) {
                for at in start..start + half {
                    let (a, b) = (piece[at], piece[at + half]);
                    (piece[at], piece[at + half]) = (a + b, a - b);
                }
            }
            half *= 2;
        }
        piece.iter_mut().for_each(|x| *x /= 8.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_ggmls() {
        // -1.5 is the number of largest magnitude, so d = 1.5 / 8 and its code is 0.
        let row: Vec<f32> =
            (0..32).map(|at| if at == 3 { -1.5 } else { at as f32 / 31.0 }).collect();
        let mut coded = [0; 18];
        encode(&row, Width::Four, &mut coded);
        assert_eq!(f16::from_le_bytes([coded[0], coded[1]]).to_f32(), 0.1875);
        assert_eq!(coded[2 + 3] & 15, 0);
        assert_eq!(coded[2 + 15] >> 4, 13, "1.0 / 0.1875 + 8.5 = 13.8");
        let mut back = [0.0; 32];
        decode(&coded, Width::Four, &mut back);
        assert_eq!(back[3], -1.5);
        assert!(row.iter().zip(back).all(|(x, y)| (x - y).abs() <= 0.1875 / 2.0 + 1e-3));

        let mut coded = [0; 34];
        encode(&row, Width::Eight, &mut coded);
        assert_eq!(coded[2 + 3] as i8, -127);
        decode(&coded, Width::Eight, &mut back);
        assert!(row.iter().zip(back).all(|(x, y)| (x - y).abs() <= 1.5 / 254.0 + 1e-3));
        assert_eq!((row_bytes(64, Width::Eight), row_bytes(64, Width::Four)), (68, 36));
    }

    #[test]
    fn zeros_and_what_is_not_finite() {
        for width in [Width::Four, Width::Eight] {
            let (mut coded, mut back) = ([0; 34], [1.0; 32]);
            encode(&[0.0; 32], width, &mut coded);
            decode(&coded, width, &mut back);
            assert_eq!(back, [0.0; 32]);
            let mut row = [1.0; 32];
            row[5] = f32::NAN;
            encode(&row, width, &mut coded);
            decode(&coded, width, &mut back);
            assert!(back.iter().all(|x| x.is_nan()), "{width}");
        }
    }

    #[test]
    fn the_rotation_is_its_own_inverse_and_keeps_lengths() {
        let row: Vec<f32> = (0..128).map(|at| (at * 37 % 61) as f32 - 30.0).collect();
        let mut turned = row.clone();
        rotate(&mut turned);
        let length = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>();
        assert!((length(&turned) / length(&row) - 1.0).abs() < 1e-5);
        assert!(turned.iter().zip(&row).any(|(a, b)| (a - b).abs() > 1.0));
        rotate(&mut turned);
        assert!(turned.iter().zip(&row).all(|(a, b)| (a - b).abs() < 1e-3));
    }
}

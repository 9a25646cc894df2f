//! Reading the codes of a head back from a slab, as `kernels/cuda/coded.cuh` wrote them.

use half::f16;

use super::launch::TILE;
use super::layout::{SLAB, scale_row};
use super::params::HeadLayout;
use crate::element::Dtype;

/// Bytes of a coded head in a slab.
pub(super) fn coded_bytes(head: &HeadLayout) -> usize {
    SLAB / TILE * head.tile as usize + SLAB / head.group as usize * scale_row(head)
}

/// The numbers of a coded head in a slab: keys `[SLAB][kept]` with channels ascending, and values
/// `[SLAB][head_dim]`. `channels` are those of the keys in the order of their codes, `slab` the
/// head's bytes. Of tokens that were never written anything.
pub(super) fn coded_rows(
    head: &HeadLayout,
    channels: &[usize],
    dtype: Dtype,
    head_dim: usize,
    slab: &[u8],
) -> [Vec<f32>; 2] {
    let kept = channels.len();
    // The place of each among the channels in ascending order.
    let place = |channel| channels.iter().filter(|&&other| other < channel).count();
    let places: Vec<usize> = channels.iter().map(|&channel| place(channel)).collect();
    let mut keys = vec![0.0; SLAB * kept];
    let mut values = vec![0.0; SLAB * head_dim];
    let (tiles, scales) = slab.split_at(SLAB / TILE * head.tile as usize);
    let (v_bits, v_group) = (usize::from(head.v_bits), usize::from(head.v_group));
    for (index, tile) in tiles.chunks_exact(head.tile as usize).enumerate() {
        let (first, group) = (index * TILE, index * TILE / head.group as usize);
        let pairs = &scales[group * scale_row(head)..];
        let (mut at, mut stored) = (0, 0);
        for (bits, count) in [16, 8, 4, 2].into_iter().zip(head.widths) {
            for &place in &places[stored..stored + usize::from(count)] {
                let pair = match bits {
                    16 => [0.0; 2],
                    _ => pair(pairs, stored - usize::from(head.widths[0])),
                };
                for token in 0..TILE {
                    keys[(first + token) * kept + place] =
                        number(&tile[at..], token, bits, dtype, pair);
                }
                at += TILE * bits / 8;
                stored += 1;
            }
        }
        let codes = &tile[head.tile_values as usize..];
        let (row, groups) = (head_dim * v_bits / 8, head_dim / v_group);
        for token in 0..TILE {
            for channel in 0..head_dim {
                let pair = match v_bits {
                    16 => [0.0; 2],
                    _ => pair(&codes[TILE * row..], token * groups + channel / v_group),
                };
                values[(first + token) * head_dim + channel] =
                    number(&codes[token * row..], channel, v_bits, dtype, pair);
            }
        }
    }
    [keys, values]
}

/// Scale and minimum number `at`.
fn pair(pairs: &[u8], at: usize) -> [f32; 2] {
    let half = |at: usize| f16::from_le_bytes([pairs[at], pairs[at + 1]]).to_f32();
    [half(4 * at), half(4 * at + 2)]
}

/// The number of code `at`, or element `at` with 16 bits.
fn number(codes: &[u8], at: usize, bits: usize, dtype: Dtype, [scale, minimum]: [f32; 2]) -> f32 {
    if bits == 16 {
        return dtype.widen_bits(&[u16::from_le_bytes([codes[2 * at], codes[2 * at + 1]])])[0];
    }
    let (byte, shift) = (codes[at * bits / 8], at * bits % 8);
    let code = byte >> shift & (u8::MAX >> (8 - bits));
    scale.mul_add(f32::from(code), minimum)
}

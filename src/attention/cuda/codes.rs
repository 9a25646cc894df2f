//! Reading the codes of a head back from a slab, as `kernels/cuda/coded.cuh` wrote them.

use super::launch::TILE;
use super::layout::{SLAB, scale_row};
use super::params::HeadLayout;
use crate::cache::BLOCK;
use crate::cache::coded::{BlockLayout, Piece};

/// Bytes of a coded head in a slab.
pub(super) fn coded_bytes(head: &HeadLayout) -> usize {
    SLAB / TILE * head.tile as usize + SLAB / head.group as usize * scale_row(head)
}

/// The blocks of a coded head in a slab as a cache in host memory has them. `slab` holds the head's
/// bytes; of tokens that were never written it gives anything.
pub(super) fn coded_blocks(head: &HeadLayout, layout: &BlockLayout, slab: &[u8]) -> Vec<Vec<u8>> {
    let (tiles, scales) = slab.split_at(SLAB / TILE * head.tile as usize);
    let word = |bytes: &[u8], at: usize| {
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    };
    // Code `index` of those from byte `at` on.
    let code = |tile: &[u8], at: usize, index: usize, bits: usize| match bits {
        16 => u32::from(tile[at + 2 * index]) | u32::from(tile[at + 2 * index + 1]) << 8,
        _ => u32::from(tile[at + index * bits / 8] >> (index * bits % 8) & u8::MAX >> (8 - bits)),
    };
    let starts = key_codes(head);
    let (v_bits, values) = (usize::from(head.v_bits), head.tile_values as usize);
    let head_dim = layout.head_dim();
    let block = |index: usize| {
        let tile = |token: usize| {
            let at = (index * BLOCK + token) / TILE * head.tile as usize;
            &tiles[at..at + head.tile as usize]
        };
        let mut block = vec![0; layout.bytes()];
        layout.fill(&mut block, |stored| match stored {
            Piece::Key { at, token } => {
                let (start, bits) = starts[at];
                code(tile(token), start, token % TILE, bits)
            }
            Piece::KeyPair { at, group } => {
                let group = index * BLOCK / head.group as usize + group;
                word(scales, group * scale_row(head) + 4 * at)
            }
            Piece::Value { channel, token } => {
                let start = values + token % TILE * head_dim * v_bits / 8;
                code(tile(token), start, channel, v_bits)
            }
            Piece::ValuePair { group, token } => {
                let groups = head_dim / usize::from(head.v_group);
                let start = values + TILE * head_dim * v_bits / 8;
                word(tile(token), start + 4 * (token % TILE * groups + group))
            }
        });
        block
    };
    (0..SLAB / BLOCK).map(block).collect()
}

/// Where in a tile the codes of each stored channel are, and their bits.
fn key_codes(head: &HeadLayout) -> Vec<(usize, usize)> {
    let mut at = 0;
    let mut places = Vec::with_capacity(head.kept as usize);
    for (bits, channels) in [16, 8, 4, 2].into_iter().zip(head.widths) {
        for _ in 0..channels {
            places.push((at, bits));
            at += TILE * bits / 8;
        }
    }
    places
}

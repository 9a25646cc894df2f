//! The products of tiles with activations.

use std::marker::PhantomData;

use super::activations::{Activations, UnitActivations};
use super::format::{TileFormat, TileScales};
use super::lanes::{ROWS, TileLanes};
use super::level::LaneWork;
use crate::model::host::ahead::ask_ahead;

/// How far ahead of a record memory is asked for, in bytes.
const AHEAD: usize = 8192;

/// Some tiles times all rows of activations. A tile is read from memory once for all of them.
pub struct Multiply<'a, 'b, F> {
    /// The tiles.
    pub bytes: &'a [u8],
    /// Bytes of one.
    pub tile_bytes: usize,
    /// Activations.
    pub x: &'a Activations,
    /// One slice for each row of activations, an output for each row of the tiles.
    pub out: &'a mut [&'b mut [f32]],
    /// Their format.
    pub format: PhantomData<F>,
}

impl<F: TileFormat> LaneWork for Multiply<'_, '_, F> {
    #[inline(always)]
    fn run<L: TileLanes>(self, lanes: L) {
        let Self { bytes, tile_bytes, x, out, .. } = self;
        for (at, tile) in bytes.chunks_exact(tile_bytes).enumerate() {
            let mut b = 0;
            while b + 4 <= out.len() {
                let rows = [x.row(b), x.row(b + 1), x.row(b + 2), x.row(b + 3)];
                let totals = tile_products::<L, F, 4>(lanes, tile, &rows, b == 0);
                let mut i = 0;
                while i < 4 {
                    store(&mut out[b + i][at * ROWS..], lanes.rows(totals[i]));
                    i += 1;
                }
                b += 4;
            }
            while b < out.len() {
                let [totals] = tile_products::<L, F, 1>(lanes, tile, &[x.row(b)], b == 0);
                store(&mut out[b][at * ROWS..], lanes.rows(totals));
                b += 1;
            }
        }
    }
}

#[inline(always)]
fn store(out: &mut [f32], rows: [f32; ROWS]) {
    match out.first_chunk_mut::<ROWS>() {
        Some(out) => *out = rows,
        None => out.copy_from_slice(&rows[..out.len()]),
    }
}

/// Sixteen rows times `B` rows of activations. What a row of activations gives does not depend on
/// the others. Where the tile comes from memory (`fresh`), what follows it is asked for.
#[inline(always)]
fn tile_products<L: TileLanes, F: TileFormat, const B: usize>(
    lanes: L,
    tile: &[u8],
    x: &[&[UnitActivations]; B],
    fresh: bool,
) -> [L::Floats; B] {
    let mut totals = [lanes.splat(0.0); B];
    let mut unit = 0;
    for record in tile.chunks_exact(F::RECORD) {
        let mut here = *x;
        let mut b = 0;
        while b < B {
            here[b] = &x[b][unit..unit + F::Scales::UNITS];
            b += 1;
        }
        if fresh {
            ask_ahead(record, AHEAD);
        }
        F::Scales::add_products::<L, F, B>(lanes, record, &here, &mut totals);
        unit += F::Scales::UNITS;
    }
    totals
}

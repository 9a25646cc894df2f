//! A quantised matrix, packed in tiles of sixteen rows.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::activations::{Activations, UNIT};
use super::block::BlockParts;
use super::format::{TileFormat, TileScales};
use super::formats::with_format;
use super::kind::QuantKind;
use super::lanes::{PlainLanes, ROWS, TileLanes};
use super::level::{LaneWork, TileLevel};
use super::planes::{CodePlanes, UnitCodes, VECTORS};
use super::product::Multiply;
use crate::Result;
use crate::model::host::storage::Storage;

/// `[rows, cols]` in tiles of sixteen rows, the last one filled up with zeros. A tile holds one
/// record for each block of columns, so that a product reads it from beginning to end.
#[derive(Debug, Clone)]
pub struct Tiles {
    kind: QuantKind,
    rows: usize,
    cols: usize,
    bytes: Storage<u8>,
}

impl Tiles {
    /// Packs the blocks of a matrix, row-major as in a file. `cols` must be a multiple of the
    /// kind's block, and `stored` as long as the shape says.
    pub fn pack(kind: QuantKind, rows: usize, cols: usize, stored: &[u8]) -> Result<Self> {
        let tile_bytes = tile_bytes(kind, cols);
        let row_bytes = cols / kind.block_len() * kind.block_bytes();
        let bytes = Storage::filled(packed_bytes(kind, rows, cols), |bytes| {
            let tiles = bytes.par_chunks_mut(tile_bytes).zip(stored.par_chunks(ROWS * row_bytes));
            tiles.for_each(
                |(to, rows)| with_format!(kind, F => pack::<F>(kind, rows, row_bytes, to)),
            );
        })?;
        Ok(Self { kind, rows, cols, bytes })
    }

    /// The kind.
    pub fn kind(&self) -> QuantKind {
        self.kind
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The tiles, one after the other.
    pub fn storage(&self) -> &Storage<u8> {
        &self.bytes
    }

    /// The tiles, to be moved elsewhere.
    pub fn storage_mut(&mut self) -> &mut Storage<u8> {
        &mut self.bytes
    }

    /// Bytes of a tile.
    pub fn tile_bytes(&self) -> usize {
        tile_bytes(self.kind, self.cols)
    }

    fn tile(&self, tile: usize) -> &[u8] {
        &self.bytes[tile * self.tile_bytes()..][..self.tile_bytes()]
    }

    /// One row in f32.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        let (tile, rows) = (self.tile(row / ROWS), row % ROWS..row % ROWS + 1);
        with_format!(self.kind, F => widen::<F>(tile, rows, self.cols, out));
    }

    /// The rows of one tile in f32, `[up to 16, cols]`.
    pub fn widen_tile(&self, tile: usize, out: &mut [f32]) {
        let (rows, cols, tile) = (0..out.len() / self.cols, self.cols, self.tile(tile));
        with_format!(self.kind, F => {
            TileLevel::detect().run(Widen::<F> { tile, rows, cols, out, format: PhantomData })
        });
    }

    /// The matrix in f32, row-major.
    pub fn widen(&self, out: &mut [f32]) {
        out.par_chunks_mut(ROWS * self.cols)
            .enumerate()
            .for_each(|(tile, out)| self.widen_tile(tile, out));
    }

    /// The matrix of these rows, in their order, in the blocks that they have; each must be there.
    pub fn with_rows(&self, rows: &[usize]) -> Result<Self> {
        let (kind, cols, tile_bytes) = (self.kind, self.cols, self.tile_bytes());
        let bytes = Storage::filled(packed_bytes(kind, rows.len(), cols), |bytes| {
            let tiles = bytes.par_chunks_mut(tile_bytes).zip(rows.par_chunks(ROWS));
            tiles.for_each(|(to, rows)| with_format!(kind, F => gather::<F>(self, rows, to)));
        })?;
        Ok(Self { kind, rows: rows.len(), cols, bytes })
    }

    /// Makes rows zero. Kinds whose scale cannot be zero are left as they are, and this is false.
    #[must_use]
    pub fn zero_rows(&mut self, rows: impl Iterator<Item = usize>) -> bool {
        let tile_bytes = self.tile_bytes();
        let mut bytes = self.bytes.to_vec();
        for row in rows {
            let tile = &mut bytes[row / ROWS * tile_bytes..][..tile_bytes];
            let zeroed = with_format!(self.kind, F => {
                let mut records = tile.chunks_exact_mut(F::RECORD);
                records.all(|record| <F as TileFormat>::Scales::zero(row % ROWS, record))
            });
            if !zeroed {
                return false;
            }
        }
        self.bytes = bytes.into();
        true
    }

    /// The first block with a value that is no finite number: its row and first column.
    pub fn first_non_finite(&self) -> Option<(usize, usize)> {
        let tiles = self.bytes.par_chunks(self.tile_bytes()).enumerate();
        tiles.find_map_first(|(tile, bytes)| {
            let (row, record) = with_format!(self.kind, F => {
                let records = || bytes.chunks_exact(F::RECORD);
                (0..ROWS).find_map(|row| {
                    let at = records().position(|at| !<F as TileFormat>::Scales::is_finite(at, row))?;
                    Some((row, at))
                })
            })?;
            Some((tile * ROWS + row, record * self.kind.block_len()))
        })
    }

    /// The products of some tiles with activations: `out[b][16 t + r]` for tile `t` of those and
    /// row `r`. The last tile's outputs may be fewer.
    pub fn multiply(
        &self,
        level: TileLevel,
        tiles: Range<usize>,
        x: &Activations,
        out: &mut [&mut [f32]],
    ) {
        let tile_bytes = self.tile_bytes();
        let bytes = &self.bytes[tiles.start * tile_bytes..tiles.end * tile_bytes];
        with_format!(self.kind, F => {
            level.run(Multiply::<F> { bytes, tile_bytes, x, out, format: PhantomData })
        });
    }
}

/// Bytes of a tile.
fn tile_bytes(kind: QuantKind, cols: usize) -> usize {
    with_format!(kind, F => cols / kind.block_len() * F::RECORD)
}

/// Bytes of a packed matrix.
pub fn packed_bytes(kind: QuantKind, rows: usize, cols: usize) -> usize {
    rows.div_ceil(ROWS) * tile_bytes(kind, cols)
}

/// Packs up to sixteen rows.
fn pack<F: TileFormat>(kind: QuantKind, stored: &[u8], row_bytes: usize, to: &mut [u8]) {
    let units = F::Scales::UNITS;
    for (at, record) in to.chunks_exact_mut(F::RECORD).enumerate() {
        let (header, codes) = record.split_at_mut(F::Scales::HEADER);
        let mut all: [UnitCodes; 8] = [[[0; 64]; VECTORS]; 8];
        for (row, stored) in stored.chunks_exact(row_bytes).enumerate() {
            let block = &stored[at * kind.block_bytes()..][..kind.block_bytes()];
            let parts = BlockParts::of(kind, block);
            F::Scales::pack(&parts, row, header);
            let vectors = all[..units].as_flattened_mut().iter_mut();
            for (vector, four) in vectors.zip(parts.codes.chunks_exact(4)) {
                vector[4 * row..4 * row + 4].copy_from_slice(four);
            }
        }
        for (unit, to) in all.iter().zip(codes.chunks_exact_mut(F::Planes::BYTES)) {
            F::Planes::pack(unit, to);
        }
    }
}

/// Packs up to sixteen rows of packed tiles.
fn gather<F: TileFormat>(from: &Tiles, rows: &[usize], to: &mut [u8]) {
    let units = F::Scales::UNITS;
    for (at, record) in to.chunks_exact_mut(F::RECORD).enumerate() {
        let (header, codes) = record.split_at_mut(F::Scales::HEADER);
        let mut all: [UnitCodes; 8] = [[[0; 64]; VECTORS]; 8];
        // Rows that follow one another mostly lie in one tile, which is unpacked once.
        let (mut unpacked, mut held) = (None, all);
        for (place, &row) in rows.iter().enumerate() {
            let stored = &from.tile(row / ROWS)[at * F::RECORD..][..F::RECORD];
            let (stored_header, stored_codes) = stored.split_at(F::Scales::HEADER);
            if unpacked != Some(row / ROWS) {
                unpacked = Some(row / ROWS);
                let planes = stored_codes.chunks_exact(F::Planes::BYTES);
                held.iter_mut()
                    .zip(planes)
                    .for_each(|(unit, planes)| *unit = F::Planes::codes(planes));
            }
            F::Scales::copy_row(stored_header, row % ROWS, header, place);
            let vectors = all[..units].as_flattened_mut().iter_mut();
            for (to, from) in vectors.zip(held[..units].as_flattened()) {
                to[4 * place..4 * place + 4].copy_from_slice(&from[4 * (row % ROWS)..][..4]);
            }
        }
        for (unit, to) in all.iter().zip(codes.chunks_exact_mut(F::Planes::BYTES)) {
            F::Planes::pack(unit, to);
        }
    }
}

/// A tile's rows in f32, as work that is compiled for an instruction set.
struct Widen<'a, F> {
    tile: &'a [u8],
    rows: Range<usize>,
    cols: usize,
    out: &'a mut [f32],
    format: PhantomData<F>,
}

impl<F: TileFormat> LaneWork for Widen<'_, F> {
    #[inline(always)]
    fn run<L: TileLanes>(self, _: L) {
        widen::<F>(self.tile, self.rows, self.cols, self.out);
    }
}

/// Some rows of a tile in f32. Every value is what ggml makes of its block, to the bit.
#[inline(always)]
fn widen<F: TileFormat>(tile: &[u8], rows: Range<usize>, cols: usize, out: &mut [f32]) {
    let units = F::Scales::UNITS;
    for (at, record) in tile.chunks_exact(F::RECORD).enumerate() {
        let (header, codes) = record.split_at(F::Scales::HEADER);
        for (unit, codes) in codes.chunks_exact(F::Planes::BYTES).enumerate() {
            let vectors: UnitCodes = F::Planes::vectors(PlainLanes, codes);
            let col = (at * units + unit) * UNIT;
            for (row, out) in rows.clone().zip(out.chunks_exact_mut(cols)) {
                let mut levels = [0_u8; UNIT];
                for (to, vector) in levels.chunks_exact_mut(4).zip(&vectors) {
                    to.copy_from_slice(&vector[4 * row..4 * row + 4]);
                }
                let halves = out[col..col + UNIT].chunks_exact_mut(16).zip(levels.chunks_exact(16));
                for (half, (out, levels)) in halves.enumerate() {
                    let (scale, added) = F::Scales::of_row(header, row, 2 * unit + half);
                    for (out, level) in out.iter_mut().zip(levels) {
                        *out = scale * (f32::from(*level) - F::ZERO as f32) + added;
                    }
                }
            }
        }
    }
}

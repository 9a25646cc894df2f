//! Weight matrices as stored (f32, f16, bf16 or quantised) and the products that a decoder needs.
//!
//! Decode multiplies one or a few rows: every weight is read once, so it is as fast as memory can be
//! read. Floats are widened in registers and accumulated in f32; quantised weights are multiplied in
//! whole numbers with activations of two terms of 8 bits. Prefill multiplies hundreds of rows: the
//! matrix is widened once and passed to a blocked f32 product.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

use crate::element::Dtype;
use crate::model::host::dot::{DotKernel, Outputs};
use crate::model::host::quant::{Activations, TILE_ROWS, TileLevel, Tiles};
use crate::model::host::storage::{Filling, Storage};
use crate::model::host::wide::Wide;
use crate::model::weight_types::{WeightType, WeightTypes};
use crate::{Error, Result};

/// Elements of a matrix; floats are row-major.
#[derive(Debug, Clone)]
pub enum Elements {
    /// Single precision.
    F32(Storage<f32>),
    /// Half precision.
    F16(Storage<f16>),
    /// Brain float.
    Bf16(Storage<bf16>),
    /// Quantised blocks, packed.
    Quantised(Tiles),
    /// Matrices of different types under one another.
    Stacked(Vec<Matrix>),
}

/// Runs `$body` with the storage of a piece as `$storage`.
macro_rules! in_storage {
    ($piece:expr, $storage:ident => $body:expr) => {
        match &mut $piece.elements {
            Elements::F32($storage) => $body,
            Elements::F16($storage) => $body,
            Elements::Bf16($storage) => $body,
            Elements::Quantised(tiles) => {
                let $storage = tiles.storage_mut();
                $body
            }
            // A piece is never stacked itself.
            Elements::Stacked(_) => {}
        }
    };
}

/// A dense `[rows, cols]` matrix; a linear layer stores `[outputs, inputs]`.
#[derive(Debug, Clone)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    elements: Elements,
}

impl Matrix {
    /// A matrix from its elements; their number must be `rows * cols`.
    pub fn new(rows: usize, cols: usize, elements: Elements) -> Result<Self> {
        let len = match &elements {
            Elements::F32(e) => e.len(),
            Elements::F16(e) => e.len(),
            Elements::Bf16(e) => e.len(),
            Elements::Quantised(tiles) => tiles.rows() * tiles.cols(),
            Elements::Stacked(parts) => parts.iter().map(|part| part.rows * part.cols).sum(),
        };
        if len != rows * cols {
            return Err(Error::input(format!(
                "a {rows} x {cols} matrix has {} elements, not {len}",
                rows * cols
            )));
        }
        Ok(Self { rows, cols, elements })
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The type of the elements; `None` where there are several.
    pub fn element_type(&self) -> Option<WeightType> {
        Some(match &self.elements {
            Elements::F32(_) => WeightType::Float(Dtype::F32),
            Elements::F16(_) => WeightType::Float(Dtype::F16),
            Elements::Bf16(_) => WeightType::Float(Dtype::Bf16),
            Elements::Quantised(tiles) => WeightType::Quantised(tiles.kind()),
            Elements::Stacked(_) => return None,
        })
    }

    /// Adds the bytes of each type.
    pub fn count_types(&self, types: &mut WeightTypes) {
        for part in self.pieces() {
            part.element_type().into_iter().for_each(|kind| types.add(kind, part.bytes() as u64));
        }
    }

    /// The matrices that this one is made of; itself where it is one piece.
    fn pieces(&self) -> &[Self] {
        match &self.elements {
            Elements::Stacked(parts) => parts,
            _ => std::slice::from_ref(self),
        }
    }

    fn pieces_mut(&mut self) -> &mut [Self] {
        match self {
            Self { elements: Elements::Stacked(parts), .. } => parts,
            whole => std::slice::from_mut(whole),
        }
    }

    /// The elements, row-major.
    pub fn elements(&self) -> &Elements {
        &self.elements
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.raw().iter().map(|bytes| bytes.len()).sum()
    }

    /// The matrix with floats of this type, rounded to nearest.
    pub fn into_dtype(self, dtype: Dtype) -> Self {
        if self.element_type() == Some(WeightType::Float(dtype)) {
            return self;
        }
        let wide = self.widened();
        let elements = match dtype {
            Dtype::F32 => Elements::F32(wide.into()),
            Dtype::F16 => Elements::F16(
                narrowed(&wide, |from, to: &mut [f16]| to.convert_from_f32_slice(from)).into(),
            ),
            Dtype::Bf16 => Elements::Bf16(
                narrowed(&wide, |from, to: &mut [bf16]| to.convert_from_f32_slice(from)).into(),
            ),
        };
        Self { elements, ..self }
    }

    /// The matrix with these rows set to zero.
    pub fn with_zero_rows(self, rows: impl Iterator<Item = usize> + Clone) -> Self {
        fn zeroed<T: bytemuck::Pod>(
            elements: &[T],
            cols: usize,
            rows: impl Iterator<Item = usize>,
        ) -> Storage<T> {
            let mut elements = elements.to_vec();
            rows.for_each(|row| elements[row * cols..][..cols].fill(T::zeroed()));
            elements.into()
        }
        let elements = match self.elements {
            Elements::F32(elements) => Elements::F32(zeroed(&elements, self.cols, rows)),
            Elements::F16(elements) => Elements::F16(zeroed(&elements, self.cols, rows)),
            Elements::Bf16(elements) => Elements::Bf16(zeroed(&elements, self.cols, rows)),
            Elements::Quantised(mut tiles) => match tiles.zero_rows(rows.clone()) {
                true => Elements::Quantised(tiles),
                // No scale of this kind is zero.
                false => {
                    let whole = Self { elements: Elements::Quantised(tiles), ..self };
                    return whole.into_dtype(Dtype::F16).with_zero_rows(rows);
                }
            },
            Elements::Stacked(parts) => {
                let mut first = 0;
                let part = |part: Self| {
                    let own = first..first + part.rows;
                    first = own.end;
                    let inside = rows.clone().filter(|row| own.contains(row));
                    let inside: Vec<usize> = inside.map(|row| row - own.start).collect();
                    part.with_zero_rows(inside.into_iter())
                };
                Elements::Stacked(parts.into_iter().map(part).collect())
            }
        };
        Self { elements, ..self }
    }

    /// The matrix of these rows, in their order; a row that is not there is refused. Rows keep their
    /// type, unless they are of several types, which become floats.
    pub fn with_rows(self, rows: &[usize]) -> Result<Self> {
        fn picked<T: Copy>(elements: &[T], cols: usize, rows: &[usize]) -> Storage<T> {
            let each = rows.iter().flat_map(|&row| &elements[row * cols..][..cols]);
            each.copied().collect::<Vec<T>>().into()
        }
        if let Some(row) = rows.iter().find(|&&row| row >= self.rows) {
            return Err(Error::run(format!("row {row} of a matrix of {} rows", self.rows)));
        }
        let elements = match &self.elements {
            Elements::F32(elements) => Elements::F32(picked(elements, self.cols, rows)),
            Elements::F16(elements) => Elements::F16(picked(elements, self.cols, rows)),
            Elements::Bf16(elements) => Elements::Bf16(picked(elements, self.cols, rows)),
            Elements::Quantised(tiles) => Elements::Quantised(tiles.with_rows(rows)?),
            Elements::Stacked(_) => {
                let fits_f16 = self.pieces().iter().all(|piece| {
                    matches!(piece.elements, Elements::F16(_) | Elements::Quantised(_))
                });
                let dtype = if fits_f16 { Dtype::F16 } else { Dtype::F32 };
                return self.into_dtype(dtype).with_rows(rows);
            }
        };
        Self::new(rows.len(), self.cols, elements)
    }

    /// The rows of several matrices of one width under one another. Where their types differ, each
    /// keeps its own.
    pub fn stacked(mut parts: Vec<Self>) -> Result<Self> {
        let (cols, kind) = (parts[0].cols, parts[0].element_type());
        if let Some(odd) = parts.iter().find(|part| part.cols != cols) {
            return Err(Error::input(format!(
                "cannot stack a matrix of {} columns on one of {cols}",
                odd.cols
            )));
        }
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        let rows = parts.iter().map(|part| part.rows).sum();
        let alike = parts.iter().all(|part| part.element_type() == kind);
        let elements = match kind.filter(|_| alike) {
            Some(WeightType::Float(Dtype::F32)) => {
                Elements::F32(joined(&parts, |elements| match elements {
                    Elements::F32(e) => Some(&**e),
                    _ => None,
                }))
            }
            Some(WeightType::Float(Dtype::F16)) => {
                Elements::F16(joined(&parts, |elements| match elements {
                    Elements::F16(e) => Some(&**e),
                    _ => None,
                }))
            }
            Some(WeightType::Float(Dtype::Bf16)) => {
                Elements::Bf16(joined(&parts, |elements| match elements {
                    Elements::Bf16(e) => Some(&**e),
                    _ => None,
                }))
            }
            Some(WeightType::Quantised(_)) | None => {
                let pieces = |part: Self| match part.elements {
                    Elements::Stacked(pieces) => pieces,
                    elements => vec![Self { elements, ..part }],
                };
                Elements::Stacked(parts.into_iter().flat_map(pieces).collect())
            }
        };
        Self::new(rows, cols, elements)
    }

    /// One row in f32.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        let range = row * self.cols..(row + 1) * self.cols;
        match &self.elements {
            Elements::F32(e) => out.copy_from_slice(&e[range]),
            Elements::F16(e) => e[range].convert_to_f32_slice(out),
            Elements::Bf16(e) => e[range].convert_to_f32_slice(out),
            Elements::Quantised(tiles) => tiles.row(row, out),
            Elements::Stacked(parts) => {
                let mut first = 0;
                for part in parts {
                    if row < first + part.rows {
                        return part.row(row - first, out);
                    }
                    first += part.rows;
                }
            }
        }
    }

    /// The rows of these numbers in f32, one after the other.
    pub fn rows_of(&self, rows: &[u32], out: &mut [f32]) {
        for (out, &row) in out.chunks_exact_mut(self.cols).zip(rows) {
            self.row(row as usize, out);
        }
    }

    /// The first element that is not a finite number, as (row, column); of a quantised block, the
    /// first of the block.
    pub fn first_non_finite(&self) -> Option<(usize, usize)> {
        let at = match &self.elements {
            Elements::F32(e) => e.par_iter().position_first(|x| !x.is_finite()),
            Elements::F16(e) => e.par_iter().position_first(|x| !x.is_finite()),
            Elements::Bf16(e) => e.par_iter().position_first(|x| !x.is_finite()),
            Elements::Quantised(tiles) => return tiles.first_non_finite(),
            Elements::Stacked(parts) => {
                let mut first = 0;
                return parts.iter().find_map(|part| {
                    let found = part.first_non_finite().map(|(row, col)| (first + row, col));
                    first += part.rows;
                    found
                });
            }
        }?;
        Some((at / self.cols, at % self.cols))
    }

    /// All elements in f32, row-major.
    pub fn widened(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.rows * self.cols];
        self.widen(&mut out);
        out
    }

    fn widen(&self, out: &mut [f32]) {
        match &self.elements {
            Elements::F32(e) => out.copy_from_slice(e),
            Elements::F16(e) => widened(e, out, |from, to| from.convert_to_f32_slice(to)),
            Elements::Bf16(e) => widened(e, out, |from, to| from.convert_to_f32_slice(to)),
            Elements::Quantised(tiles) => tiles.widen(out),
            Elements::Stacked(parts) => {
                let mut rest = out;
                for part in parts {
                    let (own, after) = rest.split_at_mut(part.rows * part.cols);
                    part.widen(own);
                    rest = after;
                }
            }
        }
    }

    /// The matrix in f32, ready for products with many rows.
    pub fn wide(&self) -> Result<Wide> {
        Wide::new(self.widened(), self.rows, self.cols)
    }

    /// Moves the elements of several matrices together into memory on large pages.
    pub fn place_together(matrices: &mut [&mut Self]) -> Result<()> {
        let mut filling = Filling::new(matrices.iter().flat_map(|m| m.raw()).map(<[u8]>::len))?;
        let mut places = Vec::new();
        for piece in matrices.iter_mut().flat_map(|matrix| matrix.pieces_mut()) {
            let start = piece.raw().first().map_or(0, |bytes| filling.add(bytes));
            // The vector is freed as soon as it is copied: a model is never in memory twice.
            in_storage!(piece, storage => {
                places.push((start, storage.len()));
                *storage = Vec::new().into();
            });
        }
        let memory = filling.finish()?;
        let pieces = matrices.iter_mut().flat_map(|matrix| matrix.pieces_mut());
        for (piece, (start, len)) in pieces.zip(places) {
            let memory = memory.clone();
            in_storage!(piece, storage => *storage = Storage::Placed { memory, start, len });
        }
        Ok(())
    }

    /// The elements as bytes of this machine, those of each piece.
    pub(in crate::model) fn raw(&self) -> Vec<&[u8]> {
        match &self.elements {
            Elements::F32(e) => vec![bytemuck::cast_slice(e)],
            Elements::F16(e) => vec![bytemuck::cast_slice(e)],
            Elements::Bf16(e) => vec![bytemuck::cast_slice(e)],
            Elements::Quantised(tiles) => vec![tiles.storage()],
            Elements::Stacked(parts) => parts.iter().flat_map(Self::raw).collect(),
        }
    }

    /// `y[b] = W x[b]` for a few rows of a decode step: `x` is `[batch, cols]`, `y` is `[batch,
    /// rows]`. Where weights are quantised, `x` is rounded to 8 bits for all of them.
    ///
    /// Each output is one sum with a fixed order of additions, so a row's result does not depend on
    /// the batch around it or on the number of threads.
    pub fn apply(&self, x: &[f32], y: &mut [f32]) {
        let rounds = |piece: &Self| matches!(piece.elements, Elements::Quantised(_));
        let rounded = self.pieces().iter().any(rounds).then(|| Activations::new(x, self.cols));
        let level = TileLevel::detect();
        self.each_task(x, y, |tiles, out| {
            let first = out.first / TILE_ROWS;
            if let Some(x) = &rounded {
                let tasks = first..first + out.rows.div_ceil(TILE_ROWS);
                tiles.multiply(level, tasks, x, &mut out.batch);
            }
        });
    }

    /// [`Self::apply`] over f32 activations, for what is not a decode step: quantised weights are
    /// widened, sixteen rows at a time.
    pub fn apply_exact(&self, x: &[f32], y: &mut [f32]) {
        let (cols, kernel) = (self.cols, DotKernel::detect());
        self.each_task(x, y, |tiles, out| {
            let mut wide = vec![0.0; TILE_ROWS * cols];
            let (first, rows) = (out.first, out.rows);
            for start in (0..rows).step_by(TILE_ROWS) {
                let rows = TILE_ROWS.min(rows - start);
                let wide = &mut wide[..rows * cols];
                tiles.widen_tile((first + start) / TILE_ROWS, wide);
                let batch = out.batch.iter_mut().map(|y| &mut y[start..start + rows]).collect();
                kernel.rows(wide, x, cols, &mut Outputs { first: start, rows, batch });
            }
        });
    }

    /// Cuts the outputs into tasks for all threads. Rows of floats are multiplied here, those of
    /// tiles by `quantised`; both see the rows of a task counted from the beginning of its piece.
    fn each_task(
        &self,
        x: &[f32],
        y: &mut [f32],
        quantised: impl Fn(&Tiles, &mut Outputs<'_>) + Sync,
    ) {
        let batch = x.len() / self.cols;
        debug_assert_eq!(y.len(), batch * self.rows);
        let kernel = DotKernel::detect();
        let pieces = self.pieces();
        // With one thread, handing tasks over to it takes longer than some of them.
        let alone = rayon::current_num_threads() == 1;
        let most = |piece: &Self| if alone { piece.rows } else { piece.rows_per_task() };
        let lengths: Vec<(usize, usize)> =
            pieces.iter().map(|piece| (piece.rows, most(piece))).collect();
        let tasks = Outputs::split(y, batch, self.rows, &lengths);
        let run = |(piece, mut out): (usize, Outputs<'_>)| {
            let range = out.first * self.cols..(out.first + out.rows) * self.cols;
            match &pieces[piece].elements {
                Elements::F32(e) => kernel.rows(&e[range], x, self.cols, &mut out),
                Elements::F16(e) => kernel.rows(&e[range], x, self.cols, &mut out),
                Elements::Bf16(e) => kernel.rows(&e[range], x, self.cols, &mut out),
                Elements::Quantised(tiles) => quantised(tiles, &mut out),
                // A piece is never stacked itself.
                Elements::Stacked(_) => {}
            }
        };
        match alone {
            true => tasks.into_iter().for_each(run),
            false => tasks.into_par_iter().for_each(run),
        }
    }

    /// Rows that a task multiplies: about 64 KiB of weights, long enough to pay for the hand-over,
    /// short enough to balance.
    fn rows_per_task(&self) -> usize {
        const BYTES: usize = 65_536;
        match &self.elements {
            Elements::Quantised(tiles) => (BYTES / tiles.tile_bytes()).clamp(1, 16) * TILE_ROWS,
            _ => {
                let bytes =
                    self.cols * if matches!(self.elements, Elements::F32(_)) { 4 } else { 2 };
                (BYTES / bytes).clamp(4, 256).next_multiple_of(4)
            }
        }
    }
}

fn joined<'a, T: Copy + 'a>(
    parts: &'a [Matrix],
    pick: impl Fn(&'a Elements) -> Option<&'a [T]>,
) -> Storage<T> {
    let mut all = Vec::with_capacity(parts.iter().map(|part| part.rows * part.cols).sum());
    parts
        .iter()
        .filter_map(|part| pick(&part.elements))
        .for_each(|elements| all.extend_from_slice(elements));
    all.into()
}

const CONVERT_CHUNK: usize = 1 << 16;

fn widened<T: Copy + Sync>(from: &[T], to: &mut [f32], convert: impl Fn(&[T], &mut [f32]) + Sync) {
    to.par_chunks_mut(CONVERT_CHUNK)
        .zip(from.par_chunks(CONVERT_CHUNK))
        .for_each(|(to, from)| convert(from, to));
}

fn narrowed<T: Copy + Send + Default>(
    from: &[f32],
    convert: impl Fn(&[f32], &mut [T]) + Sync,
) -> Vec<T> {
    let mut to = vec![T::default(); from.len()];
    to.par_chunks_mut(CONVERT_CHUNK)
        .zip(from.par_chunks(CONVERT_CHUNK))
        .for_each(|(to, from)| convert(from, to));
    to
}

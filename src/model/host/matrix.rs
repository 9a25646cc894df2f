//! Weight matrices as stored (f32, f16 or bf16) and the two products that a decoder needs.
//!
//! Decode multiplies one or a few rows: every weight is read once, widened in registers and
//! accumulated in f32, so it is as fast as memory can be read. Prefill multiplies hundreds of rows:
//! the matrix is widened once and passed to a blocked f32 product.

use candle_core::{Device, Tensor};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::prelude::*;

use crate::element::Dtype;
use crate::model::host::dot;
use crate::model::host::storage::{Filling, Storage};
use crate::{Error, Result};

/// Elements of a matrix, row-major.
#[derive(Debug, Clone)]
pub enum Elements {
    /// Single precision.
    F32(Storage<f32>),
    /// Half precision.
    F16(Storage<f16>),
    /// Brain float.
    Bf16(Storage<bf16>),
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

    /// Element type in memory.
    pub fn dtype(&self) -> Dtype {
        match self.elements {
            Elements::F32(_) => Dtype::F32,
            Elements::F16(_) => Dtype::F16,
            Elements::Bf16(_) => Dtype::Bf16,
        }
    }

    /// The elements, row-major.
    pub fn elements(&self) -> &Elements {
        &self.elements
    }

    /// Bytes of the elements.
    pub fn bytes(&self) -> usize {
        self.rows * self.cols * self.dtype().bytes()
    }

    /// The matrix with elements of another type, rounded to nearest.
    pub fn into_dtype(self, dtype: Dtype) -> Self {
        if self.dtype() == dtype {
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
    pub fn with_zero_rows(self, rows: impl Iterator<Item = usize>) -> Self {
        fn zeroed<T: bytemuck::Pod>(
            elements: &[T],
            cols: usize,
            rows: impl Iterator<Item = usize>,
        ) -> Storage<T> {
            let mut elements = elements.to_vec();
            rows.for_each(|row| elements[row * cols..][..cols].fill(T::zeroed()));
            elements.into()
        }
        let elements = match &self.elements {
            Elements::F32(elements) => Elements::F32(zeroed(elements, self.cols, rows)),
            Elements::F16(elements) => Elements::F16(zeroed(elements, self.cols, rows)),
            Elements::Bf16(elements) => Elements::Bf16(zeroed(elements, self.cols, rows)),
        };
        Self { elements, ..self }
    }

    /// The matrix of these rows, in their order; a row that is not there is refused.
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
        };
        Self::new(rows.len(), self.cols, elements)
    }

    /// The rows of several matrices under one another; all must have the same width and element
    /// type.
    pub fn stacked(parts: Vec<Self>) -> Result<Self> {
        let (cols, dtype) = (parts[0].cols, parts[0].dtype());
        if let Some(odd) = parts.iter().find(|part| part.cols != cols || part.dtype() != dtype) {
            return Err(Error::input(format!(
                "cannot stack a {} matrix of {} columns on one of {dtype} and {cols}",
                odd.dtype(),
                odd.cols
            )));
        }
        let rows = parts.iter().map(|part| part.rows).sum();
        let elements = match dtype {
            Dtype::F32 => Elements::F32(joined(&parts, |elements| match elements {
                Elements::F32(e) => Some(&**e),
                _ => None,
            })),
            Dtype::F16 => Elements::F16(joined(&parts, |elements| match elements {
                Elements::F16(e) => Some(&**e),
                _ => None,
            })),
            Dtype::Bf16 => Elements::Bf16(joined(&parts, |elements| match elements {
                Elements::Bf16(e) => Some(&**e),
                _ => None,
            })),
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
        }
    }

    /// The rows of these numbers in f32, one after the other.
    pub fn rows_of(&self, rows: &[u32], out: &mut [f32]) {
        for (out, &row) in out.chunks_exact_mut(self.cols).zip(rows) {
            self.row(row as usize, out);
        }
    }

    /// The first element that is not a finite number, as (row, column).
    pub fn first_non_finite(&self) -> Option<(usize, usize)> {
        let at = match &self.elements {
            Elements::F32(e) => e.par_iter().position_first(|x| !x.is_finite()),
            Elements::F16(e) => e.par_iter().position_first(|x| !x.is_finite()),
            Elements::Bf16(e) => e.par_iter().position_first(|x| !x.is_finite()),
        }?;
        Some((at / self.cols, at % self.cols))
    }

    /// All elements in f32, row-major.
    pub fn widened(&self) -> Vec<f32> {
        match &self.elements {
            Elements::F32(e) => e.to_vec(),
            Elements::F16(e) => widened(e, |from, to| from.convert_to_f32_slice(to)),
            Elements::Bf16(e) => widened(e, |from, to| from.convert_to_f32_slice(to)),
        }
    }

    /// The matrix in f32, ready for products with many rows.
    pub fn wide(&self) -> Result<Wide> {
        let tensor = Tensor::from_vec(self.widened(), (self.rows, self.cols), &Device::Cpu)
            .map_err(product_failed)?;
        Ok(Wide(tensor.t().map_err(product_failed)?))
    }

    /// Moves the elements of several matrices together into memory on large pages.
    pub fn place_together(matrices: &mut [&mut Self]) -> Result<()> {
        let mut filling = Filling::new(matrices.iter().map(|matrix| matrix.bytes()))?;
        let mut starts = Vec::with_capacity(matrices.len());
        for matrix in matrices.iter_mut() {
            starts.push(filling.add(matrix.raw()));
            // The vector is freed as soon as it is copied: a model is never in memory twice.
            match &mut matrix.elements {
                Elements::F32(e) => *e = Vec::new().into(),
                Elements::F16(e) => *e = Vec::new().into(),
                Elements::Bf16(e) => *e = Vec::new().into(),
            }
        }
        let memory = filling.finish()?;
        for (matrix, start) in matrices.iter_mut().zip(starts) {
            let (memory, len) = (memory.clone(), matrix.rows * matrix.cols);
            match &mut matrix.elements {
                Elements::F32(e) => *e = Storage::Placed { memory, start, len },
                Elements::F16(e) => *e = Storage::Placed { memory, start, len },
                Elements::Bf16(e) => *e = Storage::Placed { memory, start, len },
            }
        }
        Ok(())
    }

    /// The elements as bytes of this machine.
    pub(in crate::model) fn raw(&self) -> &[u8] {
        match &self.elements {
            Elements::F32(e) => bytemuck::cast_slice(e),
            Elements::F16(e) => bytemuck::cast_slice(e),
            Elements::Bf16(e) => bytemuck::cast_slice(e),
        }
    }

    /// `y[b] = W x[b]` for a few rows: `x` is `[batch, cols]`, `y` is `[batch, rows]`.
    ///
    /// Each output is one dot product with a fixed order of additions, so a row's result does not
    /// depend on the batch around it or on the number of threads.
    pub fn apply(&self, x: &[f32], y: &mut [f32]) {
        let batch = x.len() / self.cols;
        debug_assert_eq!(y.len(), batch * self.rows);
        // A task reads about 64 KiB of weights: long enough to pay for the hand-over, short enough
        // to balance.
        let rows_per_task =
            (65_536 / (self.cols * self.dtype().bytes())).clamp(4, 256).next_multiple_of(4);
        let kernel = dot::DotKernel::detect();
        let outputs = dot::Outputs::split(y, batch, self.rows, rows_per_task);
        outputs.into_par_iter().for_each(|mut out| {
            let range = out.first * self.cols..(out.first + out.rows) * self.cols;
            match &self.elements {
                Elements::F32(e) => kernel.rows(&e[range], x, self.cols, &mut out),
                Elements::F16(e) => kernel.rows(&e[range], x, self.cols, &mut out),
                Elements::Bf16(e) => kernel.rows(&e[range], x, self.cols, &mut out),
            }
        });
    }
}

/// A matrix widened to f32 and transposed for products with many rows.
pub struct Wide(Tensor);

impl Wide {
    /// `X W^T` for `x` of `[n, cols]`; the result is `[n, rows]`.
    pub fn apply(&self, x: &[f32]) -> Result<Vec<f32>> {
        let cols = self.0.dim(0).map_err(product_failed)?;
        let x =
            Tensor::from_slice(x, (x.len() / cols, cols), &Device::Cpu).map_err(product_failed)?;
        x.matmul(&self.0)
            .and_then(|y| y.flatten_all())
            .and_then(|y| y.to_vec1())
            .map_err(product_failed)
    }

    /// `Y W` for `y` of `[n, rows]`, the product that carries gradients back; the result is `[n,
    /// cols]`.
    pub fn back(&self, y: &[f32]) -> Result<Vec<f32>> {
        let product = || {
            let weight = self.0.t()?;
            let y =
                Tensor::from_slice(y, (y.len() / weight.dim(0)?, weight.dim(0)?), &Device::Cpu)?;
            y.matmul(&weight)?.flatten_all()?.to_vec1()
        };
        product().map_err(product_failed)
    }
}

fn product_failed(error: candle_core::Error) -> Error {
    Error::run(format!("matrix product: {error}"))
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

fn widened<T: Copy + Sync>(from: &[T], convert: impl Fn(&[T], &mut [f32]) + Sync) -> Vec<f32> {
    let mut to = vec![0.0; from.len()];
    to.par_chunks_mut(CONVERT_CHUNK)
        .zip(from.par_chunks(CONVERT_CHUNK))
        .for_each(|(to, from)| convert(from, to));
    to
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

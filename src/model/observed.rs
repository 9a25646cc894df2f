//! Rows that an observer may read: in this process's memory, or on a device until they are read.

use std::cell::OnceCell;
use std::ops::Deref;

use candle_core::{DType, Tensor};

/// A slice of f32 that is fetched when it is first read.
pub struct ObservedRows<'a> {
    here: OnceCell<Here<'a>>,
    on_device: Option<&'a Tensor>,
}

enum Here<'a> {
    Borrowed(&'a [f32]),
    Fetched(Vec<f32>),
}

impl<'a> ObservedRows<'a> {
    /// Rows in memory.
    pub fn here(rows: &'a [f32]) -> Self {
        Self { here: OnceCell::from(Here::Borrowed(rows)), on_device: None }
    }

    /// The elements of a tensor, widened to f32.
    pub fn on_device(rows: &'a Tensor) -> Self {
        Self { here: OnceCell::new(), on_device: Some(rows) }
    }
}

impl Deref for ObservedRows<'_> {
    type Target = [f32];

    /// # Panics
    /// When the device cannot be read.
    fn deref(&self) -> &[f32] {
        let fetch = || {
            let tensor = self.on_device.expect("rows are here or on a device");
            let fetched = tensor
                .to_dtype(DType::F32)
                .and_then(|rows| rows.flatten_all())
                .and_then(|rows| rows.to_vec1());
            Here::Fetched(
                fetched.unwrap_or_else(|error| panic!("reading a device's memory: {error}")),
            )
        };
        match self.here.get_or_init(fetch) {
            Here::Borrowed(rows) => rows,
            Here::Fetched(rows) => rows,
        }
    }
}

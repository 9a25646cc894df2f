//! Rows that an observer may read: in this process's memory, or on a device until they are read.

use std::cell::OnceCell;
use std::ops::Deref;

use candle_core::{DType, Tensor};

/// A slice of f32 that is fetched when it is first read.
pub struct ObservedRows<'a> {
    here: OnceCell<Here<'a>>,
    there: Option<There<'a>>,
}

/// Where rows are until they are read.
enum There<'a> {
    Stored(&'a Tensor),
    Made(&'a dyn Fn() -> candle_core::Result<Tensor>),
}

enum Here<'a> {
    Borrowed(&'a [f32]),
    Fetched(Vec<f32>),
}

impl<'a> ObservedRows<'a> {
    /// Rows in memory.
    pub fn here(rows: &'a [f32]) -> Self {
        Self { here: OnceCell::from(Here::Borrowed(rows)), there: None }
    }

    /// The elements of a tensor, widened to f32.
    pub fn on_device(rows: &'a Tensor) -> Self {
        Self { here: OnceCell::new(), there: Some(There::Stored(rows)) }
    }

    /// The elements of a tensor, f32, that is computed when they are first read.
    pub fn made(make: &'a dyn Fn() -> candle_core::Result<Tensor>) -> Self {
        Self { here: OnceCell::new(), there: Some(There::Made(make)) }
    }
}

impl Deref for ObservedRows<'_> {
    type Target = [f32];

    /// # Panics
    /// When the device cannot be read.
    fn deref(&self) -> &[f32] {
        let fetch = || {
            let made = match self.there.as_ref().expect("rows are here or on a device") {
                There::Stored(rows) => Ok((*rows).clone()),
                There::Made(make) => make(),
            };
            let fetched = made.and_then(|rows| rows.to_dtype(DType::F32)?.flatten_all()?.to_vec1());
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

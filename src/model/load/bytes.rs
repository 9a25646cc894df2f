//! The bytes of a model file: mapped from disk or embedded in the program.

use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use crate::{Result, error, input_file};

/// Read-only bytes of one file.
pub enum Bytes {
    /// Mapped from disk.
    Mapped(Mmap),
    /// Part of the program.
    Embedded(&'static [u8]),
}

impl Bytes {
    /// Maps a file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = input_file::open(path, input_file::WEIGHTS)?;
        // SAFETY: the map is read-only and private to this value. Another process could still
        // truncate the file. Weights are copied out during the load, so that risk ends with it.
        let map =
            unsafe { Mmap::map(&file) }.map_err(|cause| error::io("opening", path, &cause))?;
        Ok(Self::Mapped(map))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Embedded(bytes) => bytes,
        }
    }
}

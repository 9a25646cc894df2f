//! The bytes of a model file: mapped from disk or embedded in the program.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use crate::{Result, error};

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
        let failed = |cause: std::io::Error| error::io("opening", path, &cause);
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
        // SAFETY: the map is read-only and private to this value. Another process could still
        // truncate the file. Weights are copied out during the load, so that risk ends with it.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
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

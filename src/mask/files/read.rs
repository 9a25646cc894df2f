//! Reading a file of any kind.

use std::path::Path;

use super::array::Split;
use super::contents::Contents;
use super::format::Format;
use super::{native, npy, pth, tsv};
use crate::numbers::count;
use crate::{Error, Result, error};

/// The largest file that is read. Importance of the largest models, in the widest type and as text,
/// is ten times smaller.
pub(super) const MAX_FILE_BYTES: u64 = 256 << 20;

/// Reads a file of any known kind; `split` says how the columns of a flat array divide into heads.
pub fn read(path: &Path, split: &Split) -> Result<Contents> {
    let io = |error: std::io::Error| error::io("reading", path, &error);
    let metadata = std::fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        // A device or pipe has no size and may never end.
        return Err(Error::input(format!(
            "{}: expected a file, found a folder, device or pipe",
            path.display()
        )));
    }
    let size = metadata.len();
    if size > MAX_FILE_BYTES {
        return Err(Error::input(format!(
            "{}: expected a mask or importance of at most {} bytes, found {} bytes",
            path.display(),
            count(MAX_FILE_BYTES as usize),
            count(size as usize)
        )));
    }
    let bytes = std::fs::read(path).map_err(io)?;
    let format = match Format::of_content(&bytes) {
        // A damaged file looks like text; then the extension says what it was meant to be.
        Format::Tsv => Format::of_path(path).unwrap_or(Format::Tsv),
        shown => shown,
    };
    parse_as(format, &bytes, &path.display().to_string(), split)
}

/// Reads the bytes of a file of any known kind; `name` is what errors call it.
pub fn parse(bytes: &[u8], name: &str, split: &Split) -> Result<Contents> {
    parse_as(Format::of_content(bytes), bytes, name, split)
}

fn parse_as(format: Format, bytes: &[u8], name: &str, split: &Split) -> Result<Contents> {
    match format {
        Format::Safetensors => native::parse(bytes, name),
        Format::Pth => pth::parse(bytes, name)?.into_contents(name, split),
        Format::Npy => npy::parse(bytes, name)?.into_contents(name, split),
        Format::Tsv => tsv::parse(bytes, name)?.into_contents(name, split),
    }
}

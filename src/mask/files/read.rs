//! Reading a file of any kind.

use std::path::Path;

use super::array::Split;
use super::contents::Contents;
use super::format::Format;
use super::{native, npy, pth, tsv};
use crate::{Result, input_file};

/// Reads a file of any known kind; `split` says how the columns of a flat array divide into heads.
pub fn read(path: &Path, split: &Split) -> Result<Contents> {
    let bytes = input_file::read(path, input_file::MASK)?;
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

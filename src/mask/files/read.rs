//! Reading a file of any kind.

use std::path::Path;

use super::array::Split;
use super::contents::Contents;
use super::format::Format;
use super::{native, npy, pth, tsv};
use crate::error::shortened;
use crate::{Error, Result, input_file};

/// Reads a file of any known kind; `split` says how the columns of a flat array divide into heads.
pub fn read(path: &Path, split: &Split) -> Result<Contents> {
    let bytes = input_file::read(path, input_file::MASK)?;
    let name = path.display().to_string();
    let format = match (Format::of_content(&bytes), Format::of_path(path)) {
        // A damaged file looks like text; then the extension says what it was meant to be.
        (Format::Tsv, Ok(meant)) => meant,
        (Format::Tsv, Err(_)) if !tsv::begins(&bytes) => {
            return Err(Error::input(format!(
                "{name} is no mask or plan: expected a .safetensors, .pth or .npy file, or numbers with tabs between them, found {}",
                beginning(&bytes)
            )));
        }
        (shown, _) => shown,
    };
    parse_as(format, &bytes, &name, split)
}

/// What a file of no known kind is, in words.
fn beginning(bytes: &[u8]) -> String {
    let start = bytes.get(..bytes.len().min(400)).unwrap_or(bytes).trim_ascii_start();
    match start.split(|byte| *byte == b'\n').next() {
        None | Some([]) => "an empty file".to_owned(),
        Some(line) => {
            let line = String::from_utf8_lossy(line.trim_ascii_end());
            format!("a file that begins with {:?}", shortened(&line))
        }
    }
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

//! Mask and importance files: kscope's own safetensors form, and the raw arrays of others (`.pth`,
//! `.npy`, `.tsv`).
//!
//! Readers take bytes that may come from anywhere. They execute nothing, allocate no more than the
//! file's own size justifies and refuse with one sentence. A raw array of which every value is 0 or
//! 1 is a mask, any other is importance.

mod array;
mod check;
pub mod native;
pub mod npy;
mod pickle;
pub mod pth;
mod save;
pub mod tsv;

use std::path::Path;

pub use array::Split;
pub use check::{Binding, check};
pub use save::{overwrite, save};

use super::{ChannelMask, Importance, Shape, Window};
use crate::{Error, Result, error};

/// The largest file that is read: importance of the largest models, in the widest type and as text,
/// is ten times smaller.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Alignment of kscope's own masks unless something else is said.
pub const DEFAULT_ALIGN: usize = 8;

/// Alignment of the LeanK authors' published masks.
pub const UPSTREAM_ALIGN: usize = 32;

/// Where a mask or importance belongs and how it is meant to be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// Name of the model; empty where unknown.
    pub model: String,
    /// [`fingerprint`](super::fingerprint) of the model; empty = not bound to one.
    pub fingerprint: String,
    /// Parts of the cache that are never pruned, in tokens.
    pub window: Window,
    /// Kept channels per head come in multiples of this.
    pub align: usize,
    /// How the file was made: rule, data, steps, losses, seeds, tool version.
    pub recipe: serde_json::Value,
}

impl Origin {
    /// What is assumed of a raw array: that the authors made it, for their window and alignment;
    /// bound to no model.
    pub fn upstream(recipe: serde_json::Value) -> Self {
        Self {
            model: String::new(),
            fingerprint: String::new(),
            window: Window::UPSTREAM,
            align: UPSTREAM_ALIGN,
            recipe,
        }
    }
}

/// A mask file.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskFile {
    /// The mask.
    pub mask: ChannelMask,
    /// The importance that it was selected from.
    pub importance: Option<Importance>,
    /// The sparsity that was asked for, before alignment.
    pub target_sparsity: Option<f64>,
    /// Model, window, alignment and recipe.
    pub origin: Origin,
}

/// An importance file: what a rule found, before anything is selected.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportanceFile {
    /// The importance.
    pub importance: Importance,
    /// Model, window, alignment and recipe; window and alignment are what masks made from it
    /// inherit.
    pub origin: Origin,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Contents {
    /// A mask, perhaps with its importance.
    Mask(MaskFile),
    /// Importance alone.
    Importance(ImportanceFile),
}

impl Contents {
    /// The axes of what the file holds.
    pub fn shape(&self) -> Shape {
        match self {
            Self::Mask(file) => file.mask.shape(),
            Self::Importance(file) => file.importance.shape(),
        }
    }

    /// Model, window, alignment and recipe.
    pub fn origin(&self) -> &Origin {
        match self {
            Self::Mask(file) => &file.origin,
            Self::Importance(file) => &file.origin,
        }
    }

    /// The same, to change.
    pub fn origin_mut(&mut self) -> &mut Origin {
        match self {
            Self::Mask(file) => &mut file.origin,
            Self::Importance(file) => &mut file.origin,
        }
    }

    /// The importance, of either kind of file.
    pub fn importance(&self) -> Option<&Importance> {
        match self {
            Self::Mask(file) => file.importance.as_ref(),
            Self::Importance(file) => Some(&file.importance),
        }
    }

    /// The mask file, or a sentence that says what was found in the file called `name`.
    pub fn into_mask(self, name: &str) -> Result<MaskFile> {
        match self {
            Self::Mask(file) => Ok(file),
            Self::Importance(_) => Err(Error::input(format!(
                "{name}: expected a mask, found importance alone (`kscope mask make --importance` makes a mask of it)"
            ))),
        }
    }
}

/// The kinds of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// kscope's own: safetensors.
    Safetensors,
    /// A PyTorch archive that holds one tensor.
    Pth,
    /// A NumPy array.
    Npy,
    /// Text: one row per layer, one column per KV head and channel.
    Tsv,
}

impl Format {
    /// The format that a path's extension asks for.
    pub fn of_path(path: &Path) -> Result<Self> {
        let extension = path
            .extension()
            .map(|extension| extension.to_string_lossy().to_ascii_lowercase())
            .unwrap_or_default();
        match extension.as_str() {
            "safetensors" => Ok(Self::Safetensors),
            "pth" | "pt" => Ok(Self::Pth),
            "npy" => Ok(Self::Npy),
            "tsv" => Ok(Self::Tsv),
            _ => Err(Error::input(format!(
                "{}: expected a name that ends in .safetensors, .pth, .npy or .tsv, found {extension:?}",
                path.display()
            ))),
        }
    }

    /// The format that a file's content shows; text is the last resort, because any bytes may be
    /// meant as text.
    pub fn of_content(bytes: &[u8]) -> Self {
        match bytes {
            [b'P', b'K', ..] => Self::Pth,
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Self::Npy,
            // Pickle protocol 2 and later: an archive of old PyTorch, which the `.pth` reader
            // refuses by name.
            [0x80, 2..=5, ..] => Self::Pth,
            [_, _, _, _, _, _, _, _, b'{', ..] => Self::Safetensors,
            _ => Self::Tsv,
        }
    }
}

/// Reads a file of any known kind; `split` says how the columns of a flat array divide into heads.
pub fn read(path: &Path, split: &Split) -> Result<Contents> {
    let io = |error: std::io::Error| error::io("reading", path, &error);
    let metadata = std::fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        // A device or pipe says nothing about its size and may never end.
        return Err(Error::input(format!(
            "{}: expected a file, found a folder, device or pipe",
            path.display()
        )));
    }
    let size = metadata.len();
    if size > MAX_FILE_BYTES {
        return Err(Error::input(format!(
            "{}: expected a mask or importance of at most {MAX_FILE_BYTES} bytes, found {size} bytes",
            path.display()
        )));
    }
    let bytes = std::fs::read(path).map_err(io)?;
    let format = match Format::of_content(&bytes) {
        // A damaged file looks like text; the name knows better what it should have been.
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

/// The bytes of a file of this format. A raw format holds the mask, or the importance where
/// `prefer_importance` says so or nothing else is there.
pub fn encode(contents: &Contents, format: Format, prefer_importance: bool) -> Result<Vec<u8>> {
    if format == Format::Safetensors {
        return native::encode(contents);
    }
    let array = array::Array::of(contents, prefer_importance)?;
    match format {
        Format::Pth => pth::encode(&array),
        Format::Npy => Ok(npy::encode(&array)),
        _ => Ok(tsv::encode(&array)),
    }
}

#[cfg(test)]
mod tests;

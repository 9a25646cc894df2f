//! File formats, recognised by name and by content.

use std::path::Path;

use crate::{Error, Result};

/// A file format.
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

    /// Refuses a path whose extension does not ask for kscope's own format.
    pub fn expect_own(path: &Path) -> Result<()> {
        match Self::of_path(path)? {
            Self::Safetensors => Ok(()),
            _ => Err(Error::input(format!(
                "{}: expected a kscope file, which ends in .safetensors",
                path.display()
            ))),
        }
    }

    /// The format that a file's content shows. Text comes last, because any bytes may be meant as
    /// text.
    pub fn of_content(bytes: &[u8]) -> Self {
        match bytes {
            // Before those with fewer letters: the first eight bytes are a length, any of them.
            [_, _, _, _, _, _, _, _, b'{', ..] => Self::Safetensors,
            [b'P', b'K', ..] => Self::Pth,
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Self::Npy,
            // Pickle protocol 2 and later: an archive of old PyTorch, which the `.pth` reader
            // refuses by name.
            [0x80, 2..=5, ..] => Self::Pth,
            _ => Self::Tsv,
        }
    }
}

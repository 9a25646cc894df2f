//! Encoding and atomic saves: the old file stays until the new one is complete.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use tempfile::NamedTempFile;

use super::array::Array;
use super::contents::Contents;
use super::format::Format;
use super::{native, npy, pth, tsv};
use crate::{Error, Result, error};

/// Writes contents in the format that the path's extension names.
pub fn save(path: &Path, contents: &Contents, prefer_importance: bool) -> Result<()> {
    overwrite(path, &encode(contents, Format::of_path(path)?, prefer_importance)?)
}

/// The bytes of a file of this format. A raw format holds the mask, or the importance where
/// `prefer_importance` says so or nothing else is there.
pub fn encode(contents: &Contents, format: Format, prefer_importance: bool) -> Result<Vec<u8>> {
    if format == Format::Safetensors {
        return native::encode(contents);
    }
    let array = Array::of(contents, prefer_importance)?;
    match format {
        Format::Pth => pth::encode(&array),
        Format::Npy => Ok(npy::encode(&array)),
        _ => Ok(tsv::encode(&array)),
    }
}

/// Replaces a file by `bytes`: a temporary file in the same folder, fsync, rename. A failure leaves
/// the old file as it was.
pub fn overwrite(path: &Path, bytes: &[u8]) -> Result<()> {
    let io = |error: std::io::Error| error::io("writing", path, &error);
    let mut file = temporary(path)?;
    file.write_all(bytes).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|failure| io(failure.error))?;
    sync_folder(path);
    Ok(())
}

/// Refuses a path that [`overwrite`] could not write to, before hours of work end there. Nothing is
/// left behind, and what is there stays as it is.
pub fn check_writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::input(format!(
            "{}: expected the name of a file to write, found a folder",
            path.display()
        )));
    }
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(Error::input(format!(
            "{}: expected a folder that is there, found none called {}",
            path.display(),
            folder.display()
        )));
    }
    temporary(path).map(drop)
}

/// Makes a new file of what `write` writes, which appears when it is whole. A file that is there
/// already is an error and stays.
pub fn create(path: &Path, write: &mut dyn FnMut(&mut File) -> Result<()>) -> Result<()> {
    let io = |error: std::io::Error| error::io("writing", path, &error);
    let mut file = temporary(path)?;
    write(file.as_file_mut())?;
    file.as_file().sync_all().map_err(io)?;
    file.persist_noclobber(path).map_err(|failure| io(failure.error))?;
    sync_folder(path);
    Ok(())
}

/// Refuses a path in a folder that is not there.
///
/// # Errors
/// With the path and the missing folder.
pub fn expect_folder(path: &Path) -> Result<()> {
    let folder = folder_of(path);
    match folder.is_dir() {
        true => Ok(()),
        false => Err(Error::input(format!(
            "writing {}: expected a folder {}, found none",
            path.display(),
            folder.display()
        ))),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A temporary file in the folder of `path`.
fn temporary(path: &Path) -> Result<NamedTempFile> {
    // Otherwise the error would name the temporary file.
    expect_folder(path)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".kscope-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are private by default. A mask is made to be shared, as far as the user's
        // umask allows.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder_of(path)).map_err(|cause| {
        let said = cause.to_string();
        // The crate adds the name of the temporary file, which means nothing to a user.
        let said = said.split(" at path ").next().unwrap_or_default();
        error::io("writing", path, &std::io::Error::new(cause.kind(), said))
    })
}

/// Makes a rename durable, too. Some file systems cannot sync a folder; the file is complete either
/// way.
fn sync_folder(path: &Path) {
    if let Ok(folder) = File::open(folder_of(path)) {
        let _ = folder.sync_all();
    }
}

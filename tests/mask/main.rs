//! Channel masks from the outside: the published mask, foreign files, properties and the command
//! line.

mod cli;
mod foreign;
mod properties;
mod published;
mod selection;

use std::path::{Path, PathBuf};

/// A file of this folder's vectors.
fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/mask").join(name)
}

/// The published Llama mask, which lies outside the repository; None, loudly, where it is missing.
fn published_mask() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/fixtures/leank/llama3.1-8b-instruct.pth");
    if !path.exists() {
        eprintln!("SKIPPED: {} is missing", path.display());
        return None;
    }
    Some(path)
}

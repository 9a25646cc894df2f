//! Shared code of the integration tests. It is a crate, not a module that every test binary
//! includes, because no binary uses all of it and the rest would be dead code.

pub mod gguf;
pub mod models;
pub mod needs;
pub mod plain;
pub mod plans;
pub mod readers;
pub mod sides;
pub mod tokens;

#[path = "../../../kernels/nvcc.rs"]
pub mod nvcc;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use assert_cmd::Command;
use kscope::model::Model;
use kscope::model::load::{Opened, Source};

pub use needs::require;

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// The folder `tests/vectors`.
pub fn vectors() -> PathBuf {
    root().join("tests/vectors")
}

/// A command that runs the program.
pub fn kscope() -> Command {
    Command::cargo_bin("kscope").unwrap()
}

/// The embedded model.
pub fn demo() -> Arc<Model> {
    Arc::new(Opened::open(&Source::Demo).unwrap().load(None, &mut |_| Ok(())).unwrap())
}

/// Largest difference relative to the largest expected value. Panics on NaN.
pub fn error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().all(|x| x.is_finite()), "a value is not finite");
    let largest = expected.iter().fold(0.0, |max: f64, x| max.max(f64::from(x.abs())));
    let difference =
        found.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    if difference == 0.0 { 0.0 } else { difference / largest }
}

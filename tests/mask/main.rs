//! Channel masks: the published mask, foreign files, properties and the command line.

mod cli;
mod foreign;
mod making;
mod plan_cli;
mod plan_files;
mod properties;
mod published;
mod selection;
mod shipped_plans;

use std::path::PathBuf;

use kscope_testing::{needs, require, vectors};

/// A file of this folder's vectors.
fn vector(name: &str) -> PathBuf {
    vectors().join("mask").join(name)
}

/// The published Llama mask.
#[track_caller]
fn published_mask() -> Option<PathBuf> {
    require("published-masks").then(|| needs::published_mask().unwrap())
}

//! kscope: a terminal inspector for K-cache channel pruning.
//!
//! `docs/ARCHITECTURE.md` describes the modules and what each may import; a test enforces it.

pub mod attention;
pub mod bench;
pub mod cache;
pub mod capacity;
pub mod cli;
pub mod decode;
pub mod element;
pub mod error;
pub mod eval;
pub mod input_file;
pub mod json_keys;
pub mod json_lines;
pub mod learn;
pub mod machine;
pub mod mask;
pub mod model;
pub mod numbers;
pub mod printable;
pub mod random;
pub mod schema;
pub mod spread;
pub mod tui;

pub use error::{Error, Result};

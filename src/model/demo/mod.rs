//! The language of the embedded demo model, which recalls facts stated as plain sentences.

pub mod generator;

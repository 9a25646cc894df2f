//! Chat templates: Jinja as transformers renders it. minijinja parses and runs them; between the
//! two, `syntax` puts Python's operators in the place of minijinja's. Filters, tests, methods and
//! printing are Python's.

// A template runs on a thread of its own, whose panic becomes a sentence.
#![cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "arguments are counted when they are taken")
)]

mod budget;
mod chat;
mod dates;
mod dumps;
mod filters;
mod format;
mod generation;
mod given;
mod methods;
mod operators;
mod print;
mod python;
mod syntax;
mod values;

pub use chat::ChatTemplate;

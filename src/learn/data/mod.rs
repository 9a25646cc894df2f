//! Data for learning and for the check: recall tasks hidden in a haystack, and ordinary text.

// What others wrote must not be able to end the program.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod haystack;
mod tasks;

pub use haystack::{
    Haystack, HaystackPart, HaystackPiece, SENTENCES, haystack_files, held_out, load, source,
};
pub use tasks::{
    Draw, Question, Task, Text, Tokens, draw, draw_of_length, text_rows, tokens, window_of,
};
pub(crate) use tasks::{FILLER, uuid};

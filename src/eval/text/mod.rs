//! The text suite: what a cache loses over chunks of text, in the figures of llama.cpp's
//! `llama-perplexity --kl-divergence`.

mod base;
mod chunks;
mod measure;
mod statistics;

pub use base::{BaseFile, BaseWriter};
pub use chunks::{EvalText, begins, chunks, first_scored};
pub use measure::{ChunkLosses, ChunkReference, measure};
pub use statistics::{KlStatistics, MeanError, ScoredLosses};

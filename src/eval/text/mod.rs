//! The text suite: what a cache loses over chunks of text, in the figures of llama.cpp's
//! `llama-perplexity --kl-divergence`.

mod base;
mod chunks;
mod measure;
mod statistics;

pub use base::{BaseFile, BaseWriter};
pub use chunks::{TextPiece, begins, chunks, first_scored};
pub use measure::{ChunkLosses, Reference, measure};
pub use statistics::{KlStatistics, Losses, MeanError};

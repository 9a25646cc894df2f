//! Decoding: sessions, the program's `run`, dense against pruned sides, and masks that change on the
//! way.

mod comparison;
mod masked;
mod numbers;
mod retune;
mod run;
mod session;

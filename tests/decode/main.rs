//! Decoding: sessions, the `run` command, dense against pruned sides, and masks that change during
//! decode.

mod coded;
mod comparison;
mod degenerate;
mod masked;
mod numbers;
mod plans;
mod retune;
mod run;
mod session;
mod turns;
mod weak_steps;

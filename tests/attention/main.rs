//! Decode attention on the CPU: against the oracle, the inspector's view of it, and its benchmark.

mod bench;
mod exact;
mod explain;
mod plans;
mod upstream;

//! Decode attention on the CPU: against its oracle, what the inspector sees of it, and its bench.

mod bench;
mod exact;
mod explain;
mod upstream;

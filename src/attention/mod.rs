//! Decode attention over a cache.

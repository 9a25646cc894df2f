//! K/V storage.

//! What walking over values may cost. minijinja's fuel counts its own work; a list that holds
//! another one twice, which holds another one twice, is small and takes ages to print or compare.

use std::cell::Cell;

use minijinja::{Error, ErrorKind};

/// Values, or 64 bytes of text each, in one rendering.
const MOST: u64 = 4_000_000;

thread_local! {
    /// Every rendering has a thread of its own.
    static LEFT: Cell<u64> = const { Cell::new(MOST) };
}

/// Counts one value and its text. Errors: too many.
pub fn spend(text: usize) -> Result<(), Error> {
    let left = LEFT.get().checked_sub(1 + text as u64 / 64);
    LEFT.set(left.unwrap_or(0));
    left.map(drop).ok_or_else(|| Error::from(ErrorKind::OutOfFuel))
}

//! What a card has to offer: memory, copies and launches, all in one order.

use crate::Result;
use crate::attention::cuda::launch::Launch;

/// A device. Its operations take effect in the order in which they are asked for; none but [`Self::read`] waits for an earlier
/// one.
pub trait Device {
    /// Memory of the device, freed when dropped, after every operation that was asked for before.
    type Memory;

    /// Takes memory. What is in it is undefined.
    fn allocate(&self, bytes: usize) -> Result<Self::Memory>;

    /// The address of the first byte, a multiple of 256.
    fn address(&self, memory: &Self::Memory) -> u64;

    /// Copies `bytes` to `offset`; the slice is free again when this returns.
    fn write(&self, memory: &mut Self::Memory, offset: usize, bytes: &[u8]) -> Result<()>;

    /// Fills `bytes` from `offset` on, waiting for every operation before.
    fn read(&self, memory: &Self::Memory, offset: usize, bytes: &mut [u8]) -> Result<()>;

    /// Copies all of `from` to the start of `to`.
    fn copy(&self, from: &Self::Memory, to: &mut Self::Memory) -> Result<()>;

    /// Runs a kernel. Every address in its parameters is of memory that is alive.
    fn launch(&self, launch: &Launch) -> Result<()>;

    /// Multiprocessors, over which work is spread.
    fn multiprocessors(&self) -> usize;
}

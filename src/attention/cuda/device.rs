//! What a card has to offer: memory, copies and launches, all in one order.

use crate::Result;
use crate::attention::cuda::launch::Launch;

/// A device. Its operations take effect in the order in which they are asked for; none but
/// [`Self::read`] waits for an earlier one.
pub trait Device {
    /// Memory of the device, freed when dropped, after every operation that was asked for before.
    type Memory;

    /// Work that has been noted.
    type Recording;

    /// Takes memory. What is in it is undefined.
    fn allocate(&self, bytes: usize) -> Result<Self::Memory>;

    /// The address of the first byte, a multiple of 256.
    fn address(&self, memory: &Self::Memory) -> u64;

    /// Copies `bytes` to `offset`; the slice is free again when this returns.
    fn write(&self, memory: &mut Self::Memory, offset: usize, bytes: &[u8]) -> Result<()>;

    /// Copies `bytes` to an address of memory that is alive and that large; the slice is free again
    /// when this returns.
    fn write_at(&self, address: u64, bytes: &[u8]) -> Result<()>;

    /// Fills `bytes` from `offset` on, waiting for every operation before.
    fn read(&self, memory: &Self::Memory, offset: usize, bytes: &mut [u8]) -> Result<()>;

    /// Copies all of `from` to the start of `to`.
    fn copy(&self, from: &Self::Memory, to: &mut Self::Memory) -> Result<()>;

    /// Runs a kernel. Every address in its parameters is of memory that is alive.
    fn launch(&self, launch: &Launch) -> Result<()>;

    /// Notes what `work` asks for, instead of doing it, so that [`Self::repeat`] asks for all of it
    /// at once; `None` where this device cannot. Whatever `work` takes from the device it gives
    /// back before it ends, and all of it has been done before once, so that nothing has to be
    /// loaded.
    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Option<Self::Recording>>;

    /// Does what was recorded: the same launches, over the same memory, whatever that holds now.
    /// `work` is what was recorded, for a device that does it by asking again.
    fn repeat(
        &self,
        recording: &Self::Recording,
        work: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()>;

    /// Multiprocessors, over which work is spread.
    fn multiprocessors(&self) -> usize;
}

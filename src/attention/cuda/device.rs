//! The operations that a GPU offers: memory, copies and launches, all in one order.

use crate::attention::cuda::launch::{Kernel, Launch};
use crate::attention::cuda::params::Numbers;
use crate::{Error, Result, numbers};

/// Memory of a device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeMemory {
    /// What an allocation may still take.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

impl FreeMemory {
    /// Refuses what there is no memory for, with both sizes; `what` names the use.
    pub fn check(self, what: &str, bytes: u64) -> Result<()> {
        if bytes <= self.free {
            return Ok(());
        }
        Err(Error::input(format!(
            "{what} needs {} on the GPU, which has {} left of {}: a shorter context, fewer sequences or quantised weights take less",
            numbers::bytes(bytes),
            numbers::bytes(self.free),
            numbers::bytes(self.total)
        )))
    }
}

/// [`FreeMemory::check`] before memory of the device is taken.
pub fn check_memory<D: Device>(device: &D, what: &str, bytes: usize) -> Result<()> {
    device.free_memory()?.map_or(Ok(()), |memory| memory.check(what, bytes as u64))
}

/// A matrix product: `y = x W^T`, summed in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatrixProduct {
    /// W, `[outputs, inputs]`.
    pub weight: Numbers,
    /// `[rows, inputs]`, in the type of the weights.
    pub x: Numbers,
    /// `[rows, outputs]`, in the type of the weights or f32.
    pub y: Numbers,
    /// Rows of x and y.
    pub rows: usize,
    /// Columns of x and W.
    pub inputs: usize,
    /// Columns of y.
    pub outputs: usize,
}

/// A device. Its operations take effect in the order of the calls; only [`Self::read`] waits for
/// earlier ones.
pub trait Device {
    /// Memory of the device. Dropping it frees it after every earlier operation.
    type Memory;

    /// A recorded sequence of operations.
    type Recording;

    /// Allocates memory; its contents are undefined.
    fn allocate(&self, bytes: usize) -> Result<Self::Memory>;

    /// The address of the first byte, a multiple of 256.
    fn address(&self, memory: &Self::Memory) -> u64;

    /// Copies `bytes` to `offset`; the slice may be reused once this returns.
    fn write(&self, memory: &mut Self::Memory, offset: usize, bytes: &[u8]) -> Result<()>;

    /// Copies `bytes` to an address, where there must be that much live memory; the slice may be
    /// reused once this returns.
    fn write_at(&self, address: u64, bytes: &[u8]) -> Result<()>;

    /// Copies from `offset` into `bytes`, after waiting for every earlier operation.
    fn read(&self, memory: &Self::Memory, offset: usize, bytes: &mut [u8]) -> Result<()>;

    /// Copies from an address, where there must be that much live memory, after waiting for every
    /// earlier operation.
    fn read_at(&self, address: u64, bytes: &mut [u8]) -> Result<()>;

    /// Memory that is left, where the device knows it.
    fn free_memory(&self) -> Result<Option<FreeMemory>>;

    /// Copies all of `from` to the start of `to`.
    fn copy(&self, from: &Self::Memory, to: &mut Self::Memory) -> Result<()>;

    /// Runs a kernel. Every address in its parameters must be of live memory.
    fn launch(&self, launch: &Launch) -> Result<()>;

    /// Multiplies matrices. Every address must be of live memory.
    fn multiply(&self, product: &MatrixProduct) -> Result<()>;

    /// Records the operations of `work` instead of doing them, so that [`Self::repeat`] can submit
    /// them all at once. `work` must free everything that it allocates, and must have run before, so
    /// that nothing is left to load. After an error nothing was done, and `work` can still be done
    /// operation by operation.
    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Self::Recording>;

    /// Does what was recorded: the same launches over the same memory, with its current contents.
    /// `work` is what was recorded, for a device that repeats it by running it again.
    fn repeat(
        &self,
        recording: &Self::Recording,
        work: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()>;

    /// Blocks of a kernel that run at once, over all multiprocessors.
    fn blocks(&self, kernel: Kernel) -> usize;
}

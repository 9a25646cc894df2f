//! Storage of the elements of matrices: a vector while a model is read, then all together on large
//! pages.
//!
//! A decode step reads every weight once. With ordinary pages each 4 KiB needs a walk through the
//! page tables, which is slow under a hypervisor; large pages make the same reads 1.3 to 1.4 times
//! as fast (docs/DECISIONS.md).

use std::ops::Deref;
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::{Mmap, MmapMut};

use crate::numbers::count;
use crate::{Error, Result};

/// Elements of a matrix.
#[derive(Debug, Clone)]
pub enum Storage<T> {
    /// In a vector of their own.
    Own(Vec<T>),
    /// In memory shared with other matrices.
    Placed {
        /// The memory.
        memory: Arc<Mmap>,
        /// First byte.
        start: usize,
        /// Number of elements.
        len: usize,
    },
}

impl<T: Pod> Deref for Storage<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Own(elements) => elements,
            Self::Placed { memory, start, len } => {
                bytemuck::cast_slice(&memory[*start..*start + len * std::mem::size_of::<T>()])
            }
        }
    }
}

impl Storage<u8> {
    /// Bytes in memory of their own, which `fill` writes; zeros where it does not. What is large and
    /// lives for a while is not taken from the heap, which keeps much of it when it is given back.
    pub fn filled(len: usize, fill: impl FnOnce(&mut [u8])) -> Result<Self> {
        let mut memory = mapped(len)?;
        fill(&mut memory[..len]);
        Ok(Self::Placed { memory: sealed(memory)?, start: 0, len })
    }
}

fn mapped(bytes: usize) -> Result<MmapMut> {
    MmapMut::map_anon(bytes.max(1))
        .map_err(|cause| Error::run(format!("taking {} bytes: {cause}", count(bytes))))
}

fn sealed(memory: MmapMut) -> Result<Arc<Mmap>> {
    let sealed = memory.make_read_only();
    sealed.map(Arc::new).map_err(|cause| Error::run(format!("sealing the weights: {cause}")))
}

impl<T> From<Vec<T>> for Storage<T> {
    fn from(elements: Vec<T>) -> Self {
        Self::Own(elements)
    }
}

/// Alignment of each piece in shared memory: a cache line.
const ALIGN: usize = 64;

/// Memory that is being filled with the elements of several matrices.
pub struct Filling {
    memory: MmapMut,
    used: usize,
}

impl Filling {
    /// Memory for pieces of these sizes in bytes, on large pages where the system has them.
    pub fn new(sizes: impl IntoIterator<Item = usize>) -> Result<Self> {
        let bytes: usize = sizes.into_iter().map(|size| size.next_multiple_of(ALIGN)).sum();
        let memory = mapped(bytes)?;
        // Only a hint: it also works on a system without large pages.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage);
        Ok(Self { memory, used: 0 })
    }

    /// Copies a piece in and gives the offset of its first byte.
    pub fn add(&mut self, bytes: &[u8]) -> usize {
        let start = self.used;
        self.memory[start..start + bytes.len()].copy_from_slice(bytes);
        self.used = (start + bytes.len()).next_multiple_of(ALIGN);
        start
    }

    /// The filled memory, read-only from now on.
    pub fn finish(self) -> Result<Arc<Mmap>> {
        sealed(self.memory)
    }
}

//! Decode attention on a CUDA GPU: layout, plan and launches of the kernels in `kernels/cuda`.
//!
//! Nothing here needs a GPU, a driver or a CUDA crate: a [`Device`] provides memory and runs
//! launches. In tests the device is the host simulator; the real GPU is behind the feature `cuda`.
//! Geometry, accounting and bookkeeping are the same code for both.

mod batch;
#[cfg(feature = "cuda-types")]
mod blas;
mod cache;
mod codes;
mod device;
#[cfg(feature = "cuda-types")]
mod driver;
mod launch;
mod layout;
pub mod params;
mod plan;
mod prompt;
mod sequence;

pub use batch::Batch;
pub use cache::DeviceCache;
pub use device::{Device, FreeMemory, MatrixProduct, check_memory};
#[cfg(feature = "cuda-types")]
pub use driver::{Gpu, Graph, unusable};
pub use launch::{DecodeKernel, HEAD_DIMS, Kernel, KernelShape, Launch, MOST_GROUP, Params};
pub use layout::{DeviceMask, Layout, SLAB, check_codes};
pub use plan::{Balance, Planned, Share, WorkPlan, plan};
pub use prompt::{PrefillKernel, PromptPart};
pub use sequence::{DeviceSequence, FillSource, StoredRow};

//! Decode attention on a CUDA card: layout, plan and launches of the kernels in `kernels/cuda`.
//!
//! Nothing here needs a card, a driver or a CUDA crate: a [`Device`] gives memory and runs
//! launches. The tests' device is the host simulator, the card's is behind the feature `cuda`;
//! geometry, accounting and bookkeeping are the same code for both.

mod batch;
mod cache;
mod device;
#[cfg(feature = "cuda-types")]
mod driver;
mod launch;
mod layout;
pub mod params;
mod plan;
mod sequence;

pub use batch::Batch;
pub use cache::DeviceCache;
pub use device::Device;
#[cfg(feature = "cuda-types")]
pub use driver::{Card, unusable};
pub use launch::{Kernel, KernelShape, Launch, Params};
pub use layout::{DeviceMask, Layout, SLAB};
pub use plan::{Planned, Share, WorkPlan, plan};
pub use sequence::{DeviceSequence, FillSource, StoredRow};

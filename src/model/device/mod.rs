//! The forward pass over candle's tensors, for GPUs. It also runs on candle's CPU device, where the
//! tests compare it with the plain pass of [`host`](crate::model::host).
//!
//! Activations are f32 between products; products are in the weights' type, or quantised. Attention
//! of decode steps does not use candle: it reads a cache on the device (`attention::cuda`), or one
//! in this process's memory.

mod address;
mod attend;
mod backend;
mod branch;
mod decoder;
mod forward;
mod parts;
mod placement;
mod prefill;
mod product;
mod step;
mod weights;

pub use attend::{Attend, DeviceAttend, DeviceAttention};
pub(in crate::model) use backend::DeviceBackend;
pub(crate) use branch::TensorBranch;
pub use decoder::TensorDecoder;
pub use placement::Placement;
pub(crate) use placement::failed;
pub(crate) use product::product;
use step::StepInput;
pub(crate) use weights::TensorLayer;
pub use weights::TensorWeights;

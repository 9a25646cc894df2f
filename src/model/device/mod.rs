//! The forward pass over candle's tensors, for GPUs. It also runs on candle's CPU device, where the
//! tests compare it with the plain pass of [`host`](crate::model::host).
//!
//! Prompts go through candle: activations are f32 between products, products are in the weights'
//! type, or quantised. Decode steps over a cache on a device (`attention::cuda`) go through kernels
//! of our own, with activations in the weights' type; those over a cache in this process's memory
//! go through candle but for attention.

mod address;
mod attend;
mod backend;
mod branch;
mod decoder;
mod footprint;
mod forward;
mod launches;
mod parts;
mod placement;
mod prefill;
mod product;
mod settings;
mod step;
mod weights;

pub use attend::{Attend, DeviceAttend, DeviceAttention};
pub(in crate::model) use backend::DeviceBackend;
pub(crate) use branch::TensorBranch;
pub use decoder::TensorDecoder;
pub use footprint::Footprint;
pub use placement::Placement;
pub(crate) use placement::failed;
pub(crate) use product::product;
pub use settings::{StepSettings, Without};
pub use step::DeviceSteps;
use step::StepInput;
pub(crate) use weights::TensorLayer;
pub use weights::TensorWeights;

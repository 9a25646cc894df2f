//! The forward pass over candle's tensors: what runs on a GPU. It also runs on candle's CPU device,
//! where the tests hold it to the plain pass of [`host`](crate::model::host).
//!
//! Activations are f32 between products; products are in the weights' type, or quantised. Attention
//! of decode steps is not candle's: it goes over a cache on the device (`attention::cuda`), or over
//! one in this process's memory.

mod address;
mod attend;
mod backend;
mod decoder;
mod forward;
mod placement;
mod prefill;
mod product;
mod step;
mod weights;

pub use attend::{Attend, DeviceAttend, DeviceAttention};
pub(in crate::model) use backend::DeviceBackend;
pub use decoder::TensorDecoder;
pub use placement::Placement;
pub(crate) use placement::failed;
pub(crate) use product::product;
use step::StepInput;
pub(crate) use weights::TensorLayer;
pub use weights::TensorWeights;

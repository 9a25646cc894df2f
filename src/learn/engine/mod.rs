//! The learning engine: student and teacher passes over answer rows, and the gradient of the loss
//! with respect to every channel's factor.
//!
//! Hidden states of the context never depend on the factors (prefill is exact), so keys and values
//! of the context are constants and both passes run over answer rows alone. The gradient is written
//! by hand, one layer at a time. A pass keeps only a few activations of the answer rows per layer,
//! and a layer's weights are converted to f32 only while they are used.
//!
//! There are two implementations: over the host's weights ([`host`]), and over the tensors of a
//! decoder that runs on a device ([`device`]). A pass runs where its decoder runs.

mod context;
mod damage;
mod device;
mod distill;
mod factors;
mod host;
mod rows;
mod sample;

pub use context::CachedContext;
pub use damage::{Damage, DamageQuery, DrawToken, damage};
pub(super) use device::MOST_BYTES;
pub use distill::{DistillLoss, Distilled, distill, hidden, loss};
pub use factors::Factors;
pub use sample::{Branch, Sample};

//! Passes over the tensors of a decoder that runs on a device.
//!
//! The gradient is written by hand here too. candle's autograd computes the gradient of both
//! operands of a matmul, so frozen weights and keys would each cost an extra matmul and a full-size
//! gradient.
//!
//! Keys and values of the context are kept in f16 in host memory, as the pool stores them. Those of
//! one layer are uploaded when a pass reaches the layer, and converted to f32 for a few KV heads at
//! a time. Nothing is read back from the device during a pass: the host reads its results at the
//! end.

mod attention;
mod backward;
mod columns;
mod forward;
mod passes;

pub(in crate::learn) use passes::MOST_BYTES;
pub(super) use passes::OnDevice;

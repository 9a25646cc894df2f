//! Passes over the tensors of a decoder that runs on a device.
//!
//! The gradient is written out here too. candle's own derivative of a product is that to both of
//! its factors, so that constant keys and constant weights would get gradients as large as they
//! are, at the price of a product each.
//!
//! Keys and values of the context are in the host's memory, in f16, as the pool has them. Those of
//! one layer are uploaded where a pass comes to it, and widened for a few KV heads at a time.
//! Nothing is read from the device in the middle of a pass: what the host needs it reads at the
//! end.

mod attention;
mod backward;
mod columns;
mod forward;
mod passes;

pub(in crate::learn) use passes::MOST_BYTES;
pub(super) use passes::OnDevice;

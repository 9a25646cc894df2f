//! Passes over the host's weights, on the CPU.

mod attention;
mod backward;
mod damage;
mod feed;
mod forward;
mod passes;

pub(super) use passes::OnHost;

//! `kscope mask export --kvpress`: a press for NVIDIA's kvpress, and the mask.

mod write;

pub(super) use write::export;

//! Quantised blocks on their way to a device.

use candle_core::Device;
use candle_core::quantized::ggml_file::qtensor_from_ggml;
use candle_core::quantized::{GgmlDType, QTensor};

use crate::{Error, Result};

/// A `[rows, cols]` matrix of stored blocks on a device. `origin` names its file and the tensor, for
/// errors.
pub(super) fn device_blocks(
    kind: GgmlDType,
    stored: &[u8],
    [rows, cols]: [usize; 2],
    device: &Device,
    (file, name): (&str, &str),
) -> Result<QTensor> {
    qtensor_from_ggml(kind, stored, vec![rows, cols], device).map_err(|cause| {
        // candle's errors can carry a backtrace; the first line says what is wrong.
        let cause = cause.to_string();
        let first = cause.lines().next().unwrap_or_default();
        Error::run(format!("{file}: tensor `{name}` on the device: {first}"))
    })
}

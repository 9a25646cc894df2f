//! Addresses of tensors, which connect candle's memory with kscope's own launches.

use candle_core::{CpuStorage, Device, Storage, Tensor};

use super::failed;
use crate::{Error, Result};

/// The address of the first element of a contiguous f32, f16 or bf16 tensor, on the tensor's
/// device.
pub(super) fn address(tensor: &Tensor) -> Result<u64> {
    let (storage, layout) = tensor.storage_and_layout();
    let start = layout
        .contiguous_offsets()
        .ok_or_else(|| Error::run("a launch needs a contiguous tensor"))?
        .0;
    match &*storage {
        Storage::Cpu(CpuStorage::F32(elements)) => Ok(elements[start..].as_ptr() as u64),
        Storage::Cpu(CpuStorage::F16(elements)) => Ok(elements[start..].as_ptr() as u64),
        Storage::Cpu(CpuStorage::BF16(elements)) => Ok(elements[start..].as_ptr() as u64),
        #[cfg(feature = "cuda")]
        Storage::Cuda(storage) => on_gpu(storage, start),
        _ => Err(failed(candle_core::Error::Msg(
            "a launch takes f32, f16 or bf16 tensors".to_owned(),
        ))),
    }
}

#[cfg(feature = "cuda")]
fn on_gpu(storage: &candle_core::CudaStorage, start: usize) -> Result<u64> {
    use candle_core::DType;
    use candle_core::backend::BackendStorage;
    use cudarc::driver::DevicePtr;
    let stream = storage.device().cuda_stream();
    // The guards would record uses for other streams; there is only one.
    match storage.dtype() {
        DType::F32 => {
            Ok(storage.as_cuda_slice::<f32>().map_err(failed)?.slice(start..).device_ptr(&stream).0)
        }
        DType::F16 => Ok(storage
            .as_cuda_slice::<half::f16>()
            .map_err(failed)?
            .slice(start..)
            .device_ptr(&stream)
            .0),
        DType::BF16 => Ok(storage
            .as_cuda_slice::<half::bf16>()
            .map_err(failed)?
            .slice(start..)
            .device_ptr(&stream)
            .0),
        other => Err(Error::run(format!("a launch takes f32, f16 or bf16 tensors, not {other:?}"))),
    }
}

/// Until the result is dropped, candle keeps its kernels' shape arguments on the device: a recorded
/// step cannot copy them there.
pub(super) fn keep_shapes(device: &Device) -> impl Sized + use<> {
    #[cfg(feature = "cuda")]
    return device.as_cuda_device().ok().map(|device| device.enable_cuda_graph_htod_cache());
    #[cfg(not(feature = "cuda"))]
    {
        let _ = device;
    }
}

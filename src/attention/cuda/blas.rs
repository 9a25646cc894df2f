//! Matrix products on a GPU, by cuBLAS.

use std::ffi::c_int;
use std::sync::Arc;

use cudarc::cublas::sys::{
    cublasComputeType_t as ComputeType, cublasGemmAlgo_t as Algorithm,
    cublasOperation_t as Operation, cudaDataType_t as DataType,
};
use cudarc::cublas::{CudaBlas, result, sys};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr};

use super::device::MatrixProduct;
use super::driver::unusable;
use crate::element::Dtype;
use crate::{Error, Result};

/// Working memory of the products, which NVIDIA recommends for GPUs of compute capability 9.0. With
/// memory of its own cuBLAS takes none while a step is recorded.
pub(super) const WORKSPACE_BYTES: usize = 32 << 20;

/// cuBLAS on one stream. Its products go there one after the other, so they share the workspace.
pub(super) struct Blas {
    blas: CudaBlas,
    _workspace: CudaSlice<u8>,
}

impl Blas {
    pub(super) fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        let failed = |cause: String| Error::run(format!("preparing cuBLAS: {cause}"));
        let blas = CudaBlas::new(Arc::clone(stream))
            .map_err(|cause| unusable(stream.context().ordinal(), &cause.to_string()))?;
        // SAFETY: the contents may be undefined.
        let workspace = unsafe { stream.alloc::<u8>(WORKSPACE_BYTES) }
            .map_err(|cause| failed(cause.to_string()))?;
        let address = workspace.device_ptr(stream).0;
        // SAFETY: the handle is live, and so is the memory as long as the handle.
        unsafe {
            sys::cublasSetWorkspace_v2(*blas.handle(), address as *mut _, WORKSPACE_BYTES)
                .result()
                .map_err(|cause| failed(cause.to_string()))?;
        }
        Ok(Self { blas, _workspace: workspace })
    }

    /// [`Device::multiply`](super::Device::multiply). cuBLAS sees columns where there are rows here,
    /// so it multiplies `y^T = W x^T`.
    pub(super) fn multiply(&self, product: &MatrixProduct) -> Result<()> {
        let MatrixProduct { weight, x, y, rows, inputs, outputs } = *product;
        if x.kind != weight.kind || (y.kind != weight.kind && y.dtype() != Dtype::F32) {
            return Err(Error::run("a product of matrices of several types"));
        }
        let kind = |dtype| match dtype {
            Dtype::F32 => DataType::CUDA_R_32F,
            Dtype::F16 => DataType::CUDA_R_16F,
            Dtype::Bf16 => DataType::CUDA_R_16BF,
        };
        let (one, zero) = (1.0f32, 0.0f32);
        // SAFETY: the addresses are of live memory of these sizes, as `Device` demands; the two
        // factors are read before the call returns.
        let submitted = unsafe {
            result::gemm_ex(
                *self.blas.handle(),
                Operation::CUBLAS_OP_T,
                Operation::CUBLAS_OP_N,
                outputs as c_int,
                rows as c_int,
                inputs as c_int,
                (&raw const one).cast(),
                weight.address as *const _,
                kind(weight.dtype()),
                weight.stride as c_int,
                x.address as *const _,
                kind(x.dtype()),
                x.stride as c_int,
                (&raw const zero).cast(),
                y.address as *mut _,
                kind(y.dtype()),
                y.stride as c_int,
                ComputeType::CUBLAS_COMPUTE_32F,
                Algorithm::CUBLAS_GEMM_DEFAULT,
            )
        };
        submitted.map_err(|cause| Error::run(format!("multiplying on the GPU: {cause}")))
    }
}

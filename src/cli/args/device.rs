//! Where to compute: the argument, and the placement made from it.

#[cfg(feature = "cuda")]
use std::sync::Arc;

use crate::model::device::Placement;
use crate::{Error, Result};

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The CPU. A GPU is only used when asked for.
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU with this number.
    Cuda(usize),
}

impl std::fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl DeviceChoice {
    /// Where a model is to run; `None` is the CPU. A GPU that cannot be used is refused with the
    /// reason.
    pub fn placement(self) -> Result<Option<Placement>> {
        match self {
            Self::Auto | Self::Cpu => Ok(None),
            Self::Cuda(ordinal) => on_gpu(ordinal).map(Some),
        }
    }
}

impl std::str::FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let cuda = text
            .strip_prefix("cuda")
            .map(|rest| if rest.is_empty() { Some("0") } else { rest.strip_prefix(':') });
        match (text, cuda) {
            ("auto", _) => Ok(Self::Auto),
            ("cpu", _) => Ok(Self::Cpu),
            (_, Some(Some(ordinal))) if ordinal.parse::<usize>().is_ok() => {
                Ok(Self::Cuda(ordinal.parse().unwrap_or(0)))
            }
            _ => Err(Error::input(format!(
                "--device must be auto, cpu, cuda or cuda:N, not `{text}`"
            ))),
        }
    }
}

/// The error of a program that was built without CUDA and is asked to use a GPU.
pub fn without_cuda(ordinal: usize) -> Error {
    Error::input(format!(
        "--device cuda:{ordinal}: this kscope was built without the feature `cuda`; docs/GPU.md says how to build it"
    ))
}

#[cfg(not(feature = "cuda"))]
fn on_gpu(ordinal: usize) -> Result<Placement> {
    Err(without_cuda(ordinal))
}

/// A GPU for a model: candle's device, and the kernels on its stream.
#[cfg(feature = "cuda")]
fn on_gpu(ordinal: usize) -> Result<Placement> {
    use crate::attention::cuda::{Gpu, unusable};
    use crate::model::device::{Attend, DeviceAttention, StepSettings};
    let device = candle_core::Device::new_cuda_with_stream(ordinal)
        .map_err(|cause| unusable(ordinal, cause.to_string().lines().next().unwrap_or_default()))?;
    let stream = device
        .as_cuda_device()
        .map_err(|cause| unusable(ordinal, &cause.to_string()))?
        .cuda_stream();
    let (gpu, settings) = (Gpu::new(stream)?, StepSettings::from_environment()?);
    let name = format!("cuda:{ordinal} ({})", gpu.name()?);
    Ok(Placement {
        device,
        name,
        attend: Attend::Device(Box::new(DeviceAttention::new(Arc::new(gpu), settings))),
    })
}

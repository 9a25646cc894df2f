//! `kscope selftest --device cuda`: the cases of the simulator's tests, and the demo model as a
//! whole, on a GPU.

use super::args::DeviceChoice;
#[cfg(feature = "cuda-types")]
use crate::bench::verify;
use crate::{Error, Result};

/// Arguments of `kscope selftest`.
#[derive(Debug, clap::Args)]
pub struct SelftestArgs {
    /// The GPU: cuda or cuda:N
    #[arg(long, default_value = "cuda", value_name = "DEVICE")]
    device: DeviceChoice,
    /// Stop at the first case that fails
    #[arg(long)]
    fail_fast: bool,
}

/// Runs `kscope selftest`.
pub fn run(args: &SelftestArgs) -> Result<()> {
    let ordinal = match args.device {
        DeviceChoice::Cuda(ordinal) => ordinal,
        other => {
            return Err(Error::input(format!(
                "selftest compares a GPU with the CPU: give --device cuda or cuda:N, not {other}"
            )));
        }
    };
    on_gpu(ordinal, args.fail_fast)
}

#[cfg(not(feature = "cuda-types"))]
fn on_gpu(ordinal: usize, _: bool) -> Result<()> {
    Err(super::args::without_cuda(ordinal))
}

#[cfg(feature = "cuda-types")]
fn on_gpu(ordinal: usize, fail_fast: bool) -> Result<()> {
    use super::output;
    let gpu = crate::attention::cuda::Gpu::open(ordinal)?;
    output::line(&format!("{}: every case against the scalar oracle", gpu.name()?))?;
    let cases = verify::cases();
    let mut failed = 0;
    let mut report = |name: &str, outcome: Result<verify::CaseOutcome>| match outcome {
        Ok(outcome) => {
            output::line(&format!("ok    {:.1e} of {:.0e}  {name}", outcome.error, outcome.allowed))
        }
        Err(error) if fail_fast => Err(error),
        Err(error) => {
            failed += 1;
            output::line(&format!("FAILED  {error}"))
        }
    };
    for case in &cases {
        report(&case.to_string(), verify::compare_kernels(&gpu, case))?;
    }
    report(
        "the demo model, prompt and 40 steps of two sequences, dense and pruned, against the CPU",
        demo(ordinal),
    )?;
    let all = cases.len() + 1;
    output::line(&format!("{} passed, {failed} failed", all - failed))?;
    if failed > 0 { Err(Error::run(format!("{failed} of {all} cases failed"))) } else { Ok(()) }
}

/// Compares the demo model on the CPU and on the GPU.
#[cfg(feature = "cuda-types")]
fn demo(ordinal: usize) -> Result<verify::CaseOutcome> {
    use crate::model::load::{Opened, Source};
    let load = |device: DeviceChoice| {
        Opened::open(&Source::Demo)?.load_on(None, device.placement()?, &mut |_| Ok(()))
    };
    verify::compare_models(&load(DeviceChoice::Cpu)?, &load(DeviceChoice::Cuda(ordinal))?)
}

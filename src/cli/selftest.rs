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
    /// Only the cases whose line contains this, such as `f16 d 128`, `Remask` or `demo`
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
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
    on_gpu(ordinal, args)
}

#[cfg(not(feature = "cuda-types"))]
fn on_gpu(ordinal: usize, _: &SelftestArgs) -> Result<()> {
    Err(super::args::without_cuda(ordinal))
}

/// The whole models' lines.
#[cfg(feature = "cuda-types")]
const AGAINST_CPU: &str =
    "the demo model, prompt and 40 steps of two sequences, dense and pruned, against the CPU";
#[cfg(feature = "cuda-types")]
const RECORDED: &str =
    "the demo model, 40 steps of two sequences, recorded against launch by launch";

#[cfg(feature = "cuda-types")]
fn on_gpu(ordinal: usize, args: &SelftestArgs) -> Result<()> {
    use super::output;
    // Whole models below take them; a value that is none is refused whichever cases run.
    crate::model::device::StepSettings::from_environment()?;
    let gpu = crate::attention::cuda::Gpu::open(ordinal)?;
    output::line(&format!("{}: every case against the scalar oracle", gpu.name()?))?;
    let is_wanted =
        |name: &str| args.filter.as_ref().is_none_or(|wanted| name.contains(wanted.as_str()));
    let (mut passed, mut failed) = (0, 0);
    let mut report = |name: &str, run: &dyn Fn() -> Result<verify::CaseOutcome>| {
        if !is_wanted(name) {
            return Ok(());
        }
        match run() {
            Ok(outcome) => {
                passed += 1;
                let (error, allowed) = (outcome.error, outcome.allowed);
                output::line(&format!("ok    {error:.1e} of {allowed:.0e}  {name}"))
            }
            Err(error) if args.fail_fast => Err(error),
            Err(error) => {
                failed += 1;
                output::line(&format!("FAILED  {error}"))
            }
        }
    };
    for case in &verify::cases() {
        report(&case.to_string(), &|| verify::compare_kernels(&gpu, case))?;
    }
    for case in &verify::branch_cases() {
        report(&case.to_string(), &|| verify::compare_branches(&gpu, case))?;
    }
    for case in &verify::prompt_cases() {
        report(&case.to_string(), &|| verify::compare_prompt(&gpu, case))?;
    }
    report(AGAINST_CPU, &|| {
        verify::compare_models(&demo(DeviceChoice::Cpu)?, &demo(DeviceChoice::Cuda(ordinal))?)
    })?;
    report(RECORDED, &|| {
        let there = || demo(DeviceChoice::Cuda(ordinal));
        verify::compare_recording(&there()?, &there()?)
    })?;
    output::line(&format!("{passed} passed, {failed} failed"))?;
    let all = passed + failed;
    match (all, failed) {
        (0, _) => Err(Error::input(format!(
            "--filter {}: no case has that in its line",
            args.filter.as_deref().unwrap_or_default()
        ))),
        (_, 0) => Ok(()),
        _ => Err(Error::run(format!("{failed} of {all} cases failed"))),
    }
}

/// The demo model on a device.
#[cfg(feature = "cuda-types")]
fn demo(device: DeviceChoice) -> Result<crate::model::Model> {
    use crate::model::load::{Opened, Source};
    Opened::open(&Source::Demo)?.load_on(None, device.placement()?, &mut |_| Ok(()))
}

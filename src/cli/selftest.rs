//! `kscope selftest --device cuda`: the cases of the simulator's tests, on a card.

use super::device::DeviceChoice;
#[cfg(feature = "cuda-types")]
use crate::bench::selftest;
use crate::{Error, Result};

/// Arguments of `kscope selftest`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The card: cuda or cuda:N
    #[arg(long, default_value = "cuda", value_name = "DEVICE")]
    device: DeviceChoice,
    /// Stop at the first case that fails
    #[arg(long)]
    fail_fast: bool,
}

/// Runs `kscope selftest`.
pub fn run(args: &Args) -> Result<()> {
    let ordinal = match args.device {
        DeviceChoice::Cuda(ordinal) => ordinal,
        other => {
            return Err(Error::input(format!(
                "selftest compares a card with the CPU: give --device cuda or cuda:N, not {other}"
            )));
        }
    };
    on_card(ordinal, args.fail_fast)
}

#[cfg(not(feature = "cuda-types"))]
fn on_card(ordinal: usize, _: bool) -> Result<()> {
    Err(super::device::without_cuda(ordinal))
}

#[cfg(feature = "cuda-types")]
fn on_card(ordinal: usize, fail_fast: bool) -> Result<()> {
    use super::output;
    let card = crate::attention::cuda::Card::open(ordinal)?;
    output::line(&format!("{}: every case against the scalar oracle", card.name()?))?;
    let cases = selftest::cases();
    let mut failed = 0;
    for case in &cases {
        match selftest::run(&card, case) {
            Ok(outcome) => output::line(&format!("ok    {:.1e} of {:.0e}  {case}", outcome.error, outcome.allowed))?,
            Err(error) if fail_fast => return Err(error),
            Err(error) => {
                failed += 1;
                output::line(&format!("FAILED  {error}"))?;
            }
        }
    }
    output::line(&format!("{} passed, {failed} failed", cases.len() - failed))?;
    if failed > 0 { Err(Error::run(format!("{failed} of {} cases failed", cases.len()))) } else { Ok(()) }
}

//! `kscope bench attention --device cuda`: measured on a GPU, or computed with `--dry-run`.

use crate::bench::gpu_forecast::{self, ForecastReport, GPUS};
use crate::cli::args::DeviceChoice;
use crate::cli::output;
use crate::numbers;
use crate::{Error, Result};

/// The number of the GPU that `--device` selects; `None` is the CPU.
pub(super) fn ordinal(device: DeviceChoice) -> Option<usize> {
    match device {
        DeviceChoice::Cuda(ordinal) => Some(ordinal),
        DeviceChoice::Auto | DeviceChoice::Cpu => None,
    }
}

/// Prints the forecast for the GPU whose name contains `name`.
pub(super) fn model(name: &str, json: bool) -> Result<()> {
    let known = GPUS.into_iter().find(|gpu| gpu.name.to_lowercase().contains(&name.to_lowercase()));
    let names = || GPUS.map(|gpu| gpu.name).join(", ");
    let gpu = known
        .ok_or_else(|| Error::input(format!("--gpu {name}: the known GPUs are {}", names())))?;
    let report = gpu_forecast::report(gpu)?;
    output::report("bench gpu forecast", json, &report, text)
}

fn text(report: &ForecastReport) -> String {
    let gpu = report.gpu;
    let mut text = format!(
        "computed for {} ({} multiprocessors, {} GB/s published), not measured\n\n{:>8} {:>8} {:>13} {:>17} {:>7} {:>16}",
        gpu.name,
        gpu.multiprocessors,
        gpu.gbps,
        "head_dim",
        "threads",
        "shared memory",
        "registers at most",
        "blocks",
        "bytes under way"
    );
    for row in &report.occupancy {
        text += &format!(
            "\n{:>8} {:>8} {:>13} {:>17} {:>7} {:>16}",
            row.head_dim,
            numbers::count(row.threads),
            numbers::count(row.shared),
            numbers::count(row.registers),
            row.blocks,
            numbers::count(row.bytes_under_way)
        );
    }
    let [dense, pruned] = report.bytes_per_middle_token;
    text += &format!(
        "\n\nLlama-3.1-8B, published counts, bf16: {} bytes a middle token dense, {} pruned",
        numbers::count(dense),
        numbers::count(pruned)
    );
    text += &format!(
        "\n{:>6} {:>7} {:>10} {:>10} {:>7} {:>13} {:>16} {:>16} {:>17}",
        "batch",
        "tokens",
        "dense",
        "pruned",
        "bound",
        "items a layer",
        "partial results",
        "dense at least",
        "pruned at least"
    );
    for row in &report.settings {
        text += &format!(
            "\n{:>6} {:>7} {:>10} {:>10} {:>6.3}x {:>13} {:>16} {:>13.3} ms {:>14.3} ms",
            row.batch,
            numbers::count(row.tokens),
            numbers::bytes(row.dense_bytes),
            numbers::bytes(row.pruned_bytes),
            row.bound,
            row.items,
            numbers::bytes(row.partial_bytes),
            row.dense_least_ms,
            row.pruned_least_ms
        );
    }
    text
}

/// Refuses, because measuring needs a program built with CUDA.
#[cfg(not(feature = "cuda-types"))]
pub(super) fn measure(ordinal: usize, _: [&[usize]; 2], _: bool) -> Result<()> {
    Err(crate::cli::args::without_cuda(ordinal))
}

/// Measures on a GPU: every number of sequences with every length, or the usual settings where
/// neither is given.
#[cfg(feature = "cuda-types")]
pub(super) fn measure(ordinal: usize, [batches, tokens]: [&[usize]; 2], json: bool) -> Result<()> {
    use crate::bench::gpu_attention::{self, SETTINGS};
    let settings: Vec<(usize, usize)> = match (batches, tokens) {
        ([], []) => SETTINGS.to_vec(),
        (batches, tokens) => {
            let batches = if batches.is_empty() { &[1] } else { batches };
            let tokens = if tokens.is_empty() { &[8_192, 32_768, 131_072] } else { tokens };
            let of = |&batch: &usize| tokens.iter().map(move |&tokens| (batch, tokens));
            batches.iter().flat_map(of).collect()
        }
    };
    let gpu = crate::attention::cuda::Gpu::open(ordinal)?;
    let settings_of = crate::model::device::StepSettings::from_environment()?;
    if settings_of.without != Default::default() {
        return Err(Error::input("KSCOPE_CUDA_WITHOUT leaves nothing out of `bench attention`"));
    }
    let balance = settings_of.balance;
    let report = gpu_attention::run(&gpu, &settings, balance, output::note)?;
    let ended = match &report.failed {
        Some(cause) => Err(Error::run(cause.clone())),
        None if report.rows.is_empty() => {
            let first = report.not_measured.first().map(|of| of.why.clone());
            Err(Error::input(first.unwrap_or_else(|| "there is no setting".to_owned())))
        }
        None => Ok(()),
    };
    if json {
        output::json("bench gpu", &report)?;
        return ended;
    }
    let mut text =
        format!("{}: copies {:.0} GB/s (read and written)", report.gpu, report.copy_gbps);
    text += &format!(
        "\n{:>6} {:>7} {:>11} {:>9} {:>8} {:>11} {:>9} {:>11} {:>11}",
        "batch",
        "tokens",
        "dense ms",
        "GB/s",
        "of copy",
        "pruned ms",
        "GB/s",
        "time ratio",
        "byte ratio"
    );
    for row in &report.rows {
        text += &format!(
            "\n{:>6} {:>7} {:>11.3} {:>9.0} {:>6.0} % {:>11.3} {:>9.0} {:>10.3}x {:>10.3}x",
            row.batch,
            numbers::count(row.tokens),
            row.dense_ms,
            row.dense_gbps,
            100.0 * row.dense_gbps / report.copy_gbps,
            row.pruned_ms,
            row.pruned_gbps,
            row.dense_ms / row.pruned_ms,
            row.byte_ratio
        );
    }
    if let Some(cause) = &report.not_recorded {
        text += &format!("\nlaunch by launch: {cause}");
    }
    for of in &report.not_measured {
        let tokens = numbers::count(of.tokens);
        text += &format!("\n{:>6} {tokens:>7} not measured: {}", of.batch, of.why);
    }
    output::line(&text)?;
    ended
}

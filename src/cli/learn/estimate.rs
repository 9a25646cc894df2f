//! `kscope learn --estimate`: what the paper's method would cost for Llama-3.1-8B.

use serde_json::json;

use crate::cli::output;
use crate::learn::estimate::{ANSWER_ROWS, Rates, estimate};
use crate::learn::run;
use crate::model::config::Config;
use crate::model::load::Source;
use crate::{Error, Result, numbers};

/// Context lengths of the estimate: those that the LeanK authors trained on.
const CONTEXTS: [usize; 5] = [4096, 16_384, 32_768, 65_536, 98_304];

/// Answer rows of the estimate's samples, and its updates.
const ESTIMATE: (usize, usize) = (ANSWER_ROWS, 310);

/// Prints it.
pub(super) fn print(pool: Option<usize>, as_json: bool) -> Result<()> {
    let config: Config = match Source::random("llama-3.1-8b", None, 0)? {
        Source::Random { config, .. } => *config,
        _ => return Err(Error::run("a named geometry has a configuration")),
    };
    let (rows, updates) = ESTIMATE;
    let pool = pool.unwrap_or(run::POOL);
    let all =
        CONTEXTS.map(|context| estimate(&config, Rates::ONE_80GB, context, rows, updates, pool));
    if as_json {
        return output::json(
            "learn estimate",
            &json!({
                "model": "llama-3.1-8b", "kind": "estimate", "rates": Rates::ONE_80GB, "rows": rows, "updates": updates, "pool": pool,
                "contexts": all,
            }),
        );
    }
    let mut lines = vec![format!(
        "estimate, not measured: the paper's method for Llama-3.1-8B on one 80 GB GPU at an assumed {:.0} TFLOP/s ({:.0} in TF32, {:.0} in f32), {:.1} TB/s, and {:.0} GB/s from the host; {updates} updates of {rows} answer rows, pool of {}",
        Rates::ONE_80GB.flops / 1e12,
        Rates::ONE_80GB.flops_tf32 / 1e12,
        Rates::ONE_80GB.flops_f32 / 1e12,
        Rates::ONE_80GB.bandwidth / 1e12,
        Rates::ONE_80GB.bus / 1e9,
        pool
    )];
    lines.push(format!(
        "{:>8} {:>10} {:>10} {:>10} {:>11} {:>12}",
        "context", "prefill", "update", "all", "GPU memory", "pool (host)"
    ));
    lines.extend(all.iter().map(|estimate| {
        format!(
            "{:>8} {:>8.2} s {:>8.3} s {:>6.1} min {:>11} {:>12}",
            numbers::count(estimate.context),
            estimate.prefill_seconds,
            estimate.step_seconds,
            estimate.total_seconds / 60.0,
            numbers::bytes(estimate.device_bytes()),
            numbers::bytes(estimate.sample_bytes * pool as u64)
        )
    }));
    output::line(&lines.join("\n"))
}

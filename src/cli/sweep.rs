//! `kscope sweep`: many sparsities and alignments of one importance, measured against one dense
//! run.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::args::SessionArgs;
use super::output;
use super::progress::ProgressLine;
use crate::cache::CacheSpec;
use crate::decode::sweep::Reference;
use crate::mask::files::{self, Split};
use crate::mask::select::Options;
use crate::mask::{Window, fingerprint, select};
use crate::model::decoder::PrefillHooks;
use crate::spread::Spread;
use crate::spread::median_ms;
use crate::{Error, Result, numbers};

/// Arguments of `kscope sweep`.
#[derive(Debug, clap::Args)]
pub struct SweepArgs {
    #[command(flatten)]
    session: SessionArgs,
    /// Importance file, or a mask file that holds importance
    #[arg(long, value_name = "FILE")]
    importance: PathBuf,
    /// Sparsities: a list 0.3,0.5 or a range 0..0.9:0.1, both ends included
    #[arg(long, default_value = "0..0.9:0.1", value_name = "LIST")]
    sparsity: String,
    /// Alignments
    #[arg(long, value_delimiter = ',', default_value = "8", value_name = "LIST")]
    align: Vec<usize>,
    /// Decode steps that each mask is measured over
    #[arg(long, default_value_t = 64, value_name = "N")]
    steps: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    prompt_tokens: usize,
    steps: usize,
    kv_dtype: String,
    threads: usize,
    dense: Dense,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Dense {
    tpot_ms: f64,
    kv_bytes: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    sparsity_target: f64,
    align: usize,
    sparsity: f64,
    kld: Spread,
    top1_agreement: f64,
    tpot_ms: f64,
    kv_bytes: usize,
}

/// Runs `kscope sweep`.
pub fn run(args: &SweepArgs) -> Result<()> {
    let sparsities = parse_range(&args.sparsity)?;
    if args.steps == 0 {
        return Err(Error::input("--steps must be at least 1, not 0"));
    }
    if args.session.cache.is_given() {
        return Err(Error::input("sweep makes its own masks: give it --importance, not --mask"));
    }
    let sampling = args.session.sampling.sampling()?;
    let model = args.session.model.load()?;
    let config = model.config();
    let name = args.importance.display().to_string();
    let contents = files::read(&args.importance, &Split::of(config.mask_shape()))?;
    let importance =
        contents.importance().ok_or_else(|| Error::input(format!("{name} holds no importance")))?;
    let found = &contents.origin().fingerprint;
    if importance.shape() != config.mask_shape()
        || !(found.is_empty() || *found == fingerprint(&config.geometry()))
    {
        return Err(Error::input(format!(
            "{name}: importance of shape {} for {} does not belong to {} {}",
            importance.shape(),
            contents.origin().model,
            model.name,
            config.mask_shape()
        )));
    }
    let window = args.session.cache.window(Window::default())?;
    let dense =
        Arc::new(CacheSpec::dense(config.mask_shape(), window, args.session.cache.kv_dtype)?);
    let prompts = args.session.prompt.tokens(&model)?;
    let [prompt] = prompts.as_slice() else {
        return Err(Error::input(format!("sweep takes one prompt, not {}", prompts.len())));
    };
    model
        .check_cache_memory("two caches", 2 * dense.bytes_at(prompt.len() + args.steps).total())?;
    let bar = ProgressLine::new("dense run");
    let reference = bar.prefill(PrefillHooks::CHUNK, |hooks| {
        Reference::run(Arc::clone(&model), &dense, prompt, &sampling, args.steps, hooks)
    })?;
    let points: Vec<(f64, usize)> = args
        .align
        .iter()
        .flat_map(|&align| sparsities.iter().map(move |&sparsity| (sparsity, align)))
        .collect();
    let mut rows = Vec::with_capacity(points.len());
    for (i, &(sparsity, align)) in points.iter().enumerate() {
        bar.say(format!("sparsity {sparsity:.2}, align {align}"));
        bar.count(i, points.len());
        let mask = select(importance, &Options::new(sparsity, align))?;
        let kept = mask.kept_ratio();
        let spec = Arc::new(CacheSpec::new(
            config.mask_shape(),
            window,
            args.session.cache.kv_dtype,
            mask,
        )?);
        let measured = reference.measure(&spec, &|| Ok(()))?;
        rows.push(Row {
            sparsity_target: sparsity,
            align,
            sparsity: 1.0 - kept,
            kld: measured.divergence.kld,
            top1_agreement: measured.divergence.top1_agreement,
            tpot_ms: median_ms(&measured.step_times),
            kv_bytes: measured.kv_bytes,
        });
    }
    bar.finish();
    let report = Report {
        model: model.name.clone(),
        prompt_tokens: prompt.len(),
        steps: args.steps,
        kv_dtype: args.session.cache.kv_dtype.to_string(),
        threads: rayon::current_num_threads(),
        dense: Dense { tpot_ms: median_ms(reference.step_times()), kv_bytes: reference.kv_bytes() },
        rows,
    };
    output::report(args.json, &report, table)
}

fn table(report: &Report) -> String {
    let mut text = format!(
        "{} tokens of prompt, {} steps, dense {:.2} ms a token and {}\n{:>8} {:>5} {:>7} {:>10} {:>10} {:>10} {:>9} {:>8} {:>10}",
        numbers::count(report.prompt_tokens),
        numbers::count(report.steps),
        report.dense.tpot_ms,
        numbers::bytes(report.dense.kv_bytes as u64),
        "target",
        "align",
        "pruned",
        "KLD mean",
        "± stderr",
        "KLD p99",
        "same top",
        "TPOT ms",
        "KV"
    );
    for row in &report.rows {
        text.push_str(&format!(
            "\n{:>8.2} {:>5} {:>5.1} % {:>10.5} {:>10.5} {:>10.5} {:>7.1} % {:>8.2} {:>10}",
            row.sparsity_target,
            row.align,
            row.sparsity * 100.0,
            row.kld.mean,
            row.kld.stderr,
            row.kld.p99,
            row.top1_agreement * 100.0,
            row.tpot_ms,
            numbers::bytes(row.kv_bytes as u64)
        ));
    }
    text
}

/// `0.3,0.5` or `0..0.9:0.1`; every value must be a sparsity.
fn parse_range(text: &str) -> Result<Vec<f64>> {
    let wrong = || {
        Error::input(format!(
            "--sparsity takes a list 0.3,0.5 or a range 0..0.9:0.1 of numbers from 0 to 1, not `{text}`"
        ))
    };
    let number = |text: &str| {
        text.trim().parse::<f64>().ok().filter(|n| (0.0..=1.0).contains(n)).ok_or_else(wrong)
    };
    let Some((from, rest)) = text.split_once("..") else {
        return text.split(',').map(number).collect();
    };
    let (to, step) = rest.split_once(':').ok_or_else(wrong)?;
    let (from, to, step) = (number(from)?, number(to)?, number(step)?);
    if step <= 0.0 || to < from {
        return Err(wrong());
    }
    // Counted in whole steps, so that rounding never drops the last value.
    let count = ((to - from) / step + 1e-9).floor() as usize;
    Ok((0..=count).map(|i| from + i as f64 * step).collect())
}

#[cfg(test)]
mod tests {
    use super::parse_range;

    #[test]
    fn ranges_include_both_ends() {
        let found = parse_range("0..0.9:0.1").unwrap();
        assert_eq!(found.len(), 10);
        assert!((found[9] - 0.9).abs() < 1e-9);
        assert_eq!(parse_range("0.3, 0.5").unwrap(), [0.3, 0.5]);
        for wrong in ["", "x", "0..1", "0..2:0.1", "0.9..0.1:0.1", "0..1:0", "1.5"] {
            assert!(parse_range(wrong).is_err(), "{wrong}");
        }
    }
}

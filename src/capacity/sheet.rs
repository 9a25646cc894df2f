//! A plan as sections of lines and tables, of which text, Markdown and HTML are made.

use super::chart::Curve;
use super::report::{CapacityReport, CapacityRow};
use super::speed::Label;
use crate::model::served::ServedModel;
use crate::numbers::{bytes, count, percent};

/// A table; the first columns of words are left-aligned, the others right-aligned.
#[derive(Debug, Clone, Default)]
pub(super) struct CellTable {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// Columns that hold words.
    pub words: usize,
}

/// One section of a plan.
#[derive(Debug, Clone, Default)]
pub(super) struct SheetSection {
    pub title: String,
    pub lines: Vec<String>,
    pub grid: Option<CellTable>,
    pub curves: Vec<Curve>,
    pub notes: Vec<String>,
}

fn grid(words: usize, head: &[&str]) -> CellTable {
    CellTable { head: head.iter().map(|&text| text.to_owned()).collect(), rows: Vec::new(), words }
}

fn ms(ms: Option<f64>) -> String {
    ms.map_or_else(|| "does not fit".to_owned(), |ms| format!("{ms:.2}"))
}

fn usd(usd: f64) -> String {
    match usd {
        usd if usd.abs() < 100.0 => format!("${usd:.2}"),
        usd if usd < 0.0 => format!("-${}", count(-usd.round() as usize)),
        usd => format!("${}", count(usd.round() as usize)),
    }
}

fn usd_or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), usd)
}

/// "122,880", or what says that nothing fits.
fn most(value: usize) -> String {
    if value == 0 { "none".to_owned() } else { count(value) }
}

/// All sections, in the order of the reader's questions.
pub(super) fn sections(report: &CapacityReport) -> Vec<SheetSection> {
    let mut sections = vec![size(report)];
    sections.extend(report.gpus.iter().map(|gpu| fits(report, &gpu.name)));
    sections.push(speed(report));
    sections.push(plainer(report));
    sections.extend(load(report));
    sections.extend(scenarios(report));
    sections.extend(checks(report));
    sections.push(assumed(report));
    if !report.warnings.is_empty() {
        let lines = report.warnings.clone();
        sections.push(SheetSection {
            title: "To know".to_owned(),
            lines,
            ..SheetSection::default()
        });
    }
    sections
}

/// The model in one line.
pub(super) fn headline(model: &ServedModel) -> String {
    format!(
        "{} · {} · {} parameters · context {}",
        model.name,
        model.architecture,
        count(model.weights.parameters as usize),
        count(model.max_context)
    )
}

/// Rows of one GPU stand for all where the GPU does not matter.
fn of_first_gpu(report: &CapacityReport) -> impl Iterator<Item = &CapacityRow> {
    let first = report.gpus.first().map(|gpu| gpu.name.as_str());
    report.rows.iter().filter(move |row| Some(row.gpu.as_str()) == first)
}

fn size(report: &CapacityReport) -> SheetSection {
    let head = [
        "context",
        "sequences",
        "dense",
        "stored",
        "saved",
        "stored, in blocks",
        "dense, in blocks",
    ];
    let mut table = grid(0, &head);
    for row in of_first_gpu(report) {
        let saved = 1.0 - row.kv_bytes as f64 / row.kv_bytes_dense.max(1) as f64;
        table.rows.push(vec![
            count(row.ctx),
            count(row.batch),
            bytes(row.kv_bytes_dense),
            bytes(row.kv_bytes),
            percent(saved, 1),
            bytes(row.kv_allocated_bytes),
            bytes(row.kv_allocated_bytes_dense),
        ]);
    }
    let window = report.window;
    let model = &report.model;
    SheetSection {
        title: "Size of the K/V cache".to_owned(),
        lines: vec![
            format!("sizes from {}: {}", model.origin, report.layers),
            format!(
                "weights {} ({}) · cache in {} · stored: {} (sink {}, recent {}, chunk {})",
                bytes(model.weights.bytes as u64),
                model.weights.origin,
                report.kv_dtype,
                report.stored,
                count(window.sink),
                count(window.recent),
                count(window.chunk)
            ),
        ],
        grid: Some(table),
        notes: vec![
            "Elements, scales of codes included; the window of sink, recent and chunk is whole. In blocks: as kscope's own allocator holds them, 64 tokens a block, 8 blocks at once where tokens stay.".to_owned(),
        ],
        ..SheetSection::default()
    }
}

fn fits(report: &CapacityReport, gpu: &str) -> SheetSection {
    let index = report.gpus.iter().position(|known| known.name == gpu).unwrap_or(0);
    let (known, memory) = (&report.gpus[index], &report.memory[index]);
    let head = [
        "context",
        "sequences",
        "dense",
        "stored",
        "most sequences, dense",
        "stored",
        "longest context, dense",
        "stored",
    ];
    let mut table = grid(0, &head);
    let word = |fits: bool| if fits { "fits" } else { "no" }.to_owned();
    for row in report.rows.iter().filter(|row| row.gpu == gpu) {
        table.rows.push(vec![
            count(row.ctx),
            count(row.batch),
            word(row.fits_dense),
            word(row.fits),
            most(row.max_batch_dense),
            most(row.max_batch),
            most(row.max_ctx_dense),
            most(row.max_ctx),
        ]);
    }
    let shared = match report.gpus_per_model {
        1 => String::new(),
        n => format!("{n} GPUs share the model; of each: "),
    };
    SheetSection {
        title: format!("What fits {gpu}"),
        lines: vec![format!(
            "{shared}{:.1} GiB usable of {:.1} · weights {} · activations {} · left for K/V {}",
            memory.usable / f64::from(1 << 30),
            known.memory_gib,
            bytes(memory.weights as u64),
            bytes(memory.activations as u64),
            bytes(memory.left().max(0.0) as u64)
        )],
        grid: Some(table),
        ..SheetSection::default()
    }
}

fn speed(report: &CapacityReport) -> SheetSection {
    let head = [
        "GPU",
        "time of a step is",
        "context",
        "sequences",
        "dense ms",
        "stored ms",
        "ratio",
        "tok/s dense",
        "tok/s stored",
        "$/M out dense",
        "stored",
    ];
    let mut table = grid(2, &head);
    for row in &report.rows {
        let ratio = match (row.step_ms_dense, row.step_ms) {
            (Some(dense), Some(stored)) => format!("{:.2}", dense / stored),
            _ => "–".to_owned(),
        };
        let rate = |ms: Option<f64>| {
            ms.map_or_else(|| "–".to_owned(), |ms| count((row.batch as f64 / ms * 1e3) as usize))
        };
        table.rows.push(vec![
            row.gpu.clone(),
            labels(row.label_dense, row.label),
            count(row.ctx),
            count(row.batch),
            ms(row.step_ms_dense),
            ms(row.step_ms),
            ratio,
            rate(row.step_ms_dense),
            rate(row.step_ms),
            usd_or_dash(row.usd_per_million_dense),
            usd_or_dash(row.usd_per_million),
        ]);
    }
    let crossing = |ctx: Option<usize>| {
        ctx.map_or_else(|| "beyond its context".to_owned(), |ctx| format!("{} tokens", count(ctx)))
    };
    let crossovers = report.crossover.iter().map(|at| {
        format!(
            "{} sequences: K/V weigh as much as the weights that a step reads at {} dense, {} stored",
            count(at.batch),
            crossing(at.dense),
            crossing(at.stored)
        )
    });
    SheetSection {
        title: "Speed of a decode step, and what a million output tokens cost".to_owned(),
        lines: crossovers.collect(),
        grid: Some(table),
        notes: vec!["Below the context where K/V and weights weigh the same, a smaller cache lets more sequences in but hardly speeds a step up. Dollars are for full batches around the clock.".to_owned()],
        ..SheetSection::default()
    }
}

fn labels(dense: Label, stored: Label) -> String {
    match dense == stored {
        true => dense.word().to_owned(),
        false => format!("dense {}, stored {}", dense.word(), stored.word()),
    }
}

fn plainer(report: &CapacityReport) -> SheetSection {
    let head = [
        "GPU",
        "cache",
        "context",
        "sequences",
        "K/V",
        "of dense",
        "most sequences",
        "longest context",
        "step ms",
        "$/M out",
    ];
    let mut table = grid(2, &head);
    for (row, plain) in report.rows.iter().zip(report.plainer.chunks(2)) {
        let own = (
            report.stored.as_str(),
            row.kv_bytes,
            row.max_batch,
            row.max_ctx,
            row.step_ms,
            row.usd_per_million,
        );
        let plain = plain.iter().map(|plain| {
            (
                plain.cache,
                plain.kv_bytes,
                plain.room.max_batch,
                plain.room.max_ctx,
                plain.step_ms,
                plain.usd_per_million,
            )
        });
        for (name, kv, max_batch, max_ctx, step, cost) in std::iter::once(own).chain(plain) {
            table.rows.push(vec![
                row.gpu.clone(),
                name.to_owned(),
                count(row.ctx),
                count(row.batch),
                bytes(kv),
                percent(kv as f64 / row.kv_bytes_dense.max(1) as f64, 1),
                most(max_batch),
                most(max_ctx),
                ms(step),
                usd_or_dash(cost),
            ]);
        }
    }
    SheetSection {
        title: "What a plainer choice gives".to_owned(),
        grid: Some(table),
        notes: vec![
            "A plain cache codes every token in blocks of 32 numbers with one scale (8.5 and 4.5 bits), without a mask and without a window. Bytes say nothing of quality: `kscope compare` and `sweep` measure that. Steps of coded caches are estimated as bytes over bandwidth; engines that decode codes first are slower.".to_owned(),
        ],
        ..SheetSection::default()
    }
}

fn load(report: &CapacityReport) -> Option<SheetSection> {
    let load = report.load?;
    let mut table =
        grid(2, &["GPU", "cache", "sequences", "step ms", "tok/s", "busy GPUs", "GPUs", "a month"]);
    for row in &report.serving {
        table.rows.push(vec![
            row.gpu.clone(),
            row.stored.clone(),
            count(row.batch),
            format!("{:.2}", row.step_ms),
            count(row.tokens_per_s as usize),
            format!("{:.2}", row.busy_gpus),
            count(row.gpus),
            usd_or_dash(row.usd_per_month),
        ]);
    }
    Some(SheetSection {
        title: "GPUs for the load".to_owned(),
        lines: vec![format!(
            "{} requests a day of {} tokens in and {} out; prefill included",
            count(load.requests_per_day as usize),
            count(load.tokens_in),
            count(load.tokens_out)
        )],
        grid: Some(table),
        notes: vec!["A cache that cannot hold one request of this length is not listed. GPUs are whole, so a small load may save nothing.".to_owned()],
        ..SheetSection::default()
    })
}

fn scenarios(report: &CapacityReport) -> Option<SheetSection> {
    if report.scenarios.is_empty() {
        return None;
    }
    let mut table = grid(
        2,
        &[
            "GPU",
            "scenario",
            "load",
            "price",
            "GPUs dense",
            "stored",
            "a month, dense",
            "stored",
            "saved a month",
            "paid back after",
        ],
    );
    for row in &report.scenarios {
        let payback = match (row.payback_months, report.project) {
            (Some(months), _) => format!("{months:.1} months"),
            (None, None) => "no cost given".to_owned(),
            (None, Some(_)) => "never".to_owned(),
        };
        table.rows.push(vec![
            row.gpu.clone(),
            row.name.to_owned(),
            format!("× {}", row.load),
            format!("× {}", row.price),
            count(row.gpus_dense),
            count(row.gpus),
            usd(row.usd_per_month_dense),
            usd(row.usd_per_month),
            usd(row.saving_per_month),
            payback,
        ]);
    }
    let lines = report.project.map(|project| {
        format!(
            "integration: {} hours at {} an hour = {}",
            project.hours,
            usd(project.hourly_rate),
            usd(project.cost())
        )
    });
    let of_first = report.scenarios[0].gpu.clone();
    let curves = report.scenarios.iter().filter(|row| row.gpu == of_first);
    Some(SheetSection {
        title: "Saving and payback".to_owned(),
        lines: lines.into_iter().collect(),
        grid: Some(table),
        curves: curves
            .map(|row| Curve {
                name: format!("{} on {}", row.name, row.gpu),
                values: row.net.clone(),
            })
            .collect(),
        notes: vec![
            "The chart shows what is saved so far less the integration, in US dollars by month."
                .to_owned(),
        ],
    })
}

fn checks(report: &CapacityReport) -> Option<SheetSection> {
    let line = report.line?;
    let mut table =
        grid(1, &["plan", "context", "sequences", "measured ms", "predicted ms", "error"]);
    for check in &report.checks {
        table.rows.push(vec![
            check.plan.clone(),
            count(check.ctx),
            count(check.batch),
            format!("{:.2}", check.measured_ms),
            format!("{:.2}", check.predicted_ms),
            format!("{:+.1} %", check.error * 100.0),
        ]);
    }
    Some(SheetSection {
        title: "The speed model against what was measured".to_owned(),
        lines: vec![format!(
            "a dense step takes {:.2} ms, {:.2} ms for each further sequence, and {:.1} ms for each GB of K/V",
            line.fixed_ms, line.per_sequence_ms, line.per_gigabyte_ms
        )],
        grid: Some(table),
        notes: vec![
            "Each prediction is read off the line through the other measured steps of that plan."
                .to_owned(),
        ],
        ..SheetSection::default()
    })
}

fn assumed(report: &CapacityReport) -> SheetSection {
    let mut table = grid(3, &["assumption", "what it is", "why", "value"]);
    for row in &report.assumptions {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let value = format!("{} {}", row["value"], text("unit"));
        table.rows.push(vec![text("name"), text("about"), text("source"), value]);
    }
    let mut lines = Vec::new();
    for gpu in &report.gpus {
        if let Some(price) = &gpu.price {
            lines.push(format!(
                "{}: ${} an hour as of {} ({})",
                gpu.name, price.usd_per_hour, price.as_of, price.source
            ));
        }
    }
    SheetSection {
        title: "Assumptions; --assume NAME=VALUE changes one, --price GPU=USD a price".to_owned(),
        lines,
        grid: Some(table),
        notes: vec![format!("Plan of {}.", report.date)],
        ..SheetSection::default()
    }
}

//! How long a step takes, dense, as stored and plainly.

use super::cells::{CellTable, SheetSection};
use super::figures::{NONE, counted, most, ms, rate, usd_or_none};
use super::size::without;
use crate::capacity::report::{CapacityReport, Crossover};
use crate::capacity::speed::Label;
use crate::numbers::{bytes, count, percent};

pub(super) fn speed(report: &CapacityReport) -> SheetSection {
    let mut table = CellTable::new(
        2,
        4,
        &[
            "GPU",
            "time of a step is",
            "context",
            "sequences",
            "dense ms",
            "stored ms",
            "times faster",
            "dense tok/s",
            "stored tok/s",
            "dense $/M out",
            "stored $/M out",
        ],
    );
    for row in &report.rows {
        let ratio = match (row.step_ms_dense, row.step_ms) {
            (Some(dense), Some(stored)) => format!("{:.2}", dense / stored),
            _ => NONE.to_owned(),
        };
        table.rows.push(vec![
            row.gpu.clone(),
            labels(row.label_dense, row.label),
            count(row.ctx),
            count(row.batch),
            ms(row.step_ms_dense),
            ms(row.step_ms),
            ratio,
            rate(row.batch, row.step_ms_dense),
            rate(row.batch, row.step_ms),
            usd_or_none(row.usd_per_million_dense),
            usd_or_none(row.usd_per_million),
        ]);
    }
    SheetSection {
        title: "Speed of a decode step, and what a million output tokens cost".to_owned(),
        lines: report.crossover.iter().map(|at| crossing(at, report.is_dense)).collect(),
        table: Some(if report.is_dense { without(table, &[5, 6, 8, 10]) } else { table }),
        notes: vec!["Below the context where K/V and weights weigh the same, a smaller cache lets more sequences in but hardly speeds a step up. Dollars are for full batches around the clock.".to_owned()],
        ..SheetSection::default()
    }
}

/// Where K/V weigh as much as the weights, in a sentence.
fn crossing(at: &Crossover, is_dense: bool) -> String {
    let where_at = |ctx: Option<usize>| {
        ctx.map_or_else(
            || "beyond the model's context".to_owned(),
            |ctx| format!("at {} tokens", count(ctx)),
        )
    };
    let places = match (is_dense || at.dense == at.stored, at.dense) {
        (true, dense) => where_at(dense),
        (false, dense) => format!("{} dense, {} stored", where_at(dense), where_at(at.stored)),
    };
    format!(
        "{}: K/V weigh as much as the weights that a step reads {places}",
        counted(at.batch, "sequence")
    )
}

fn labels(dense: Label, stored: Label) -> String {
    match dense == stored {
        true => dense.word().to_owned(),
        false => format!("dense {}, stored {}", dense.word(), stored.word()),
    }
}

pub(super) fn plainer(report: &CapacityReport) -> SheetSection {
    let mut table = CellTable::new(
        2,
        4,
        &[
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
        ],
    );
    table.group = 1 + report.plainer.len() / report.rows.len().max(1);
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
                usd_or_none(cost),
            ]);
        }
    }
    SheetSection {
        title: "What a plainer choice gives".to_owned(),
        table: Some(table),
        notes: vec![
            "A plain cache codes every token in blocks of 32 numbers with one scale (8.5 and 4.5 bits), without a mask and without a window. Bytes say nothing of quality: `kscope compare` and `kscope sweep` measure that. Steps of coded caches are estimated as bytes over bandwidth; engines that decode codes first are slower.".to_owned(),
        ],
        ..SheetSection::default()
    }
}

pub(super) fn checks(report: &CapacityReport) -> Option<SheetSection> {
    let line = report.line?;
    let head = ["plan", "context", "sequences", "measured ms", "predicted ms", "error"];
    let mut table = CellTable::new(1, 3, &head);
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
        table: Some(table),
        notes: vec![
            "Each prediction is read off the line through the other measured steps of that plan."
                .to_owned(),
        ],
        ..SheetSection::default()
    })
}

//! What serving costs, what is saved, and what all of it assumes.

use super::cells::{CellTable, SheetSection};
use super::figures::{counted, plain, price, usd, usd_or_none};
use crate::capacity::chart::Curve;
use crate::capacity::report::CapacityReport;
use crate::numbers::count;

pub(super) fn load(report: &CapacityReport) -> Option<SheetSection> {
    let load = report.load?;
    let head = ["GPU", "cache", "sequences", "step ms", "tok/s", "busy GPUs", "GPUs", "a month"];
    let mut table = CellTable::new(2, 2, &head);
    for row in &report.serving {
        table.rows.push(vec![
            row.gpu.clone(),
            row.stored.clone(),
            count(row.batch),
            format!("{:.2}", row.step_ms),
            count(row.tokens_per_s as usize),
            format!("{:.2}", row.busy_gpus),
            count(row.gpus),
            usd_or_none(row.usd_per_month),
        ]);
    }
    Some(SheetSection {
        title: "GPUs for the load".to_owned(),
        lines: vec![format!(
            "{} requests a day of {} tokens in and {} out; prefill included",
            plain(load.requests_per_day),
            count(load.tokens_in),
            count(load.tokens_out)
        )],
        table: Some(table),
        notes: vec!["A cache that cannot hold one request of this length is not listed. GPUs are whole, so a small load may save nothing.".to_owned()],
        ..SheetSection::default()
    })
}

pub(super) fn scenarios(report: &CapacityReport) -> Option<SheetSection> {
    if report.scenarios.is_empty() {
        return None;
    }
    let head = [
        "GPU",
        "scenario",
        "load",
        "price",
        "GPUs, dense",
        "GPUs, stored",
        "a month, dense",
        "a month, stored",
        "saved a month",
        "paid back after",
    ];
    let mut table = CellTable::new(2, 2, &head);
    table.group = 3;
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
            plain(project.hours),
            usd(project.hourly_rate),
            usd(project.cost())
        )
    });
    let of_first = report.scenarios[0].gpu.clone();
    let curves = report.scenarios.iter().filter(|row| row.gpu == of_first);
    Some(SheetSection {
        title: "Saving and payback".to_owned(),
        lines: lines.into_iter().collect(),
        table: Some(table),
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

pub(super) fn assumed(report: &CapacityReport) -> SheetSection {
    let mut table = CellTable::new(4, 1, &["assumption", "value", "what it is", "why"]);
    for row in &report.assumptions {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let value =
            format!("{} {}", plain(row["value"].as_f64().unwrap_or_default()), text("unit"));
        table.rows.push(vec![text("name"), value, text("about"), text("source")]);
    }
    let mut lines = Vec::new();
    for gpu in &report.gpus {
        if let Some(of) = &gpu.price {
            let each = match report.gpus_per_model {
                1 => String::new(),
                n => format!(", {} share a model", counted(n, "GPU")),
            };
            lines.push(format!(
                "{}: {} an hour as of {} ({}){each}",
                gpu.name,
                price(of.usd_per_hour),
                of.as_of,
                of.source
            ));
        }
    }
    SheetSection {
        title: "Assumptions; --assume NAME=VALUE changes one, --price GPU=USD a price".to_owned(),
        lines,
        table: Some(table),
        notes: vec![format!("Plan of {}.", report.date)],
        ..SheetSection::default()
    }
}

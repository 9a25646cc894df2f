//! How large the cache is, and what fits.

use super::cells::{CellTable, SheetSection};
use super::figures::{counted, most};
use crate::capacity::report::{CapacityReport, CapacityRow};
use crate::model::served::ServedModel;
use crate::numbers::{bytes, count, percent};

/// The model in one line.
pub(in crate::capacity) fn headline(model: &ServedModel) -> String {
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

pub(super) fn size(report: &CapacityReport) -> SheetSection {
    let (model, window) = (&report.model, report.window);
    let mut table = CellTable::new(
        0,
        2,
        &[
            "context",
            "sequences",
            "dense",
            "stored",
            "saved",
            "in blocks, dense",
            "in blocks, stored",
        ],
    );
    for row in of_first_gpu(report) {
        let saved = 1.0 - row.kv_bytes as f64 / row.kv_bytes_dense.max(1) as f64;
        table.rows.push(vec![
            count(row.ctx),
            count(row.batch),
            bytes(row.kv_bytes_dense),
            bytes(row.kv_bytes),
            percent(saved, 1),
            bytes(row.kv_allocated_bytes_dense),
            bytes(row.kv_allocated_bytes),
        ]);
    }
    let stored = match report.is_dense {
        true => "everything (dense)".to_owned(),
        false => format!(
            "{} (sink {}, recent {}, chunk {})",
            report.stored,
            count(window.sink),
            count(window.recent),
            count(window.chunk)
        ),
    };
    SheetSection {
        title: "Size of the K/V cache".to_owned(),
        lines: vec![
            format!("sizes from {}: {}", model.origin, report.layers),
            format!(
                "weights {} ({}) · cache in {} · stored: {stored}",
                bytes(model.weights.bytes as u64),
                model.weights.origin,
                report.kv_dtype,
            ),
        ],
        table: Some(if report.is_dense { without(table, &[3, 4, 6]) } else { table }),
        notes: vec![
            "Elements, scales of codes included; the window of sink, recent and chunk is whole. In blocks: as kscope's own allocator holds them, 64 tokens a block, 8 blocks at once where tokens stay.".to_owned(),
        ],
        ..SheetSection::default()
    }
}

/// The table without some columns.
pub(super) fn without(table: CellTable, columns: &[usize]) -> CellTable {
    let kept = |cells: Vec<String>| -> Vec<String> {
        let cells = cells.into_iter().enumerate();
        cells.filter(|(column, _)| !columns.contains(column)).map(|(_, cell)| cell).collect()
    };
    CellTable { head: kept(table.head), rows: table.rows.into_iter().map(kept).collect(), ..table }
}

/// Contexts × sequences: what fits the GPU, dense and as stored, and the limits at the edges.
pub(super) fn fits(report: &CapacityReport, gpu: &str) -> SheetSection {
    let index = report.gpus.iter().position(|known| known.name == gpu).unwrap_or(0);
    let (known, memory) = (&report.gpus[index], &report.memory[index]);
    let rows: Vec<&CapacityRow> = report.rows.iter().filter(|row| row.gpu == gpu).collect();
    let first = rows.first().map(|row| (row.ctx, row.batch));
    let contexts: Vec<&CapacityRow> = rows
        .iter()
        .copied()
        .filter(|row| Some(row.batch) == first.map(|(_, batch)| batch))
        .collect();
    let batches: Vec<&CapacityRow> =
        rows.iter().copied().filter(|row| Some(row.ctx) == first.map(|(ctx, _)| ctx)).collect();
    let limits = match report.is_dense {
        true => vec!["most sequences"],
        false => vec!["most sequences, dense", "most sequences, stored"],
    };
    let mut head = vec!["context".to_owned()];
    head.extend(batches.iter().map(|row| counted(row.batch, "sequence")));
    head.extend(limits.iter().map(|&text| text.to_owned()));
    let mut table = CellTable { head, words: 1, keys: 1, group: 1, rows: Vec::new() };
    for of_ctx in &contexts {
        let mut cells = vec![count(of_ctx.ctx)];
        let at = |batch: usize| rows.iter().find(|row| (row.ctx, row.batch) == (of_ctx.ctx, batch));
        let word = |row: &CapacityRow| word(row, report.is_dense).to_owned();
        cells
            .extend(batches.iter().map(|row| at(row.batch).map_or(String::new(), |row| word(row))));
        cells.push(most(of_ctx.max_batch_dense));
        cells.extend((!report.is_dense).then(|| most(of_ctx.max_batch)));
        table.rows.push(cells);
    }
    let mut longest = |name: &str, of: fn(&CapacityRow) -> usize| {
        let mut cells = vec![name.to_owned()];
        cells.extend(batches.iter().map(|row| most(of(row))));
        cells.extend(limits.iter().map(|_| String::new()));
        table.rows.push(cells);
    };
    match report.is_dense {
        true => longest("longest context", |row| row.max_ctx_dense),
        false => {
            longest("longest context, dense", |row| row.max_ctx_dense);
            longest("longest context, stored", |row| row.max_ctx);
        }
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
        table: Some(table),
        notes: vec![
            "A sequence needs more while it grows than it holds in the end: a chunk is whole until it moves, and blocks come eight at once.".to_owned(),
        ],
        ..SheetSection::default()
    }
}

/// Which of the two caches fit.
fn word(row: &CapacityRow, is_dense: bool) -> &'static str {
    match (row.fits_dense, row.fits) {
        (true, true) if is_dense => "fits",
        (true, true) => "both fit",
        (false, true) => "stored fits",
        (true, false) => "dense fits",
        (false, false) => "no",
    }
}

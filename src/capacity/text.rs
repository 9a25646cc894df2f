//! A plan as plain text.

use super::chart;
use super::report::CapacityReport;
use super::sheet::{CellTable, headline, sections};

/// The plan as text for a terminal.
pub fn text(report: &CapacityReport) -> String {
    let mut text = headline(&report.model);
    for section in sections(report) {
        text += &format!("\n\n{}\n", section.title);
        let lines = section.lines.iter().map(|line| format!("  {line}\n"));
        text.extend(lines);
        text.extend(section.grid.iter().map(table));
        text.extend(chart::text(&section.curves).iter().map(|line| format!("  {line}\n")));
        text.extend(section.notes.iter().map(|note| format!("  {note}\n")));
        text.truncate(text.trim_end().len());
    }
    text
}

fn table(grid: &CellTable) -> String {
    let width = |column: usize| {
        let cells = grid.rows.iter().map(|row| row[column].chars().count());
        cells.chain([grid.head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..grid.head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let cell = |(column, text): (usize, &String)| match column < grid.words {
            true => format!("{text:<0$}", widths[column]),
            false => format!("{text:>0$}", widths[column]),
        };
        let cells: Vec<String> = cells.iter().enumerate().map(cell).collect();
        format!("  {}\n", cells.join("  ").trim_end())
    };
    std::iter::once(&grid.head).chain(&grid.rows).map(|row| line(row)).collect()
}

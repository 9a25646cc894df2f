//! A plan as Markdown.

use super::chart;
use super::report::CapacityReport;
use super::sheet::{CellTable, headline, sections};

/// The plan as a Markdown document.
pub fn markdown(report: &CapacityReport) -> String {
    let mut text = format!(
        "# Capacity plan: {}\n\n{}\n",
        safe(&report.model.name),
        safe(&headline(&report.model))
    );
    for section in sections(report) {
        text += &format!("\n## {}\n\n", safe(&section.title));
        text.extend(section.lines.iter().map(|line| format!("- {}\n", safe(line))));
        if !section.lines.is_empty() {
            text.push('\n');
        }
        text.extend(section.table.iter().map(table));
        if !section.curves.is_empty() {
            let lines = chart::text(&section.curves).join("\n");
            text += &format!("\n```text\n{lines}\n```\n");
        }
        text.extend(section.notes.iter().map(|note| format!("\n{}\n", safe(note))));
    }
    text.trim_end().to_owned()
}

/// Text whose characters mean nothing to Markdown.
fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => out.push(' '),
            '|' | '<' | '>' | '`' | '*' | '_' | '[' | ']' | '\\' | '&' => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    out
}

fn table(grid: &CellTable) -> String {
    let row = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| safe(cell)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let sides: Vec<&str> = (0..grid.head.len())
        .map(|column| if column < grid.words { "---" } else { "---:" })
        .collect();
    let mut text = row(&grid.head);
    text += &format!("| {} |\n", sides.join(" | "));
    text.extend(grid.rows.iter().map(|cells| row(cells)));
    text
}

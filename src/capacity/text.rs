//! A plan as plain text, for a terminal of any width or for a file.

use super::chart;
use super::report::CapacityReport;
use super::sheet::{CellTable, headline, sections};
use crate::printable::wrapped;

/// Blanks before everything that is not a title.
const INDENT: usize = 2;
/// Blanks between columns.
const GAP: usize = 2;
/// Columns that sentences in a table get at least.
const LEAST_PROSE: usize = 20;

/// The plan as text. With a `width`, lines are wrapped at so many columns, and tables that are
/// wider wrap their heads and sentences, or go on below.
pub fn text(report: &CapacityReport, width: Option<usize>) -> String {
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(INDENT).max(30));
    let mut text = wrapped(&headline(&report.model), room).join("\n");
    for section in sections(report) {
        text += &format!("\n\n{}\n", wrapped(&section.title, room).join("\n"));
        let mut push = |line: &str| text += &format!("  {line}\n");
        let paragraph = |lines: &[String], push: &mut dyn FnMut(&str)| {
            lines.iter().flat_map(|line| wrapped(line, room)).for_each(|line| push(&line));
        };
        paragraph(&section.lines, &mut push);
        section.table.iter().flat_map(|grid| table(grid, room)).for_each(|line| push(&line));
        chart::text(&section.curves).iter().for_each(|line| push(line));
        paragraph(&section.notes, &mut push);
        text.truncate(text.trim_end().len());
    }
    text
}

/// The lines of a table in so many columns.
fn table(grid: &CellTable, room: usize) -> Vec<String> {
    let all: Vec<usize> = (0..grid.head.len()).collect();
    let longest =
        |column: usize| grid.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let natural = |column: usize| longest(column).max(grid.head[column].chars().count());
    let total = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * (widths.len().max(1) - 1);
    let widths: Vec<usize> = all.iter().map(|&column| natural(column)).collect();
    if total(&widths) <= room {
        return lines(grid, &all, &widths);
    }
    let word = |text: &String| text.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
    let mut widths: Vec<usize> =
        all.iter().map(|&column| longest(column).max(word(&grid.head[column]))).collect();
    let prose: Vec<usize> = all.iter().copied().filter(|&column| grid.is_prose(column)).collect();
    let over = total(&widths).saturating_sub(room);
    if over > 0 && !prose.is_empty() {
        let sum: usize = prose.iter().map(|&column| widths[column]).sum();
        let each = sum.saturating_sub(over) / prose.len();
        prose.iter().for_each(|&column| widths[column] = widths[column].min(each.max(LEAST_PROSE)));
    }
    // Columns go on below the others, beside those that say which row it is.
    let keys = &all[..grid.keys];
    let mut parts: Vec<Vec<usize>> = Vec::new();
    for column in grid.keys..grid.head.len() {
        let fits = parts.last().is_some_and(|part| {
            let with = part.iter().chain([&column]).map(|&column| widths[column]);
            total(&with.collect::<Vec<_>>()) <= room
        });
        match parts.last_mut() {
            Some(part) if fits => part.push(column),
            _ => parts.push(keys.iter().copied().chain([column]).collect()),
        }
    }
    let mut all_lines = Vec::new();
    for part in parts {
        if !all_lines.is_empty() {
            all_lines.push(String::new());
        }
        all_lines.extend(lines(grid, &part, &widths));
    }
    all_lines
}

/// The lines of some columns, head first.
fn lines(grid: &CellTable, columns: &[usize], widths: &[usize]) -> Vec<String> {
    let row = |cells: &[String], is_head: bool| {
        let cells: Vec<Vec<String>> =
            columns.iter().map(|&column| wrapped(&cells[column], widths[column])).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(1);
        let line = |at: usize| {
            let cell = |(&column, lines): (&usize, &Vec<String>)| {
                // Heads stand on the figures below them.
                let above = if is_head { height - lines.len() } else { 0 };
                let text = at.checked_sub(above).and_then(|at| lines.get(at));
                let text = text.map_or("", String::as_str);
                match column < grid.words {
                    true => format!("{text:<0$}", widths[column]),
                    false => format!("{text:>0$}", widths[column]),
                }
            };
            let cells: Vec<String> = columns.iter().zip(&cells).map(cell).collect();
            cells.join("  ").trim_end().to_owned()
        };
        (0..height).map(line).collect::<Vec<_>>()
    };
    let body = grid.rows.iter().flat_map(|cells| row(cells, false));
    row(&grid.head, true).into_iter().chain(body).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> CellTable {
        let mut grid =
            CellTable::new(1, 1, &["GPU", "most sequences, dense", "longest context, dense", "ms"]);
        grid.rows.push(["h100-sxm", "126", "131,072", "5.46"].map(str::to_owned).to_vec());
        grid.rows.push(["l4", "3", "7,680", "does not fit"].map(str::to_owned).to_vec());
        grid
    }

    #[test]
    fn a_narrow_terminal_gets_every_figure_of_a_table() {
        let wide = table(&grid(), usize::MAX);
        assert_eq!(
            wide[0],
            "GPU       most sequences, dense  longest context, dense            ms"
        );
        assert_eq!(wide.len(), 3);
        for room in 30..80 {
            let narrow = table(&grid(), room);
            assert!(narrow.iter().all(|line| line.chars().count() <= room), "{room}: {narrow:#?}");
            let words = |lines: &[String]| {
                let mut words: Vec<String> = lines
                    .iter()
                    .flat_map(|line| line.split_whitespace())
                    .map(str::to_owned)
                    .collect();
                words.sort();
                words.dedup();
                words
            };
            assert_eq!(words(&narrow), words(&wide), "{room}");
        }
    }
}

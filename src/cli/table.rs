//! Tables of figures: padded columns for a terminal, or Markdown.

use crate::printable::{Breaks, printable, without_marks};

/// How a table is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    edge: &'static str,
    between: &'static str,
    /// Whether columns are padded to one width.
    padded: bool,
}

impl Style {
    /// Columns of one width, the first to the left.
    pub const PLAIN: Self = Self { edge: "", between: "  ", padded: true };
    /// Markdown.
    pub const MARKDOWN: Self = Self { edge: "|", between: "|", padded: false };

    /// Whether columns are padded to one width.
    pub fn padded(&self) -> bool {
        self.padded
    }

    /// The lines of a table; the first row is its head.
    pub fn lines(&self, rows: &[Vec<String>]) -> Vec<String> {
        // A cell is part of one line, whatever a file calls its tasks.
        let shown = |cell: &String| printable(cell, Breaks::Shown).into_owned();
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(shown).collect()).collect();
        let mut lines = Vec::with_capacity(rows.len() + 1);
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let columns = rows.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns).filter_map(width).collect();
        for (index, row) in rows.iter().enumerate() {
            let cells =
                row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                    match (self.padded, column) {
                        (false, _) => format!(" {} ", without_marks(cell)),
                        (true, 0) => format!("{cell:<width$}"),
                        (true, _) => format!("{cell:>width$}"),
                    }
                });
            let cells: Vec<String> = cells.collect();
            let line = format!("{0}{1}{0}", self.edge, cells.join(self.between));
            lines.push(line.trim_end().to_owned());
            if index == 0 && !self.padded {
                lines.push(format!("|{}", "---|".repeat(row.len())));
            }
        }
        lines
    }
}

//! Sections and their tables.

use crate::capacity::chart::Curve;

/// A table of cells.
#[derive(Debug, Clone, Default)]
pub(in crate::capacity) struct CellTable {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// First columns that hold words: they are left-aligned, the others right-aligned.
    pub words: usize,
    /// First columns that say which row it is: parts of a table that is too wide repeat them.
    pub keys: usize,
    /// Rows that belong together; 1 where each stands alone.
    pub group: usize,
}

impl CellTable {
    /// A table without rows.
    pub fn new(words: usize, keys: usize, head: &[&str]) -> Self {
        let head = head.iter().map(|&text| text.to_owned()).collect();
        Self { head, rows: Vec::new(), words, keys, group: 1 }
    }

    /// Whether a column holds sentences, which may be wrapped.
    pub fn is_prose(&self, column: usize) -> bool {
        const LONGEST_NAME: usize = 32;
        let is_long = |row: &Vec<String>| row[column].chars().count() > LONGEST_NAME;
        column < self.words && self.rows.iter().any(is_long)
    }
}

/// One section of a plan.
#[derive(Debug, Clone, Default)]
pub(in crate::capacity) struct SheetSection {
    pub title: String,
    pub lines: Vec<String>,
    pub table: Option<CellTable>,
    pub curves: Vec<Curve>,
    pub notes: Vec<String>,
}

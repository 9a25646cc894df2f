//! A plan as sections of lines and tables, of which text, Markdown and HTML are made.

mod cells;
mod figures;
mod money;
mod size;
mod speed;

pub(super) use cells::{CellTable, SheetSection};
pub use figures::{plain, price, usd};
pub(super) use size::headline;

use super::report::CapacityReport;

/// All sections, in the order of the reader's questions.
pub(super) fn sections(report: &CapacityReport) -> Vec<SheetSection> {
    let mut sections = vec![size::size(report)];
    sections.extend(report.gpus.iter().map(|gpu| size::fits(report, &gpu.name)));
    sections.push(speed::speed(report));
    sections.push(speed::plainer(report));
    sections.extend(money::load(report));
    sections.extend(money::scenarios(report));
    sections.extend(speed::checks(report));
    sections.push(money::assumed(report));
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

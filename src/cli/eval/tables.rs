//! Tables of an evaluation.

use crate::cli::output;
use crate::cli::table::Style;
use crate::eval::report::stability;
use crate::eval::report::tables::{by_depth, losses, means, positions, scores, stored, summary};
use crate::eval::run::{CONTROL, Figures, Record, Row};
use crate::numbers::count;
use crate::{Error, Result};

/// How figures are printed.
#[derive(Debug, Clone, clap::Args)]
pub struct PrintArgs {
    /// Print one JSON object
    #[arg(long, conflicts_with = "md")]
    json: bool,
    /// Print Markdown tables
    #[arg(long)]
    md: bool,
}

/// Prints figures as asked.
pub fn print(args: &PrintArgs, figures: &Figures) -> Result<()> {
    if args.json {
        return output::json(figures);
    }
    let style = if args.md { Style::MARKDOWN } else { Style::PLAIN };
    if figures.rows.len() < 2 {
        return Err(Error::input("the results hold no answer and no loss yet"));
    }
    output::line(&tables(figures, style))
}

/// All tables of a run in Markdown.
pub fn markdown(figures: &Figures) -> String {
    tables(figures, Style::MARKDOWN)
}

/// All tables of a run.
fn tables(figures: &Figures, style: Style) -> String {
    let mut lines = summary(figures);
    if style.padded() {
        lines.push(String::new());
    } else {
        lines = lines.join("\n\n").lines().map(str::to_owned).chain([String::new()]).collect();
    }
    lines.extend(style.lines(&stored(figures)));
    let answered: Vec<&Row> =
        figures.rows.iter().filter(|row| row.kl.is_none() && row.suite != CONTROL).collect();
    if !answered.is_empty() {
        lines.push(String::new());
        lines.extend(style.lines(&scores(&answered)));
        lines.push(String::new());
        lines.extend(style.lines(&means(figures)));
        lines.push(String::new());
        lines.push("p is one-sided: McNemar's exact test, or a bootstrap where answers are right in part (with the 95 % interval of the difference).".to_owned());
    }
    if !figures.depths.is_empty() {
        lines.push(String::new());
        lines.extend(style.lines(&by_depth(&figures.depths)));
    }
    let read: Vec<&Row> = figures
        .rows
        .iter()
        .filter(|row| row.kl.is_some() && row.suite != Record::STABILITY)
        .collect();
    if !read.is_empty() {
        lines.push(String::new());
        lines.extend(style.lines(&losses(&read)));
        lines.push(String::new());
        lines.extend(style.lines(&positions(&read)));
        if style.padded() {
            for row in &read {
                let kl = row.kl.as_ref().expect("only rows with one");
                lines.push(format!("\n{} at {}, {}:", row.task, count(row.ctx), row.mask));
                lines.push(kl.blocks());
            }
        }
    }
    if let Some(figures) = &figures.stability {
        for table in stability::all(figures) {
            lines.push(String::new());
            lines.extend(style.lines(&table));
        }
        for sentence in stability::sentences(figures) {
            lines.push(String::new());
            lines.push(sentence);
        }
    }
    for flag in &figures.flags {
        lines.push(String::new());
        lines.push(format!("Note: {flag}"));
    }
    lines.join("\n")
}

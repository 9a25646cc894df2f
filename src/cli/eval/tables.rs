//! Tables of an evaluation.

use std::path::PathBuf;

use crate::cli::output;
use crate::cli::report::page;
use crate::cli::table::Style;
use crate::eval::report::stability;
use crate::eval::report::tables::{
    by_depth, losses, means, of_means, positions, scores, stored, summary,
};
use crate::eval::run::{CONTROL, Figures, Record, Results, Row};
use crate::numbers::count;
use crate::printable::without_marks;
use crate::{Error, Result};

/// How figures are printed.
#[derive(Debug, Clone, clap::Args)]
pub struct PrintArgs {
    /// Print one JSON object
    #[arg(long, conflicts_with_all = ["md", "html"])]
    json: bool,
    /// Print Markdown tables
    #[arg(long, conflicts_with = "html")]
    md: bool,
    /// Print the page of `kscope report`
    #[arg(long)]
    html: bool,
}

/// Prints figures as asked; a page has pictures of the masks in these files.
pub fn print(
    args: &PrintArgs,
    results: &Results,
    figures: &Figures,
    masks: &[PathBuf],
) -> Result<()> {
    if args.json {
        return output::json("eval", figures);
    }
    if figures.rows.len() < 2 {
        // A part may have nothing to do, or only importance to measure.
        if figures.run.shard.is_some() {
            output::note("kscope: this part has no rows of its own");
            return Ok(());
        }
        return Err(Error::input("the results hold no answer and no loss yet"));
    }
    if args.html {
        return output::line(&page(results, figures, masks, &[])?);
    }
    let style = if args.md { Style::MARKDOWN } else { Style::PLAIN };
    output::line(&tables(figures, style))
}

/// All tables of a run in Markdown.
pub fn markdown(figures: &Figures) -> String {
    tables(figures, Style::MARKDOWN)
}

/// All tables of a run.
fn tables(figures: &Figures, style: Style) -> String {
    let said = |sentence: String| match style.padded() {
        true => sentence,
        false => without_marks(&sentence),
    };
    let mut lines = Vec::new();
    for line in summary(figures) {
        match style.padded() {
            true => lines.push(line),
            false => lines.extend([without_marks(&line), String::new()]),
        }
    }
    if style.padded() {
        lines.push(String::new());
    }
    lines.extend(style.lines(&stored(figures)));
    let answered: Vec<&Row> =
        figures.rows.iter().filter(|row| row.kl.is_none() && row.suite != CONTROL).collect();
    if !answered.is_empty() {
        lines.push(String::new());
        lines.extend(style.lines(&scores(&answered)));
        lines.push(String::new());
        lines.extend(style.lines(&means(figures)));
        for sentence in of_means(figures) {
            lines.extend([String::new(), said(sentence)]);
        }
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
            lines.extend([String::new(), said(sentence)]);
        }
    }
    for flag in &figures.flags {
        lines.extend([String::new(), said(format!("Note: {flag}"))]);
    }
    lines.join("\n")
}

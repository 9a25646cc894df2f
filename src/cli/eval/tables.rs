//! Tables of an evaluation.

use crate::cli::output;
use crate::cli::table::Style;
use crate::eval::run::{CONTROL, Depths, Figures, Row};
use crate::numbers::{bytes, count, percent};
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

/// All tables of a run.
pub fn tables(figures: &Figures, style: Style) -> String {
    let run = &figures.run;
    let control = &figures.control;
    let mut lines = vec![
        format!(
            "{}: {} results, seed {}, question {}, {} cache, {}{}",
            run.model,
            count(run.jobs),
            run.seed,
            match run.protocol {
                crate::eval::prompt::Protocol::After => "after the cut context",
                crate::eval::prompt::Protocol::Prompt => "in the prompt",
            },
            run.kv_dtype,
            run.tool,
            run.commit.as_ref().map_or_else(String::new, |commit| format!(" of {commit}"))
        ),
        format!("command: {}", run.command),
        format!(
            "control: dense against itself over {} answers and positions: {} answers differ, {} probabilities differ, largest KLD {}",
            count(control.n),
            control.differing_answers,
            control.differing_positions,
            control.largest_kld
        ),
    ];
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
    let read: Vec<&Row> = figures.rows.iter().filter(|row| row.kl.is_some()).collect();
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
    for flag in &figures.flags {
        lines.push(String::new());
        lines.push(format!("Note: {flag}"));
    }
    lines.join("\n")
}

fn head(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn stored(figures: &Figures) -> Vec<Vec<String>> {
    let run = &figures.run;
    let mut rows = vec![head(&["mask", "bytes", "window", "fingerprint"])];
    for ctx in run.dense_kv_bytes.keys() {
        rows[0].push(format!("at {}", count(*ctx)));
    }
    let mut dense = head(&["dense", "100.0 %", "", ""]);
    dense.extend(run.dense_kv_bytes.values().map(|size| bytes(*size as u64)));
    rows.push(dense);
    for mask in &run.masks {
        let window = mask.window;
        let mut row = vec![
            mask.name.clone(),
            percent(mask.bytes_share, 1),
            format!("{}/{}/{}", window.sink, window.recent, window.chunk),
            mask.fingerprint.chars().take(12).collect(),
        ];
        row.extend(mask.kv_bytes.values().map(|size| bytes(*size as u64)));
        rows.push(row);
    }
    rows
}

fn scores(rows: &[&Row]) -> Vec<Vec<String>> {
    let mut lines =
        vec![head(&["task", "ctx", "mask", "n", "score", "dense", "lost", "won", "p", ""])];
    for row in rows {
        let p = match row.interval {
            Some([low, high]) => format!("{:.3} [{low:+.1}, {high:+.1}]", row.p),
            None => format!("{:.3}", row.p),
        };
        lines.push(vec![
            row.task.clone(),
            count(row.ctx),
            row.mask.clone(),
            count(row.n),
            format!("{:.2}", row.score),
            format!("{:.2}", row.dense_score),
            row.lost.to_string(),
            row.won.to_string(),
            p,
            if row.informative { "" } else { "uninformative: dense fails" }.to_owned(),
        ]);
    }
    lines
}

fn means(figures: &Figures) -> Vec<Vec<String>> {
    let mut rows =
        vec![head(&["mean over tasks", "ctx", "mask", "score", "dense", "tasks", "left out"])];
    for average in &figures.averages {
        let score =
            |score: Option<f64>| score.map_or_else(|| "-".to_owned(), |s| format!("{s:.2}"));
        rows.push(vec![
            average.suite.clone(),
            count(average.ctx),
            average.mask.clone(),
            score(average.score),
            score(average.dense_score),
            average.tasks.join(", "),
            average.left_out.join(", "),
        ]);
    }
    rows
}

fn by_depth(depths: &[Depths]) -> Vec<Vec<String>> {
    let mut rows = vec![head(&[
        "score by depth",
        "ctx",
        "0-20 %",
        "20-40 %",
        "40-60 %",
        "60-80 %",
        "80-100 %",
    ])];
    for one in depths {
        let cell = |(n, score): (usize, f64)| match n {
            0 => "-".to_owned(),
            n => format!("{score:.1} (n {n})"),
        };
        let mut row = vec![one.mask.clone(), count(one.ctx)];
        row.extend(one.fifths.map(cell));
        rows.push(row);
    }
    rows
}

fn losses(rows: &[&Row]) -> Vec<Vec<String>> {
    let mut lines = vec![head(&[
        "text",
        "ctx",
        "mask",
        "n",
        "PPL",
        "PPL base",
        "mean KLD",
        "±",
        "median",
        "99 %",
        "99.9 %",
        "max",
        "same top",
        "RMS Δp",
        "chunks worse / better (p)",
    ])];
    for row in rows {
        let kl = row.kl.as_ref().expect("only rows with one");
        lines.push(vec![
            row.task.clone(),
            count(row.ctx),
            row.mask.clone(),
            count(row.n),
            format!("{:.4}", kl.ppl.mean),
            format!("{:.4}", kl.ppl_base.mean),
            format!("{:.5}", kl.kld.mean),
            format!("{:.5}", kl.kld.error),
            format!("{:.5}", kl.kld_percentiles[4]),
            format!("{:.4}", kl.kld_percentiles[1]),
            format!("{:.4}", kl.kld_percentiles[0]),
            format!("{:.4}", kl.kld_range[0]),
            format!("{:.2} %", kl.same_top.mean),
            format!("{:.2} %", kl.rms_delta_p.mean),
            format!("{} / {} ({:.3})", row.lost, row.won, row.p),
        ]);
    }
    lines
}

fn positions(rows: &[&Row]) -> Vec<Vec<String>> {
    let mut first = head(&["mean KLD by position", "ctx", "mask"]);
    first.extend((1..=8).map(|part| format!("{part}/8")));
    let mut lines = vec![first];
    for row in rows {
        let mut line = vec![row.task.clone(), count(row.ctx), row.mask.clone()];
        line.extend(row.kld_by_position.iter().map(|kld| format!("{kld:.5}")));
        lines.push(line);
    }
    lines
}

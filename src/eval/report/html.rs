//! The page: one file without links, for screens of any width, light and dark, and for paper.

use std::fmt::Write;

use super::map::{self, MapPicture};
use super::plot;
use super::stability;
use super::tables::{by_depth, losses, means, of_means, positions, scores, stored, summary};
use super::worst::Worst;
use crate::eval::run::{CONTROL, Figures, Record, Row};
use crate::numbers::count;
use crate::printable::without_markup;

/// How fast one cache decodes.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct Speed {
    /// The plan's name.
    pub plan: String,
    /// Tokens in the cache.
    pub depth: usize,
    /// Threads.
    pub threads: usize,
    /// Sequences decoded together.
    pub batch: usize,
    /// Median time of a step, milliseconds.
    pub median_ms: f64,
    /// Tokens of all sequences per second.
    pub tokens_per_s: f64,
}

/// What a report says.
pub struct Report<'a> {
    /// The figures.
    pub figures: &'a Figures,
    /// The worst samples.
    pub worst: &'a [Worst],
    /// Pictures of masks.
    pub maps: &'a [MapPicture],
    /// Speed, where it was measured.
    pub speed: &'a [Speed],
}

const STYLE: &str = "\
:root{--back:#fff;--ink:#1f2328;--faint:#59636e;--line:#d1d9e0;--soft:#f6f8fa;--dot:#0a5cc4;\
--w0:#e3e6ea;--w2:#9ec5f4;--w4:#5b9bea;--w8:#2670d0;--w16:#0b3d86;--cross:#b42318}\
@media (prefers-color-scheme:dark){:root{--back:#0d1117;--ink:#e6edf3;--faint:#9198a1;--line:#30363d;\
--soft:#151b23;--dot:#6cb0ff;--w0:#21262d;--w2:#123a6e;--w4:#1f61b3;--w8:#4c96ea;--w16:#b5d6ff;--cross:#ff8f85}}\
*{box-sizing:border-box}\
body{margin:0 auto;max-width:80rem;padding:1rem;background:var(--back);color:var(--ink);\
font:15px/1.5 system-ui,sans-serif;overflow-wrap:break-word}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid var(--line)}\
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}\
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}\
th:first-child,td:first-child{text-align:left}td.long{white-space:normal;min-width:14rem;text-align:left}\
thead th{background:var(--soft)}code,pre{font:12px/1.45 ui-monospace,monospace}\
pre{background:var(--soft);padding:.6rem;white-space:pre-wrap;overflow-wrap:anywhere}\
.note{color:var(--faint)}svg{max-width:100%;height:auto}.plot{min-width:34rem}svg text{fill:var(--faint);font:11px system-ui,sans-serif}\
.axis{fill:none;stroke:var(--faint)}circle{fill:var(--dot)}\
.w0{fill:var(--w0)}.w2{fill:var(--w2)}.w4{fill:var(--w4)}.w8{fill:var(--w8)}.w16{fill:var(--w16)}\
.cross{fill:none;stroke:var(--cross)}.key i{display:inline-block;width:1em;height:1em;vertical-align:-.15em}\
@media print{body{max-width:none;font-size:11px}.scroll{overflow:visible}table{font-size:9px}\
th,td{padding:.1rem .25rem;white-space:normal}h2{break-after:avoid}tr,svg{break-inside:avoid}}";

/// Lines of text as content of HTML.
fn lines(text: &str) -> String {
    text.lines().map(without_markup).collect::<Vec<_>>().join("\n")
}

/// Cells longer than this wrap.
const LONG: usize = 40;

fn table(rows: &[Vec<String>]) -> String {
    let mut out = "<div class=\"scroll\"><table>".to_owned();
    for (at, row) in rows.iter().enumerate() {
        let tag = if at == 0 { "th" } else { "td" };
        out.push_str(if at == 0 { "<thead><tr>" } else { "<tr>" });
        for cell in row {
            let class = if cell.chars().count() > LONG { " class=\"long\"" } else { "" };
            let _ = write!(out, "<{tag}{class}>{}</{tag}>", without_markup(cell));
        }
        out.push_str(if at == 0 { "</tr></thead><tbody>" } else { "</tr>" });
    }
    out.push_str("</tbody></table></div>\n");
    out
}

fn maps(out: &mut String, pictures: &[MapPicture]) {
    if pictures.is_empty() {
        return;
    }
    out.push_str("<h2>What is cut</h2>\n<p class=\"key note\">Stored bits of every key channel in the middle: ");
    for width in [0, 2, 4, 8, 16] {
        let _ = write!(out, "<i style=\"background:var(--w{width})\"></i> {width} ");
    }
    out.push_str("· in each head, fast frequencies left and slow ones right; crossed heads store nothing.</p>\n");
    for picture in pictures {
        let _ = write!(
            out,
            "<h3>{}</h3>\n<div class=\"scroll\">{}</div>\n",
            without_markup(&picture.name),
            map::svg(picture)
        );
        if !picture.recipe.is_empty() {
            let _ = writeln!(
                out,
                "<details><summary>How it was made</summary><pre>{}</pre></details>",
                lines(&picture.recipe)
            );
        }
    }
}

fn quality(out: &mut String, figures: &Figures) {
    let answered: Vec<&Row> =
        figures.rows.iter().filter(|row| row.kl.is_none() && row.suite != CONTROL).collect();
    if !answered.is_empty() {
        out.push_str("<h2>Answers beside dense</h2>\n");
        out.push_str(&table(&means(figures)));
        for sentence in of_means(figures) {
            let _ = writeln!(out, "<p class=\"note\">{}</p>", without_markup(&sentence));
        }
        out.push_str("<p class=\"note\">Scores in per cent. Lost and won: samples with a lower or higher score than dense. p is one-sided, McNemar's exact test, or a bootstrap where answers are right in part. Tasks that dense fails say nothing about a mask and are left out of means.</p>\n");
        out.push_str(&table(&scores(&answered)));
        if !figures.depths.is_empty() {
            out.push_str("<h2>By depth</h2>\n");
            out.push_str(&table(&by_depth(&figures.depths)));
        }
    }
    let is_text = |row: &&Row| row.kl.is_some() && row.suite != Record::STABILITY;
    let read: Vec<&Row> = figures.rows.iter().filter(is_text).collect();
    if !read.is_empty() {
        out.push_str("<h2>Texts beside dense</h2>\n");
        out.push_str(&table(&losses(&read)));
        out.push_str("<p class=\"note\">Figures of llama-perplexity over the second half of each chunk; KLD in nats.</p>\n");
        out.push_str(&table(&positions(&read)));
    }
    if let Some(found) = &figures.stability {
        out.push_str("<h2>Kinds of text</h2>\n");
        for sentence in stability::sentences(found) {
            let _ = writeln!(out, "<p>{}</p>", without_markup(&sentence));
        }
        for rows in stability::all(found) {
            out.push_str(&table(&rows));
        }
    }
}

fn samples(out: &mut String, worst: &[Worst]) {
    if worst.is_empty() {
        return;
    }
    out.push_str("<h2>Worst samples</h2>\n");
    let mut rows = vec![
        ["task", "ctx", "sample", "mask", "lost", "wanted", "dense said", "the mask said"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for one in worst {
        let lost = match one.references.is_empty() {
            true => format!("{:.5}", one.lost),
            false => format!("{:.2}", one.lost),
        };
        rows.push(vec![
            one.task.clone(),
            count(one.place.1),
            one.place.0.to_string(),
            one.mask.clone(),
            lost,
            one.references.join(", "),
            one.dense.clone(),
            one.own.clone(),
        ]);
    }
    out.push_str(&table(&rows));
}

fn speeds(out: &mut String, speeds: &[Speed]) {
    if speeds.is_empty() {
        return;
    }
    out.push_str("<h2>Speed</h2>\n");
    let mut rows = vec![
        ["plan", "tokens in the cache", "batch", "threads", "ms a step", "tokens/s"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(speeds.iter().map(|one| {
        vec![
            one.plan.clone(),
            count(one.depth),
            one.batch.to_string(),
            one.threads.to_string(),
            format!("{:.2}", one.median_ms),
            format!("{:.1}", one.tokens_per_s),
        ]
    }));
    out.push_str(&table(&rows));
}

/// The page of a report.
pub fn html(report: &Report<'_>) -> String {
    let figures = report.figures;
    let title = format!("{}: what its cache may lose", figures.run.model);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>{0}</title>\n<style>{STYLE}</style></head>\n<body>\n<h1>{0}</h1>\n",
        without_markup(&title)
    );
    for line in summary(figures).iter().filter(|line| !line.starts_with("command: ")) {
        let _ = writeln!(out, "<p>{}</p>", without_markup(line));
    }
    for flag in &figures.flags {
        let _ = writeln!(out, "<p><strong>Note:</strong> {}</p>", without_markup(flag));
    }
    out.push_str("<h2>Bytes</h2>\n");
    out.push_str(&table(&stored(figures)));
    for (title, places) in plot::places(figures) {
        let _ = write!(
            out,
            "<h2>Bytes against quality: {}</h2>\n<div class=\"scroll\">{}</div>\n",
            without_markup(title),
            plot::svg(title, &places)
        );
    }
    quality(&mut out, figures);
    samples(&mut out, report.worst);
    speeds(&mut out, report.speed);
    maps(&mut out, report.maps);
    out.push_str("<h2>Make these results again</h2>\n");
    let _ = write!(out, "<pre>{}</pre>\n<ul>", lines(&figures.run.command));
    let mut origin = vec![format!("model fingerprint {}", figures.run.model_fingerprint)];
    origin.extend(
        figures
            .run
            .masks
            .iter()
            .map(|mask| format!("{}: fingerprint {}", mask.name, mask.fingerprint)),
    );
    origin.extend(
        figures
            .run
            .sources
            .iter()
            .chain(&figures.run.haystack)
            .map(|source| format!("{}: sha256 {}", source.name, source.sha256)),
    );
    for line in origin {
        let _ = write!(out, "<li><code>{}</code></li>", without_markup(&line));
    }
    out.push_str("</ul>\n</body></html>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_files_and_models_is_never_markup() {
        let page = table(&[vec!["<i>".to_owned()], vec!["x".repeat(60)]]);
        assert!(!page.contains("<i>") && page.contains("<td class=\"long\">"));
    }
}

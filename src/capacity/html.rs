//! A plan as one HTML page that needs nothing else: style, chart and text are inside, light and
//! dark follow the reader's system.

use super::chart;
use super::report::CapacityReport;
use super::sheet::{CellTable, headline, sections};
use crate::printable::without_markup;

const STYLE: &str = "
:root{color-scheme:light dark;--text:#1c1e21;--soft:#5b6470;--page:#ffffff;--line:#d9dde3;--band:#f4f6f8;--c0:#0b6e99;--c1:#b3541e;--c2:#2f7d32}
@media(prefers-color-scheme:dark){:root{--text:#e6e8eb;--soft:#a1a9b4;--page:#15181c;--line:#343a42;--band:#1d2127;--c0:#6cc3ea;--c1:#f0a06a;--c2:#8fd694}}
body{margin:2rem auto;padding:0 1rem;max-width:76rem;background:var(--page);color:var(--text);font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2.2rem;border-bottom:1px solid var(--line);padding-bottom:.2rem}
p,ul{color:var(--soft)}.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.88rem}
th,td{padding:.25rem .7rem;text-align:right;white-space:nowrap}th{border-bottom:2px solid var(--line);font-weight:600}
td.w,th.w{text-align:left;white-space:normal}tbody tr:nth-child(even){background:var(--band)}
svg{max-width:100%;height:auto;font-size:12px}svg text{fill:var(--soft)}svg .axis{stroke:var(--line)}
polyline{fill:none;stroke-width:2}.c0{stroke:var(--c0)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}
svg text.c0{fill:var(--c0);stroke:none}svg text.c1{fill:var(--c1);stroke:none}svg text.c2{fill:var(--c2);stroke:none}
";

/// The plan as an HTML page.
pub fn html(report: &CapacityReport) -> String {
    let name = without_markup(&report.model.name);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>Capacity plan: {name}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>Capacity plan: {name}</h1>\n<p>{}</p>\n",
        without_markup(&headline(&report.model))
    );
    for section in sections(report) {
        page += &format!("<h2>{}</h2>\n", without_markup(&section.title));
        if !section.lines.is_empty() {
            let items =
                section.lines.iter().map(|line| format!("<li>{}</li>", without_markup(line)));
            page += &format!("<ul>{}</ul>\n", items.collect::<String>());
        }
        page.extend(section.grid.iter().map(table));
        if !section.curves.is_empty() {
            page += &format!("{}\n", chart::svg(&section.curves));
        }
        page.extend(section.notes.iter().map(|note| format!("<p>{}</p>\n", without_markup(note))));
    }
    page + "</body>\n</html>"
}

fn table(grid: &CellTable) -> String {
    let row = |kind: &str, cells: &[String]| {
        let cell = |(column, text): (usize, &String)| {
            let class = if column < grid.words { " class=\"w\"" } else { "" };
            format!("<{kind}{class}>{}</{kind}>", without_markup(text))
        };
        let cells: String = cells.iter().enumerate().map(cell).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let body: String = grid.rows.iter().map(|cells| row("td", cells)).collect();
    format!(
        "<div class=\"wide\"><table>\n<thead>{}</thead>\n<tbody>{body}</tbody>\n</table></div>\n",
        row("th", &grid.head)
    )
}

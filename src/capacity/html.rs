//! A plan as one HTML page that needs nothing else: style, chart and text are inside, light and
//! dark follow the reader's system.

use super::chart;
use super::report::CapacityReport;
use super::sheet::{CellTable, headline, sections};
use crate::printable::without_markup;

const STYLE: &str = "
:root{color-scheme:light dark;--text:#1c1e21;--soft:#5b6470;--page:#ffffff;--line:#d9dde3;--band:#f4f6f8;--good:#1d6b33;--bad:#a3341f;--c0:#0b6e99;--c1:#b3541e;--c2:#2f7d32}
@media(prefers-color-scheme:dark){:root{--text:#e6e8eb;--soft:#a1a9b4;--page:#15181c;--line:#343a42;--band:#1d2127;--good:#8fd694;--bad:#f0907a;--c0:#6cc3ea;--c1:#f0a06a;--c2:#8fd694}}
body{margin:2rem auto;padding:0 1rem;max-width:76rem;background:var(--page);color:var(--text);font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2.2rem;border-bottom:1px solid var(--line);padding-bottom:.2rem}
p,ul{color:var(--soft);max-width:60rem}ul{padding-left:1.2rem}code{font-size:.9em}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.88rem}
th,td{padding:.25rem .7rem;text-align:right;white-space:nowrap;overflow-wrap:normal}th{border-bottom:2px solid var(--line);font-weight:600;white-space:normal;vertical-align:bottom}
.w{text-align:left}.t{text-align:left;white-space:normal;min-width:14rem}
th:first-child,td:first-child{position:sticky;left:0;background:var(--page)}tr.b td{background:var(--band)}
.yes{color:var(--good)}.no{color:var(--bad)}
svg{display:block;width:100%;max-width:36rem;height:auto;font-size:11px;margin-top:1rem}svg text{fill:var(--soft)}svg .axis{stroke:var(--line)}svg .zero{stroke:var(--soft)}
svg .c0,svg .c1,svg .c2{fill:none;stroke-width:2}.c0{stroke:var(--c0)}.c1{stroke:var(--c1);stroke-dasharray:7 4}.c2{stroke:var(--c2);stroke-dasharray:2 3}
@media(max-width:40rem){body{margin:1rem auto}th,td{padding:.25rem .45rem}table{font-size:.8rem}.t{min-width:11rem}}
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
            let items = section.lines.iter().map(|line| format!("<li>{}</li>", sentence(line)));
            page += &format!("<ul>{}</ul>\n", items.collect::<String>());
        }
        page.extend(section.table.iter().map(table));
        if !section.curves.is_empty() {
            page += &format!("{}\n", chart::svg(&section.curves));
        }
        page.extend(section.notes.iter().map(|note| format!("<p>{}</p>\n", sentence(note))));
    }
    page + "</body>\n</html>"
}

/// A sentence; what stands between backquotes in it is a command.
fn sentence(text: &str) -> String {
    let safe = without_markup(text);
    let parts: Vec<&str> = safe.split('`').collect();
    // An odd mark is a character of a name.
    if parts.len().is_multiple_of(2) {
        return safe;
    }
    let part = |(index, part): (usize, &&str)| match index.is_multiple_of(2) {
        true => (*part).to_owned(),
        false => format!("<code>{part}</code>"),
    };
    parts.iter().enumerate().map(part).collect()
}

/// Bands alternate by row, or by rows that belong together.
fn table(grid: &CellTable) -> String {
    let prose: Vec<bool> = (0..grid.head.len()).map(|column| grid.is_prose(column)).collect();
    let row = |kind: &str, class: &str, cells: &[String]| {
        let cell = |(column, text): (usize, &String)| {
            let class = match text.as_str() {
                _ if prose[column] => " class=\"t\"",
                _ if column < grid.words => " class=\"w\"",
                "fits" | "both fit" => " class=\"yes\"",
                "no" | "does not fit" | "none" => " class=\"no\"",
                _ => "",
            };
            format!("<{kind}{class}>{}</{kind}>", sentence(text))
        };
        let cells: String = cells.iter().enumerate().map(cell).collect();
        format!("<tr{class}>{cells}</tr>\n")
    };
    let band = |index: usize| match (index / grid.group.max(1)).is_multiple_of(2) {
        true => "",
        false => " class=\"b\"",
    };
    let body: String =
        grid.rows.iter().enumerate().map(|(index, cells)| row("td", band(index), cells)).collect();
    format!(
        "<div class=\"wide\" tabindex=\"0\"><table>\n<thead>{}</thead>\n<tbody>{body}</tbody>\n</table></div>\n",
        row("th", "", &grid.head)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_marked_and_names_are_not() {
        assert_eq!(sentence("`kscope compare` < 1"), "<code>kscope compare</code> &lt; 1");
        assert_eq!(sentence("a ` name"), "a ` name");
        assert_eq!(sentence("`<b>`"), "<code>&lt;b&gt;</code>");
    }
}

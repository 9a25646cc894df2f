//! What serving costs, what is saved, and when the work is paid back.

use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::capacity::{CapacityReport, Scenario, price, usd};
use crate::numbers::{count, counted};
use crate::printable::wrapped;
use crate::tui::app::state::State;
use crate::tui::color::Role;
use crate::tui::fitting::best;
use crate::tui::paint::put;
use crate::tui::widget::Chart;
use crate::tui::widget::pane::Pane;

/// Rows of the chart, and columns of the amounts beside it.
const CHART_ROWS: u16 = 4;
const AMOUNTS: u16 = 11;

/// The cost of a full batch and of the load, three scenarios, and the saving by month.
pub(super) fn cost(state: &State, report: &CapacityReport, pane: &mut Pane<'_>) {
    let (Some(row), Some(gpu)) = (report.rows.first(), report.gpus.first()) else { return };
    let Some(of) = &gpu.price else {
        pane.title("cost", "");
        return pane.note("no price of this GPU is known");
    };
    pane.title("cost", &format!("estimated · {}/h of {}", price(of.usd_per_hour), of.as_of));
    // Of the context and batch above; the scenarios are of the load, whose requests may be shorter.
    let million = |name: &str, usd_of: Option<f64>| match usd_of {
        Some(dollars) => format!("{} {name}", usd(dollars)),
        None => format!("{name} does not fit"),
    };
    let dense = million("dense", row.usd_per_million_dense);
    let both = format!("{dense}, {}", million("stored", row.usd_per_million));
    let at = format!("at {} × {}", count(row.ctx), count(row.batch));
    let short = |usd_of: Option<f64>| usd_of.map_or_else(|| "no fit".to_owned(), usd);
    let shorter = format!("{} → {}", short(row.usd_per_million_dense), short(row.usd_per_million));
    let shortest = shorter.replace(" → ", "→");
    pane.row_of("$/M out", [format!("{both}, {at}"), both, shorter, shortest]);
    let rows = report.scenarios.len() as u16 + CHART_ROWS + 4;
    if let Some(load) = report.load.filter(|_| pane.area.height >= rows) {
        let requests = format!("{} requests a day", count(load.requests_per_day as usize));
        let tokens = format!("{} + {} tokens", count(load.tokens_in), count(load.tokens_out));
        let forms = [
            format!("{requests} of {tokens}, in batches that fit"),
            format!("{requests} of {tokens}"),
            tokens,
        ];
        pane.row_of("load", forms);
    }
    for scenario in &report.scenarios {
        let text = words(scenario, pane.room());
        pane.row(scenario.name, text);
    }
    let Some(mid) = report.scenarios.get(1) else {
        let text = "the load cannot be compared here: one side does not fit";
        return wrapped(text, usize::from(pane.area.width))
            .into_iter()
            .for_each(|line| pane.note(line));
    };
    if pane.area.height >= CHART_ROWS + 3 {
        pane.title("gained so far less the work", "mid, by month");
        saving(state, &mid.net, pane);
    }
}

/// One scenario, in the longest words that fit.
fn words(scenario: &Scenario, room: usize) -> String {
    let gpus =
        format!("{} → {}", count(scenario.gpus_dense), counted(scenario.gpus, "GPU", "GPUs"));
    let least = format!("{}→{}", count(scenario.gpus_dense), count(scenario.gpus));
    let saved = usd(scenario.saving_per_month);
    let (long, short) = match scenario.payback_months {
        Some(months) => (format!("paid back after {months:.1} months"), format!("{months:.1} mo")),
        None => ("never paid back".to_owned(), "never".to_owned()),
    };
    best(
        room,
        [
            format!("{gpus}, {saved} a month, {long}"),
            format!("{gpus} · {saved}/mo · {short}"),
            format!("{gpus} · {short}"),
            format!("{least} · {short}"),
            format!("{least} {short}"),
            format!("{least} GPUs"),
        ],
    )
}

/// What is gained so far by the end of each month, from the lowest amount to the highest, zero
/// included: a line at the bottom is work that nothing pays back.
fn saving(state: &State, net: &[f64], pane: &mut Pane<'_>) {
    let (low, high) = net.iter().fold((0.0_f64, 0.0_f64), |(l, h), &x| (l.min(x), h.max(x)));
    let months = net.len().saturating_sub(1);
    let (first, last) = (net.first().copied().unwrap_or(0.0), net.last().copied().unwrap_or(0.0));
    if last <= first {
        let work = match first {
            cost if cost < 0.0 => format!("the work costs {}", usd_short(-cost)),
            _ => "no work".to_owned(),
        };
        let text = format!("{work}, and nothing is gained in {months} months");
        for line in wrapped(&text, usize::from(pane.area.width)) {
            pane.note(line);
        }
        return;
    }
    let Some(area) = pane.take(CHART_ROWS) else { return };
    let theme = &state.theme;
    let role = if last < 0.0 { Role::Bad } else { Role::Good };
    let chart = Rect {
        x: area.x + AMOUNTS.min(area.width),
        width: area.width.saturating_sub(AMOUNTS),
        ..area
    };
    let raised: Vec<f64> =
        stretched(net, 2 * usize::from(chart.width)).iter().map(|x| x - low).collect();
    Chart::new(&raised, theme.style(role)).up_to(high - low).render(chart, pane.buffer);
    let row_of = |amount: f64| {
        let share = (high - amount) / (high - low);
        (share * f64::from(CHART_ROWS - 1)).round() as u16
    };
    // The ends last: they stand where zero would be beside them.
    for amount in [0.0, low, high] {
        let text = format!("{:>width$} ", usd_short(amount), width = usize::from(AMOUNTS) - 1);
        put(pane.buffer, area, 0, row_of(amount), Line::styled(text, theme.style(Role::Dim)));
    }
    pane.note(format!(
        "{:>width$} to {} after {months} months",
        usd_short(first),
        usd_short(last),
        width = usize::from(AMOUNTS) - 1
    ));
}

/// Whole dollars.
fn usd_short(amount: f64) -> String {
    usd(amount).trim_end_matches(".00").to_owned()
}

/// So many values along the straight lines between the given ones.
fn stretched(values: &[f64], dots: usize) -> Vec<f64> {
    let (Some(&first), last) = (values.first(), values.len().saturating_sub(1)) else {
        return Vec::new();
    };
    let at = |dot: usize| {
        let place = last as f64 * dot as f64 / dots.saturating_sub(1).max(1) as f64;
        let (left, part) = (place as usize, place.fract());
        let right = values.get(left + 1).copied().unwrap_or(values[last]);
        if last == 0 { first } else { values[left] + part * (right - values[left]) }
    };
    (0..dots).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_fills_its_columns_whatever_its_months() {
        assert_eq!(stretched(&[0.0, 10.0], 5), [0.0, 2.5, 5.0, 7.5, 10.0]);
        assert_eq!(stretched(&[3.0], 3), [3.0; 3]);
        assert_eq!(stretched(&[-9600.0; 25], 60), [-9600.0; 60]);
        assert_eq!(stretched(&[], 3), Vec::<f64>::new());
    }
}

//! The chart of the saving over the months: as text, and as SVG.

use std::fmt::Write;

/// A named row of values, one a month from month 0 on.
#[derive(Debug, Clone, Default)]
pub(super) struct Curve {
    pub name: String,
    pub values: Vec<f64>,
}

/// The range of all curves, zero included.
fn range(curves: &[Curve]) -> [f64; 2] {
    let values = curves.iter().flat_map(|curve| curve.values.iter().copied());
    values.fold([0.0, 0.0], |[low, high]: [f64; 2], x| [low.min(x), high.max(x)])
}

fn short(usd: f64) -> String {
    let sign = if usd < 0.0 { "-" } else { "" };
    match usd.abs() {
        usd if usd >= 1e6 => format!("{sign}${:.1}M", usd / 1e6),
        usd if usd >= 1e4 => format!("{sign}${:.0}k", usd / 1e3),
        usd => format!("{sign}${usd:.0}"),
    }
}

/// Bars for each curve, one character a month: blank below zero, eighths of a block above.
pub(super) fn text(curves: &[Curve]) -> Vec<String> {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let [_, high] = range(curves);
    let width = curves.iter().map(|curve| curve.name.chars().count()).max().unwrap_or(0);
    let bar = |value: f64| match value {
        value if value < 0.0 => '·',
        _ if high <= 0.0 => STEPS[0],
        value => STEPS[((value / high * 8.0) as usize).min(7)],
    };
    let line = |curve: &Curve| {
        let bars: String = curve.values.iter().map(|&value| bar(value)).collect();
        let last = curve.values.last().copied().unwrap_or(0.0);
        format!(
            "{:<width$}  {bars}  {} after {} months",
            curve.name,
            short(last),
            curve.values.len().saturating_sub(1)
        )
    };
    let mut lines: Vec<String> = curves.iter().map(line).collect();
    if !lines.is_empty() {
        lines.push(format!("{:<width$}  · not yet paid back", ""));
    }
    lines
}

/// One picture of all curves; colours come from the page's style sheet.
pub(super) fn svg(curves: &[Curve]) -> String {
    const SIZE: [f64; 2] = [760.0, 280.0];
    const LEFT: f64 = 70.0;
    const RIGHT: f64 = 150.0;
    const EDGE: f64 = 24.0;
    let [low, high] = range(curves);
    let span = if high > low { high - low } else { 1.0 };
    let months = curves.iter().map(|curve| curve.values.len()).max().unwrap_or(1).max(2) - 1;
    let x = |month: usize| LEFT + (SIZE[0] - LEFT - RIGHT) * month as f64 / months as f64;
    let y = |value: f64| EDGE + (SIZE[1] - 2.0 * EDGE) * (high - value) / span;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Saving by month\">",
        SIZE[0], SIZE[1]
    );
    for value in [low, 0.0, high] {
        let at = y(value);
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            x(months),
            LEFT - 6.0,
            at + 4.0,
            crate::printable::without_markup(&short(value))
        );
    }
    for month in (0..=months).step_by((months / 6).max(1)) {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{month}</text>",
            x(month),
            SIZE[1] - 4.0
        );
    }
    // Names at the ends of their curves, none over another.
    let mut ends: Vec<(usize, f64)> = curves
        .iter()
        .enumerate()
        .map(|(index, curve)| (index, y(curve.values.last().copied().unwrap_or(0.0))))
        .collect();
    ends.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut free = 0.0_f64;
    for (_, at) in &mut ends {
        *at = at.max(free);
        free = *at + 15.0;
    }
    for (index, curve) in curves.iter().enumerate() {
        let points: Vec<String> = curve
            .values
            .iter()
            .enumerate()
            .map(|(month, &value)| format!("{:.1},{:.1}", x(month), y(value)))
            .collect();
        let at = ends.iter().find(|(of, _)| *of == index).map_or(0.0, |(_, at)| *at);
        let _ = write!(
            svg,
            "<polyline class=\"c{index}\" points=\"{}\"/><text class=\"c{index}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            points.join(" "),
            x(curve.values.len().saturating_sub(1)) + 6.0,
            at + 4.0,
            crate::printable::without_markup(&curve.name)
        );
    }
    svg + "</svg>"
}

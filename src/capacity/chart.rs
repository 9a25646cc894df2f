//! The chart of the saving over the months: as text, and as SVG.

use std::fmt::Write;

use super::sheet::usd;
use crate::printable::without_markup;

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

fn short(amount: f64) -> String {
    let sign = if amount < 0.0 { "-" } else { "" };
    match amount.abs() {
        usd if usd >= 1e6 => format!("{sign}${:.1}M", usd / 1e6),
        usd if usd >= 1e4 => format!("{sign}${:.0}k", usd / 1e3),
        _ if amount.abs() < 100.0 && amount.fract() == 0.0 => format!("{sign}${}", amount.abs()),
        _ => usd(amount),
    }
}

/// Bars for each curve, one character a month: a dot below zero, eighths of a block above.
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
    if curves.iter().flat_map(|curve| &curve.values).any(|&value| value < 0.0) {
        lines.push(format!("{:<width$}  · not yet paid back", ""));
    }
    lines
}

/// Width and height of the picture, and where its axes are.
const SIZE: [f64; 2] = [460.0, 260.0];
const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 36.0;

/// One picture of all curves; colours and dashes come from the page's style sheet. Names stand in a
/// row above, so that curves may lie on each other.
pub(super) fn svg(curves: &[Curve]) -> String {
    let [low, high] = range(curves);
    let span = if high > low { high - low } else { 1.0 };
    let months = curves.iter().map(|curve| curve.values.len()).max().unwrap_or(1).max(2) - 1;
    let x = |month: usize| LEFT + (SIZE[0] - LEFT - RIGHT) * month as f64 / months as f64;
    let y = |value: f64| TOP + (SIZE[1] - TOP - BOTTOM) * (high - value) / span;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Saving by month\">",
        SIZE[0], SIZE[1]
    );
    let mut marks = vec![0.0];
    marks.extend([low, high].into_iter().filter(|&value| (y(value) - y(0.0)).abs() > 12.0));
    for value in marks {
        let (at, class) = (y(value), if value == 0.0 { "zero" } else { "axis" });
        let _ = write!(
            svg,
            "<line class=\"{class}\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            x(months),
            LEFT - 6.0,
            at + 4.0,
            without_markup(&short(value))
        );
    }
    for month in (0..=months).step_by((months / 6).max(1)) {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{month}</text>",
            x(month),
            SIZE[1] - BOTTOM + 16.0
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">months</text>",
        f64::midpoint(LEFT, SIZE[0] - RIGHT),
        SIZE[1] - 4.0
    );
    let each = (SIZE[0] - LEFT - RIGHT) / curves.len().max(1) as f64;
    for (index, curve) in curves.iter().enumerate() {
        let points: Vec<String> = curve
            .values
            .iter()
            .enumerate()
            .map(|(month, &value)| format!("{:.1},{:.1}", x(month), y(value)))
            .collect();
        let at = LEFT + each * index as f64;
        let _ = write!(
            svg,
            "<polyline class=\"c{index}\" points=\"{}\"/><line class=\"c{index}\" x1=\"{at:.1}\" y1=\"12\" x2=\"{:.1}\" y2=\"12\"/><text x=\"{:.1}\" y=\"16\">{}</text>",
            points.join(" "),
            at + 22.0,
            at + 28.0,
            without_markup(&curve.name)
        );
    }
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(name: &str, of: impl Fn(f64) -> f64) -> Curve {
        Curve { name: name.to_owned(), values: (0..25).map(|month| of(f64::from(month))).collect() }
    }

    #[test]
    fn curves_that_lie_on_each_other_keep_their_names_inside_the_picture() {
        let flat = |name| curve(name, |_| -9600.0);
        let svg = svg(&[flat("low"), flat("mid"), flat("high")]);
        for name in ["low", "mid", "high"] {
            assert!(svg.contains(&format!(">{name}</text>")), "{svg}");
        }
        assert!(svg.contains(">-$9,600</text>") && svg.contains(">$0</text>"), "{svg}");
        let of = |key: &str| {
            let mark = format!(" {key}=\"");
            let number = |text: &str| text.split('"').next().unwrap().parse::<f64>().unwrap();
            svg.split(&mark).skip(1).map(number).collect::<Vec<_>>()
        };
        assert!(of("x").iter().chain(&of("x2")).all(|x| (0.0..=SIZE[0]).contains(x)));
        assert!(of("y").iter().chain(&of("y2")).all(|y| (0.0..=SIZE[1]).contains(y)));
    }

    #[test]
    fn bars_are_dots_until_the_work_is_paid_back() {
        let lines = text(&[curve("mid", |month| month * 1000.0 - 4000.0)]);
        assert_eq!(lines[0].matches('·').count(), 4);
        assert!(lines[0].ends_with("$20k after 24 months"), "{}", lines[0]);
        assert!(lines[1].ends_with("not yet paid back"));
        assert_eq!(text(&[curve("mid", |month| month)]).len(), 1, "nothing was ever owed");
    }
}

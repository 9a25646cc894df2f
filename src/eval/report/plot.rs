//! The frontier: what masks lose against the bytes that they store.

use std::fmt::Write;

use crate::eval::run::{DENSE, Figures};

/// One mask's place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FrontierPlace {
    pub(super) name: String,
    /// Bytes for a dense cache's 1.
    pub(super) bytes: f64,
    /// What is drawn upwards.
    pub(super) value: f64,
}

/// Mean KLD of every mask over all texts of the longest length, and its mean score over informative
/// recall tasks of the longest length: each with its title, where there are any.
pub(super) fn places(figures: &Figures) -> Vec<(&'static str, Vec<FrontierPlace>)> {
    let share = |name: &str| {
        let mask = figures.run.masks.iter().find(|mask| mask.name == name);
        mask.map_or(1.0, |mask| mask.bytes_share)
    };
    let longest = figures.rows.iter().filter(|row| row.kl.is_some()).map(|row| row.ctx).max();
    let names = || {
        let masks = figures.run.masks.iter().map(|mask| mask.name.as_str());
        std::iter::once(DENSE).chain(masks)
    };
    let mut all = Vec::new();
    let kld = names().filter_map(|name| {
        let klds: Vec<f64> = figures
            .rows
            .iter()
            .filter(|row| row.mask == name && Some(row.ctx) == longest)
            .filter_map(|row| Some(row.kl.as_ref()?.kld.mean))
            .collect();
        let value = klds.iter().sum::<f64>() / klds.len() as f64;
        (!klds.is_empty()).then(|| FrontierPlace {
            name: name.to_owned(),
            bytes: share(name),
            value,
        })
    });
    all.push(("mean KLD in nats, mean over texts", kld.collect::<Vec<_>>()));
    let longest = figures.averages.iter().map(|average| average.ctx).max();
    let scores = figures.averages.iter().filter(|one| Some(one.ctx) == longest).filter_map(|one| {
        Some(FrontierPlace { name: one.mask.clone(), bytes: share(&one.mask), value: one.score? })
    });
    all.push(("mean score in per cent, informative tasks", scores.collect()));
    all.retain(|(_, places)| places.len() > 1);
    all
}

const SIZE: (f64, f64) = (640.0, 300.0);
/// Room for the axis and its numbers: left, top, right, bottom.
const EDGE: [f64; 4] = [64.0, 12.0, 150.0, 40.0];

/// A plot of places as SVG. `escape` makes text safe.
pub(super) fn svg(
    title: &str,
    places: &[FrontierPlace],
    escape: &dyn Fn(&str) -> String,
) -> String {
    let most = places.iter().map(|place| place.value).fold(0.0, f64::max);
    let top = if most > 0.0 { most * 1.08 } else { 1.0 };
    let x = |share: f64| EDGE[0] + share.min(1.0) * (SIZE.0 - EDGE[0] - EDGE[2]);
    let y = |value: f64| SIZE.1 - EDGE[3] - value / top * (SIZE.1 - EDGE[1] - EDGE[3]);
    let mut out = format!(
        "<svg class=\"plot\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {} {}\" width=\"{}\">",
        escape(title),
        SIZE.0,
        SIZE.1,
        SIZE.0
    );
    let (left, bottom) = (EDGE[0], SIZE.1 - EDGE[3]);
    let _ = write!(out, "<path class=\"axis\" d=\"M{left} {}V{bottom}H{}\"/>", EDGE[1], x(1.0));
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.0} %</text>",
            x(share),
            bottom + 16.0,
            100.0 * share
        );
        let value = top * share;
        let number = if top < 1.0 { format!("{value:.4}") } else { format!("{value:.1}") };
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{number}</text>",
            left - 6.0,
            y(value) + 4.0
        );
    }
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">bytes of the middle for a dense cache's 100 %</text>",
        x(0.5),
        SIZE.1 - 6.0
    );
    for place in places {
        let (px, py) = (x(place.bytes), y(place.value));
        let _ = write!(
            out,
            "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"4\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            px + 7.0,
            py - 5.0,
            escape(&place.name)
        );
    }
    out.push_str("</svg>");
    out
}
